"""From configuration and secrets to the issuers whose tokens are accepted."""

from dataclasses import dataclass, replace

from relay.config import IssuerConfig, TokensConfig
from relay.gate.carriers import DEFAULT_NAMES, Names
from relay.gate.dialects.keys import KeySet
from relay.gate.dialects.registry import DIALECTS
from relay.gate.issuers import Issuers, IssuerSpec, build_issuers
from relay.jwks import PinnedSet
from relay.secrets import Secrets


@dataclass(frozen=True, slots=True)
class Accepted:
    """The issuers, and the key sets of theirs that are to be refreshed while the relay runs."""

    issuers: Issuers
    pinned: tuple[PinnedSet, ...]


def accepted(tokens: TokensConfig, secrets: Secrets) -> Accepted:
    """The issuers of a configuration."""
    specs, pinned = [], []
    for issuer in tokens.issuers:
        fixed = tuple(secrets.issuers[issuer.iss])
        keys = KeySet(fixed)
        if issuer.jwks:
            pinned.append(
                PinnedSet(
                    keys,
                    issuer.jwks.url,
                    fixed,
                    DIALECTS[issuer.dialect].algorithms,
                    issuer.jwks.refresh.seconds,
                    issuer.jwks.keep.seconds,
                )
            )
        specs.append(
            IssuerSpec(
                issuer.iss,
                issuer.dialect,
                keys,
                names_of(issuer),
                frozenset(issuer.streams),
                secrets.options.get(issuer.iss),
            )
        )
    issuers = build_issuers(specs, tokens.audience, tokens.leeway.seconds, tokens.max_lifetime.seconds)
    return Accepted(issuers, tuple(pinned))


def names_of(issuer: IssuerConfig) -> Names:
    """The names that an issuer's tokens travel under: those configured, else those of its dialect."""
    given = {name: getattr(issuer, name) for name in ("header", "cookie", "query", "path")}
    return replace(DEFAULT_NAMES[issuer.dialect], **{name: value for name, value in given.items() if value is not None})
