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
from relay.model import Session, StatusRef, StreamLimit

MAX_PASS = 8192
_CONTEXT = b"pass 2"


class _Sealed(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The fields of a session under one letter each: a pass is part of every URL of its session."""

    s: str
    a: str
    i: str
    e: int
    t: str = ""
    d: str = ""
    w: list[str] | None = None
    c: TrackType = TrackType.UHD
    k: str = ""
    b: int = 0
    v: int = 0
    m: str = ""
    q: StreamLimit | None = None
    n: Bounds | None = None
    u: StatusRef | None = None


_decoder = msgspec.msgpack.Decoder(_Sealed)
_NO_BOUNDS = Bounds()


class PassCodec:
    """Mints and reads passes. The same session always has the same pass."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def mint(self, session: Session) -> str:
        """The pass of a session."""
        sealed = _Sealed(
            s=session.sid,
            a=session.account,
            i=session.issuer,
            e=session.expires_at,
            t=session.token_id,
            d=session.device,
            w=None if session.streams is None else sorted(session.streams),
            c=session.ceiling,
            k=session.key_id,
            b=session.issued_at,
            v=session.version,
            m=session.watermark,
            q=session.limit,
            n=None if session.bounds == _NO_BOUNDS else session.bounds,
            u=session.status,
        )
        return self._sealer.seal(msgspec.msgpack.encode(sealed), _CONTEXT)

    def read(self, text: str) -> Session | None:
        """The session in a pass, expired or not; None for anything this deployment did not mint."""
        if len(text) > MAX_PASS:
            return None
        try:
            sealed = _decoder.decode(self._sealer.open(text, _CONTEXT))
        except (SealError, ValueError):
            return None
        return Session(
            sid=sealed.s,
            account=sealed.a,
            issuer=sealed.i,
            expires_at=sealed.e,
            token_id=sealed.t,
            device=sealed.d,
            streams=None if sealed.w is None else frozenset(sealed.w),
            ceiling=sealed.c,
            key_id=sealed.k,
            issued_at=sealed.b,
            version=sealed.v,
            watermark=sealed.m,
            limit=sealed.q,
            bounds=sealed.n or _NO_BOUNDS,
            status=sealed.u,
        )
