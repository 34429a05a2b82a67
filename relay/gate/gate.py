"""The gate: may this session have this, now? Pure; every request of every kind asks it.

It never holds a root secret, and its answer is a value: a :class:`Visitor` or a :class:`Deny`.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from keys.model import TrackType
from relay.gate.passes import PassCodec
from relay.gate.revocation import RevocationSet, digests_of
from relay.gate.tokens import TokenVerifier
from relay.model import Session
from relay.verdict import Deny, Reason

_CACHED_VISITORS = 16_384


@dataclass(frozen=True, slots=True)
class Visitor:
    """A session that has passed, with the digests that would revoke it."""

    session: Session
    digests: tuple[bytes, ...]


class Gate:
    """Decides by token or pass, revocations and entitlement. ``session_lifetime`` is in seconds."""

    def __init__(
        self,
        tokens: TokenVerifier,
        passes: PassCodec,
        revoked: RevocationSet,
        session_lifetime: float,
    ) -> None:
        self._tokens = tokens
        self._passes = passes
        self._revoked = revoked
        self._session_lifetime = session_lifetime
        # What a pass says never changes, so it is opened once; what is asked of it is asked every time.
        self._visitor_of = lru_cache(maxsize=_CACHED_VISITORS)(self._open)

    @property
    def revocation_version(self) -> int:
        """Grows with every revocation; a response that took time asks again when it has moved."""
        return self._revoked.version

    def admit(self, token: str, stream: str, now: float) -> Visitor | Deny:
        """Check a platform's token and begin its session, which outlives the token: revocation is what ends it."""
        session = self._tokens.verify(token, now)
        if isinstance(session, Deny):
            return session
        session = replace(session, expires_at=int(now + self._session_lifetime))
        return self.recheck(Visitor(session, digests_of(session)), stream, now)

    def visit(self, text: str, stream: str, now: float) -> Visitor | Deny:
        """Check a pass on any request of its session."""
        try:
            visitor = self._visitor_of(text)
        except _NoPassError:
            return Deny(Reason.TOKEN_MALFORMED, "not a pass of this deployment")
        return self.recheck(visitor, stream, now)

    def recheck(self, visitor: Visitor, stream: str, now: float) -> Visitor | Deny:
        """What can change while a session lives: its revocation and expiry. Revoked wins over expired."""
        session = visitor.session
        if self._revoked.covers(visitor.digests, now):
            return Deny(Reason.REVOKED, "this session or its account was revoked")
        if session.expires_at <= now:
            return Deny(Reason.TOKEN_EXPIRED, "the session has ended: enter again")
        if session.streams is not None and stream not in session.streams:
            return Deny(Reason.SCOPE_STREAM, "the session may not watch this stream")
        return visitor

    def may_have(self, visitor: Visitor, track: TrackType) -> Deny | None:
        """Whether a track type lies within the session's entitlement."""
        if track.rank > visitor.session.ceiling.rank:
            return Deny(Reason.SCOPE_TRACK, f"the session may not have {track}")
        return None

    def pass_of(self, visitor: Visitor) -> str:
        """The pass that carries a visitor's session."""
        return self._passes.mint(visitor.session)

    def _open(self, text: str) -> Visitor:
        session = self._passes.read(text)
        if session is None:
            # Raised, because exceptions are not cached: made-up passes must not fill the memory meant for real ones.
            raise _NoPassError
        return Visitor(session, digests_of(session))


class _NoPassError(Exception):
    """The text is no pass of this deployment."""
