"""What every token dialect gives: one :class:`Proof`, however the token was spelt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from relay.facts import Facts
from relay.gate.scope import Scope
from relay.model import Session
from relay.verdict import Answer, Deny


class Use(StrEnum):
    """How often a token may be presented."""

    MANY = "many"
    ONCE = "once"
    """A second presentation is refused."""
    WATCH = "watch"
    """A second presentation from elsewhere is reported, not refused."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """How a token wants to be renewed: ``add`` seconds from now, once ``deadline`` (seconds before ``exp``) is reached.

    ``via`` is ``automatic``, ``cookie``, ``header`` or ``redirect``; ``name`` that of the cookie or header, empty
    for the one the token came by. ``status`` is that of a redirect.
    """

    add: int
    deadline: int
    via: str = "automatic"
    name: str = ""
    status: int = 302
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """What a verified token says. ``session.expires_at`` is the token's own expiry.

    ``scope`` is what the token may be presented for: URLs, and headers that the request must carry.
    ``answers`` are what a token wants answered when a claim of it fails (``catif``): reason value to status and
    headers. ``claims`` are kept for renewal, by whatever names the dialect uses.
    """

    session: Session
    scope: Scope = field(default_factory=Scope)
    use: Use = Use.MANY
    renewal: Renewal | None = None
    answers: Mapping[str, Answer] = field(default_factory=dict)
    claims: Mapping[object, object] = field(default_factory=dict, repr=False)


class Dialect(Protocol):
    """Verifies the tokens of one issuer. Pure."""

    def verify(self, token: str, facts: Facts, now: float) -> Proof | Deny:
        """Prove a token: size, envelope, key, signature, type, times, audience. Never revocation or scope."""
        ...

    def renew(self, proof: Proof, expires_at: int) -> str | None:
        """The same token with another expiry, signed anew; None where this deployment holds no signing key."""
        ...
