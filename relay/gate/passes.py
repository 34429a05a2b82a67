"""The pass: a session sealed into a path element, so that any node serves it without a look-up.

Sealed rather than only signed, because paths end up in logs and Referer headers and an account is
nobody's business there.
"""

import msgspec
from msgspec import Struct

from keys.errors import SealError
from keys.model import TrackType
from keys.seal import Sealer
from relay.bounds import Bounds
from relay.model import Session, StatusRef, StreamLimit, Voucher

MAX_PASS = 8192
_CONTEXT = b"pass 2"


_LETTERS = {
    "sid": "s",
    "account": "a",
    "issuer": "i",
    "expires_at": "e",
    "token_id": "t",
    "device": "d",
    "streams": "w",
    "ceiling": "c",
    "key_id": "k",
    "issued_at": "b",
    "version": "v",
    "watermark": "m",
    "limit": "q",
    "bounds": "n",
    "status": "u",
    "voucher": "p",
}
"""A pass is part of every URL of its session. A letter never gets another meaning."""


class _Sealed(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, rename=_LETTERS):
    """The fields of a session, as a pass keeps them."""

    sid: str
    account: str
    issuer: str
    expires_at: int
    token_id: str = ""
    device: str = ""
    streams: list[str] | None = None
    ceiling: TrackType = TrackType.UHD
    key_id: str = ""
    issued_at: int = 0
    version: int = 0
    watermark: str = ""
    limit: StreamLimit | None = None
    bounds: Bounds | None = None
    status: StatusRef | None = None
    voucher: Voucher | None = None


_decoder = msgspec.msgpack.Decoder(_Sealed)
_NO_BOUNDS = Bounds()


class PassCodec:
    """Mints and reads passes. The same session always has the same pass."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def mint(self, session: Session) -> str:
        """The pass of a session."""
        fields = {name: getattr(session, name) for name in _LETTERS}
        fields["streams"] = None if session.streams is None else sorted(session.streams)
        fields["bounds"] = None if session.bounds == _NO_BOUNDS else session.bounds
        return self._sealer.seal(msgspec.msgpack.encode(_Sealed(**fields)), _CONTEXT)

    def read(self, text: str) -> Session | None:
        """The session in a pass, expired or not; None for anything this deployment did not mint."""
        if len(text) > MAX_PASS:
            return None
        try:
            sealed = _decoder.decode(self._sealer.open(text, _CONTEXT))
        except (SealError, ValueError):
            return None
        fields = msgspec.structs.asdict(sealed)
        fields["streams"] = None if sealed.streams is None else frozenset(sealed.streams)
        fields["bounds"] = sealed.bounds or _NO_BOUNDS
        return Session(**fields)
