"""Whose tokens are accepted: every configured issuer with its dialect, keys, carriers and streams."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from relay.facts import Facts
from relay.gate.carriers import Carriers, Credential, Names, Presented
from relay.gate.dialects.base import Dialect, Proof
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.keys import KeySet, TokenKey
from relay.gate.dialects.registry import DIALECTS
from relay.gate.nonces import Nonces
from relay.gate.status_list import StatusLists
from relay.model import StatusRef
from relay.verdict import Deny, Reason

MAX_CACHED = 4096
_EARLY = (Reason.TOKEN_MALFORMED, Reason.KEY_UNKNOWN, Reason.TOKEN_SIGNATURE)
"""Refusals in the order in which a token meets them, of those that also say that it is someone else's."""
_NO_LISTS = StatusLists()


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer. ``streams`` is what its tokens may admit to; empty: every stream.

    Where there are ``nonces``, proofs of possession in its sessions must hold one. ``status_lists`` are those that
    its tokens may name.
    """

    name: str
    dialect: Dialect
    keys: KeySet
    names: Names
    streams: frozenset[str] = frozenset()
    cacheable: bool = False
    nonces: Nonces | None = None
    status_lists: StatusLists = field(default_factory=StatusLists)


@dataclass(frozen=True, slots=True)
class IssuerSpec:
    """An issuer as configured; ``options`` are of its dialect's own type."""

    name: str
    dialect: str
    keys: KeySet
    names: Names
    streams: frozenset[str] = frozenset()
    options: object = None
    nonces: Nonces | None = None
    status_lists: StatusLists = field(default_factory=StatusLists)


@dataclass(frozen=True, slots=True)
class _Proven:
    """A proof that stands as long as its key does, from when it was made until the token expires."""

    proof: Proof
    key: TokenKey | None
    since: float


class Issuers:
    """Finds and verifies tokens. What was proven of a token is kept where that depends on nothing else."""

    def __init__(self, issuers: Iterable[Issuer]) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._carriers = Carriers({name: issuer.names for name, issuer in self._issuers.items()})
        self._proven: dict[tuple[str, str], _Proven] = {}

    def __getitem__(self, name: str) -> Issuer:
        return self._issuers[name]

    def nonces_of(self, name: str) -> Nonces | None:
        """What proofs of possession must hold in sessions of an issuer; none is asked of one no longer configured."""
        issuer = self._issuers.get(name)
        return issuer.nonces if issuer else None

    def find(self, presented: Presented) -> Credential | Deny:
        """The token of a request."""
        return self._carriers.find(presented)

    def bare(self, facts: Facts, presented: Presented) -> Facts:
        """The facts of a request without the token in its URL: what :meth:`verify` and scopes are to be asked about."""
        return presented.without(facts, self._carriers.query_names)

    def verify(self, credential: Credential, facts: Facts, stream: str, now: float) -> Proof | Deny:
        """What a token proves for a stream, or why it proves nothing.

        Where several issuers share a carrier's name, those for that stream are asked first, and the first that
        recognises its token decides.
        """
        issuers = [self._issuers[name] for name in credential.issuers]
        refusals = []
        for issuer in sorted(issuers, key=lambda issuer: not _admits(issuer, stream)):
            verdict = self._verify(issuer, credential.token, facts, now)
            if isinstance(verdict, Proof):
                return _for_stream(verdict, issuer, stream)
            refusals.append(verdict)
        return max(refusals, key=_rank, default=Deny(Reason.KEY_UNKNOWN, "no issuer for this token"))

    def check_status(self, name: str, status: StatusRef, now: float) -> Deny | None:
        """Whether a session's issuer still lets its token hold, as its status list says."""
        issuer = self._issuers.get(name)
        lists = issuer.status_lists if issuer else _NO_LISTS
        return lists.check(status, now)

    def _verify(self, issuer: Issuer, token: str, facts: Facts, now: float) -> Proof | Deny:
        place = issuer.name, token
        known = self._proven.get(place)
        if known and _stands(known, issuer.keys, now):
            return known.proof
        verdict = issuer.dialect.verify(token, facts, now)
        if isinstance(verdict, Proof) and issuer.cacheable:
            self._keep(place, _Proven(verdict, issuer.keys.get(verdict.session.key_id, now), now))
        return verdict

    def _keep(self, place: tuple[str, str], proven: _Proven) -> None:
        self._proven.pop(place, None)
        if len(self._proven) >= MAX_CACHED:
            # The oldest: dictionaries keep the order of insertion.
            del self._proven[next(iter(self._proven))]
        self._proven[place] = proven


def build_issuers(specs: Iterable[IssuerSpec], audience: str, leeway: float, max_lifetime: float) -> Issuers:
    """The issuers of a deployment: ``audience`` names it, ``leeway`` and ``max_lifetime`` are seconds."""
    issuers = []
    for spec in specs:
        kind = DIALECTS[spec.dialect]
        terms = Terms(spec.name, audience, leeway, max_lifetime)
        dialect = kind.make(terms, spec.keys, spec.options or kind.options())
        issuers.append(
            Issuer(
                spec.name,
                dialect,
                spec.keys,
                spec.names,
                spec.streams,
                kind.cacheable,
                nonces=spec.nonces,
                status_lists=spec.status_lists,
            )
        )
    return Issuers(issuers)


def _stands(known: _Proven, keys: KeySet, now: float) -> bool:
    session = known.proof.session
    return known.since <= now < session.expires_at and known.key is keys.get(session.key_id, now) is not None


def _admits(issuer: Issuer, stream: str) -> bool:
    return not issuer.streams or stream in issuer.streams


def _for_stream(proof: Proof, issuer: Issuer, stream: str) -> Proof | Deny:
    if not _admits(issuer, stream):
        return Deny(Reason.SCOPE_STREAM, "the token's issuer may not admit to this stream")
    if not issuer.streams:
        return proof
    allowed = proof.session.streams
    streams = issuer.streams if allowed is None else issuer.streams & allowed
    return replace(proof, session=replace(proof.session, streams=streams))


def _rank(deny: Deny) -> int:
    return _EARLY.index(deny.reason) if deny.reason in _EARLY else len(_EARLY)
