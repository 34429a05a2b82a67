"""The gate: may this session have this, now? Pure; every request of every kind asks it.

It never holds a root secret, and its answer is a value: a :class:`Visitor` or a :class:`Deny`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from math import inf

from keys.model import TrackType
from relay.facts import Facts
from relay.gate.carriers import Credential, Presented
from relay.gate.dialects.base import Proof, Use
from relay.gate.dpop import check_proof
from relay.gate.entitlements import Entitlements, holder_of
from relay.gate.issuers import Issuers
from relay.gate.passes import PassCodec
from relay.gate.presence import Live
from relay.gate.renewal import RenewalAnswer, renewal_of
from relay.gate.replay import SeenOnce, digest_of_token
from relay.gate.revocation import RevocationSet
from relay.gate.scope import Scope
from relay.gate.targets import Subject, subject_of
from relay.model import Session
from relay.verdict import Deny, Reason
from relay.watermark.serving.served import Viewing

LOOK_AGAIN_S = 0.25
"""How long state that was fresh is thought to be."""
_CACHED_VISITORS = 16_384
MAX_LEEWAY_S = 60.0
"""For how long past its expiry a token may still be taken, whatever a deployment forgives."""
FactsOf = Callable[[], Facts]
"""Makes the facts of a request: only where something asks for them, which is rare on the segment path."""


class Stale(StrEnum):
    """What a stream does when this node has not heard of revocations elsewhere for too long."""

    CLOSED = "closed"
    """Refuse everyone."""
    GRACE = "grace"
    """Refuse new sessions; serve existing ones for a while."""
    OPEN = "open"
    """Serve."""


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What an operator decides about sessions. Times are seconds; ``token_lifetime`` is a token's, however renewed.

    State older than ``stale_after`` is stale; ``stale`` says by stream what then happens, ``grace`` for how long
    existing sessions go on. ``sold`` are the streams that ask for an entitlement beside the token.
    """

    session_lifetime: float
    token_lifetime: float = inf
    stale_after: float = inf
    grace: float = inf
    stale: Mapping[str, Stale] = field(default_factory=dict)
    sold: frozenset[str] = frozenset()


@dataclass(eq=False, slots=True)
class Visitor:
    """A session on one stream that has passed the gate.

    ``digests`` are all of its subject's; ``names`` are the values by which a revocation may find it. ``clear_at`` is
    the revocation set's version that last cleared it: only what changed since need be looked at. ``entitled_at`` is
    the same for entitlements of its account (``holder``, where asked for), which hold at least until
    ``entitled_until``, up to the track type ``ceiling``. ``live`` is its record among live sessions, ``viewing``
    what it was served of a watermarked stream.
    """

    session: Session
    stream: str
    subject: Subject
    digests: tuple[bytes, ...]
    names: tuple[str, ...]
    bounded: bool
    ceiling: TrackType
    holder: bytes = b""
    clear_at: int = -1
    entitled_at: int = -1
    entitled_until: float = -inf
    live: Live | None = None
    viewing: Viewing | None = None

    @classmethod
    def of(cls, session: Session, stream: str) -> "Visitor":
        """A visitor not yet cleared."""
        names = (session.sid, session.account, session.device, session.token_id, session.watermark_id)
        bounds = session.bounds
        bounded = bool(bounds.methods or bounds.networks or bounds.countries or bounds.revalidate)
        subject = subject_of(session, stream)
        own = tuple({name for name in names if name})
        return cls(session, stream, subject, subject.all, own, bounded, session.ceiling)


@dataclass(frozen=True, slots=True)
class Admission:
    """A visitor who came with a token, and what that proved. ``reused``: it should come once, and came again."""

    visitor: Visitor
    proof: Proof
    credential: Credential
    reused: bool = False


