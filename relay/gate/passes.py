"""The pass: a session sealed into a path element, so that any node serves it without a look-up.

Sealed rather than only signed, because paths end up in logs and Referer headers and an account is
nobody's business there.
"""

from typing import Any

import msgspec

from keys.errors import SealError
from keys.model import TrackType
from keys.seal import Sealer
from relay.model import Session

MAX_PASS = 8192
_CONTEXT = b"pass 1"
_Fields = tuple[str, str, str, int, str, str, list[str] | None, str]


class PassCodec:
    """Mints and reads passes. The same session always has the same pass."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def mint(self, session: Session) -> str:
        """The pass of a session."""
        streams = None if session.streams is None else sorted(session.streams)
        fields: tuple[Any, ...] = (
            session.sid,
            session.account,
            session.issuer,
            session.expires_at,
            session.token_id,
            session.device,
            streams,
            session.ceiling,
        )
        return self._sealer.seal(msgspec.msgpack.encode(fields), _CONTEXT)

    def read(self, text: str) -> Session | None:
        """The session in a pass, expired or not; None for anything this deployment did not mint."""
        if len(text) > MAX_PASS:
            return None
        try:
            fields = msgspec.msgpack.decode(self._sealer.open(text, _CONTEXT), type=_Fields)
            sid, account, issuer, expires_at, token_id, device, streams, ceiling = fields
            return Session(
                sid=sid,
                account=account,
                issuer=issuer,
                expires_at=expires_at,
                token_id=token_id,
                device=device,
                streams=None if streams is None else frozenset(streams),
                ceiling=TrackType(ceiling),
            )
        except (SealError, ValueError):
            return None
