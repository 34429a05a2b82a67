"""From configuration and secrets to the issuers whose tokens are accepted, and what these publish."""

from collections.abc import Sequence
from dataclasses import replace

from keys.seal import Sealer
from relay.gate.carriers import DEFAULT_NAMES, Names
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.keys import KeySet
from relay.gate.issuers import Issuers, IssuerSpec, build_issuers
from relay.gate.nonces import Nonces
from relay.gate.status_list import StatusLists
from relay.published.jwks import PinnedSet
from relay.published.status_lists import PinnedList
from relay.secrets import Secrets
from relay.token_settings import IssuerConfig, TokensConfig


def issuers_of(
    tokens: TokensConfig, secrets: Secrets, before: Sequence[PinnedSet] = ()
) -> tuple[Issuers, list[PinnedSet]]:
    """The issuers of a configuration, and those of their key sets that are to be refreshed.

    A set that was among those of ``before`` keeps what was fetched: its issuer may be out of reach just now.
    """
    specs, pinned = [], []
    nonces = Nonces(Sealer(secrets.ring.service_keys("proof nonce")))
    for issuer in tokens.issuers:
        fixed = tuple(secrets.issuers[issuer.iss])
        keys = KeySet(fixed)
        if issuer.jwks:
            known = (one.keys for one in before if (one.url, one.fixed) == (issuer.jwks.url, fixed))
            keys = next(known, keys)
            pinned.append(
                PinnedSet(keys, issuer.jwks.url, fixed, issuer.jwks.refresh.seconds, issuer.jwks.keep.seconds)
            )
        options = secrets.options.get(issuer.iss)
        specs.append(
            IssuerSpec(
                issuer.iss,
                issuer.dialect,
                keys,
                names_of(issuer),
                frozenset(issuer.streams),
                options,
                nonces=nonces if issuer.proof_nonce else None,
                status_lists=StatusLists(issuer.status_lists.urls if issuer.status_lists else ()),
            )
        )
    issuers = build_issuers(specs, tokens.audience, tokens.leeway.seconds, tokens.max_lifetime.seconds)
    return issuers, pinned


def lists_of(tokens: TokensConfig, issuers: Issuers, before: Sequence[PinnedList] = ()) -> list[PinnedList]:
    """The status lists of a configuration's issuers, which are to be refreshed.

    One that was among those of ``before`` keeps what was fetched.
    """
    fetched = {(one.terms.issuer, one.url): one.lists.get(one.url) for one in before}
    pinned = []
    for issuer in tokens.issuers:
        if not issuer.status_lists:
            continue
        terms = Terms(issuer.iss, tokens.audience, tokens.leeway.seconds, tokens.max_lifetime.seconds)
        lists, keys = issuers[issuer.iss].status_lists, issuers[issuer.iss].keys
        times = issuer.status_lists.refresh.seconds, issuer.status_lists.keep.seconds
        for url in issuer.status_lists.urls:
            lists.put(url, fetched.get((issuer.iss, url)))
            pinned.append(PinnedList(lists, url, terms, keys, *times))
    return pinned


def names_of(issuer: IssuerConfig) -> Names:
    """The names that an issuer's tokens travel under: those configured, else those of its dialect."""
    given = {name: getattr(issuer, name) for name in ("header", "cookie", "query", "path")}
    return replace(DEFAULT_NAMES[issuer.dialect], **{name: value for name, value in given.items() if value is not None})