class Gate:
    """Decides by token or pass, revocations, bounds and entitlement.

    ``age`` gives how many seconds ago this node last knew every revocation that other nodes had taken.
    ``tokens_seen`` and ``proofs_seen`` outlive a gate that another replaces: what was used once stays used.
    ``entitlements`` are what accounts were sold.
    """

    def __init__(
        self,
        issuers: Issuers,
        passes: PassCodec,
        revoked: RevocationSet,
        policy: GatePolicy,
        age: Callable[[float], float] = lambda _: 0.0,
        tokens_seen: SeenOnce | None = None,
        proofs_seen: SeenOnce | None = None,
        entitlements: Entitlements | None = None,
    ) -> None:
        self._issuers = issuers
        self._passes = passes
        self._revoked = revoked
        self._policy = policy
        self._age = age
        self._fresh_from, self._fresh_until = inf, -inf
        self._tokens_seen = SeenOnce() if tokens_seen is None else tokens_seen
        self._proofs_seen = SeenOnce() if proofs_seen is None else proofs_seen
        self._entitlements = Entitlements() if entitlements is None else entitlements
        # What a pass says never changes, so it is opened once; what is asked of it is asked every time.
        self._visitor_of = lru_cache(maxsize=_CACHED_VISITORS)(self._open)

    @property
    def revocation_version(self) -> int:
        """Grows with every revocation; a response that took time asks again when it has moved."""
        return self._revoked.version

    def admit(self, presented: Presented, facts: Facts, stream: str, now: float) -> Admission | Deny:
        """Check a platform's token and begin its session, which outlives the token: revocation is what ends it."""
        credential = self._issuers.find(presented)
        if isinstance(credential, Deny):
            return credential
        # Scopes and links' MACs are about the URL without the token; a proof of possession about the one asked for.
        bare = self._issuers.bare(facts, presented)
        proof = self._issuers.verify(credential, bare, stream, now)
        if isinstance(proof, Deny):
            return proof
        session = replace(proof.session, expires_at=int(now + self._policy.session_lifetime))
        if proof.scope != Scope():
            # The token was proven for this request alone; its session must not reach further than this stream.
            session = replace(session, streams=frozenset({stream}) & (session.streams or {stream}))
        visitor = Visitor.of(session, stream)
        refused = (
            self.recheck(visitor, lambda: facts, now)
            or self._check_new(visitor, now)
            or proof.scope.check(bare)
            or self._check_possession(visitor, credential.token, facts, now)
        )
        if refused:
            return replace(refused, answer=proof.answers.get(refused.reason))
        # Last, so that a token refused for something else is not used up.
        reused = proof.use is not Use.MANY and not self._tokens_seen.first_time(
            digest_of_token(proof.session), proof.session.expires_at + MAX_LEEWAY_S, now
        )
        if reused and proof.use is Use.ONCE:
            answer = proof.answers.get(Reason.REPLAYED)
            return Deny(Reason.REPLAYED, "this token was used before, and may be used once", answer)
        return Admission(visitor, proof, credential, reused)

    def renewal(self, admission: Admission, now: float) -> RenewalAnswer | None:
        """The token that an admission came with, renewed, when that is due."""
        issuer = self._issuers[admission.proof.session.issuer]
        return renewal_of(
            admission.proof, issuer.dialect, admission.credential, issuer.names, self._policy.token_lifetime, now
        )

    def visit(self, text: str, stream: str, facts: FactsOf, now: float) -> Visitor | Deny:
        """Check a pass on any request of its session."""
        try:
            visitor = self._visitor_of(text, stream)
        except _NoPassError:
            return Deny(Reason.TOKEN_MALFORMED, "not a pass of this deployment")
        return self.recheck(visitor, facts, now) or visitor

    def recheck(self, visitor: Visitor, facts: FactsOf, now: float) -> Deny | None:
        """What can change while a session lives. Revoked wins over expired."""
        revoked, session = self._revoked, visitor.session
        if visitor.clear_at != revoked.version:
            if revoked.changed(visitor.digests, visitor.clear_at) and revoked.covers(visitor.subject, now):
                return Deny(Reason.REVOKED, "this session or something it belongs to was revoked")
            visitor.clear_at = revoked.version
        if revoked.has_networks:
            here = facts()
            if revoked.covers_network(here.address, here.asn, now):
                return Deny(Reason.REVOKED, "this network was revoked")
        if session.expires_at <= now:
            return Deny(Reason.TOKEN_EXPIRED, "the session has ended: enter again")
        if session.streams is not None and visitor.stream not in session.streams:
            return Deny(Reason.SCOPE_STREAM, "the session may not watch this stream")
        if visitor.entitled_at != self._entitlements.version or now >= visitor.entitled_until:
            refused = self._check_entitled(visitor, now)
            if refused:
                return refused
        if session.status is not None:
            refused = self._issuers.check_status(session.issuer, session.status, now)
            if refused:
                return refused
        if visitor.bounded:
            refused = session.bounds.check(facts())
            if refused:
                return refused
        # Both ways: a clock that was set back must not make old state look fresh.
        if not self._fresh_from <= now < self._fresh_until or session.bounds.revalidate:
            return self._check_age(visitor, now)
        return None

    def may_begin(self, visitor: Visitor, facts: FactsOf, now: float) -> Deny | None:
        """Why a session cannot begin that comes without a token; see :meth:`admit`."""
        return self.recheck(visitor, facts, now) or self._check_new(visitor, now)

    def is_revoked(self, visitor: Visitor, facts: FactsOf, now: float) -> bool:
        """Whether a revocation is what stops a visitor."""
        refused = self.recheck(visitor, facts, now)
        return refused is not None and refused.reason is Reason.REVOKED

    def check_possession(self, visitor: Visitor, facts: Facts, now: float) -> Deny | None:
        """Whether a request proves that it holds the key its session is bound to (RFC 9449); asked for licences."""
        return self._check_possession(visitor, "", facts, now)

    def nonce_for(self, visitor: Visitor, now: float) -> str:
        """The nonce for a visitor's next proof of possession (RFC 9449 §8.2); empty where none is asked for."""
        session = visitor.session
        nonces = self._issuers.nonces_of(session.issuer) if session.bounds.proof_key else None
        return nonces.at(now) if nonces else ""

    def may_have(self, visitor: Visitor, track: TrackType) -> Deny | None:
        """Whether a track type lies within the session's entitlement."""
        if track.rank > visitor.ceiling.rank:
            return Deny(Reason.SCOPE_TRACK, f"the session may not have {track}")
        return None

    def lapsed(self, now: float) -> bool:
        """Whether since the last call an entitlement has ended that somebody relied on."""
        return self._entitlements.lapsed(now)

    def pass_of(self, visitor: Visitor) -> str:
        """The pass that carries a visitor's session."""
        return self._passes.mint(visitor.session)

    def session_of(self, text: str) -> Session | None:
        """The session in a pass, whether or not it may go on; None for no pass of this deployment."""
        return self._passes.read(text)

    def _open(self, text: str, stream: str) -> Visitor:
        session = self._passes.read(text)
        if session is None:
            # Raised, because exceptions are not cached: made-up passes must not fill the memory meant for real ones.
            raise _NoPassError
        return Visitor.of(session, stream)

    def _check_entitled(self, visitor: Visitor, now: float) -> Deny | None:
        entitlements, session = self._entitlements, visitor.session
        version, needed = entitlements.version, visitor.stream in self._policy.sold
        if needed or session.voucher:
            holder = visitor.holder = visitor.holder or holder_of(session.issuer, session.account)
            # Never again without a look where the last one refused.
            if now < visitor.entitled_until and not entitlements.changed(holder, visitor.entitled_at):
                visitor.entitled_at = version
                return None
            visitor.entitled_until, visitor.ceiling = -inf, session.ceiling
            if session.voucher is not None:
                # What it needs travels in it, so that a node which knows of nothing serves it, too.
                if now < session.voucher.begins_at:
                    return Deny(Reason.NOT_ENTITLED, "what was bought begins later")
                if entitlements.is_returned(session.voucher.purchase, now):
                    return Deny(Reason.NOT_ENTITLED, "the purchase was taken back")
                visitor.entitled_until = session.expires_at
            else:
                held = entitlements.held(holder, session.issuer, session.account, visitor.stream, now)
                if held is None:
                    return self._not_entitled()
                visitor.ceiling = min(session.ceiling, held.ceiling, key=lambda track: track.rank)
                visitor.entitled_until = held.until
            entitlements.await_lapse(visitor.entitled_until)
        else:
            visitor.entitled_until, visitor.ceiling = inf, session.ceiling
        visitor.entitled_at = version
        return None

    def _not_entitled(self) -> Deny:
        if self._entitlements.is_sure():
            return Deny(Reason.NOT_ENTITLED, "the account has no entitlement to this stream")
        # A refusal for good must not be a matter of which node was asked.
        return Deny(Reason.STATE_STALE, "purchases may be missing here; try again")

    def _check_age(self, visitor: Visitor, now: float) -> Deny | None:
        policy = self._policy
        age = self._age(now)
        self._fresh_from, self._fresh_until = now, now + min(policy.stale_after - age, LOOK_AGAIN_S)
        limit = visitor.session.bounds.revalidate or inf
        match policy.stale.get(visitor.stream, Stale.GRACE):
            case Stale.CLOSED:
                limit = min(limit, policy.stale_after)
            case Stale.GRACE:
                limit = min(limit, policy.grace)
        return Deny(Reason.STATE_STALE, "revocations may be missing here; try again") if age > limit else None

    def _check_new(self, visitor: Visitor, now: float) -> Deny | None:
        lenient = self._policy.stale.get(visitor.stream, Stale.GRACE) is Stale.OPEN
        if not lenient and self._age(now) > self._policy.stale_after:
            return Deny(Reason.STATE_STALE, "revocations may be missing here, so no session can begin; try again")
        return None

    def _check_possession(self, visitor: Visitor, token: str, facts: Facts, now: float) -> Deny | None:
        session = visitor.session
        if not session.bounds.proof_key:
            return None
        nonces = self._issuers.nonces_of(session.issuer)
        return check_proof(session.bounds, token, facts, self._proofs_seen, now, nonces)


class _NoPassError(Exception):
    """The text is no pass of this deployment."""
