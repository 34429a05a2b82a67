"""Fastly's URL tokens: ``{expiry}_{MAC}``, HMAC-SHA-1 in lower-case hexadecimal over the URL's path and the expiry.

Fastly's published check covers the path alone in older editions, and the path with whatever query remains without
the token in newer ones; the two agree for URLs without a query.
"""

import re
from dataclasses import dataclass

from relay.facts import Facts
from relay.gate.dialects import claims as read
from relay.gate.dialects import links
from relay.gate.dialects.base import Proof
from relay.gate.dialects.claims import BadTokenError, Terms
from relay.gate.dialects.keys import KeySet
from relay.verdict import Deny

_TOKEN = re.compile(r"([1-9][0-9]{9,10})_([0-9a-f]{40})")


@dataclass(frozen=True, slots=True)
class FastlyOptions:
    """``with_query``: the MAC covers what remains of the query, too."""

    with_query: bool = False


class FastlyDialect:
    """Verifies the tokens of one issuer, by any of its keys."""

    def __init__(self, terms: Terms, keys: KeySet, options: FastlyOptions | None = None) -> None:
        self._terms = terms
        self._keys = keys
        self._options = options or FastlyOptions()

    def verify(self, token: str, facts: Facts, now: float) -> Proof | Deny:
        """What a token proves, or the first reason against it."""
        try:
            parts = _TOKEN.fullmatch(token)
            if parts is None:
                raise read.malformed("a token is an expiry, an underscore and 40 lower-case hexadecimal digits")
            query = f"?{facts.query}" if self._options.with_query and facts.query else ""
            message = f"{links.path_of(facts)}{query}{parts[1]}".encode(errors="surrogateescape")
            key = links.key_of_mac(self._keys, now, message, ("sha1",), parts[2])
            expires_at = int(parts[1])
            links.check_times(self._terms, now, expires_at)
            return Proof(links.session_of(token, self._terms, key.kid, expires_at), links.this_path(facts))
        except BadTokenError as bad:
            return bad.answered(links.GONE).deny

    def renew(self, proof: Proof, expires_at: int) -> str | None:
        """None: no token of this dialect asks for it."""
        return None
