"""What narrows a session on every request: methods, networks, territory, headers. Carried in the pass."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from relay.facts import Facts
from relay.verdict import Deny, Reason

DEFAULT_PROOF_WINDOW = 300
"""Seconds that a proof of possession may be old."""
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Bounds:
    """Restrictions of a token that bind every later request of its session. Empty ones do not restrict.

    ``methods`` bind requests for manifests and media; a licence is always a POST. ``networks`` are CIDRs and AS
    numbers (``AS64500``), ``countries`` ISO 3166-1 alpha-2 or 3166-2 codes; any one that fits is enough.
    ``proof_key`` is the SHA-256 thumbprint of the JWK that must sign a DPoP proof (RFC 9449), in base64url;
    ``proof_window`` how old such a proof may be, in seconds, and ``proof_reuse`` whether it may come again meanwhile.
    ``revalidate`` is the longest, in seconds, that state may be old which a running response relies on; 0: no limit.
    """

    methods: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    proof_key: str = ""
    proof_window: int = DEFAULT_PROOF_WINDOW
    proof_reuse: bool = False
    revalidate: int = 0

    def check(self, facts: Facts) -> Deny | None:
        """The first restriction that a request breaks. Proof of possession and age are the gate's."""
        if self.methods and facts.method in ("GET", "HEAD") and facts.method not in self.methods:
            return Deny(Reason.SCOPE_METHOD, "the token does not allow this method")
        if self.networks and not _in_networks(facts, self.networks):
            return Deny(Reason.SCOPE_NETWORK, "the token does not allow this network")
        if self.countries and not {facts.country, facts.region} & set(self.countries):
            return Deny(Reason.GEO_BLOCKED, "the token does not allow this territory")
        return None


def _in_networks(facts: Facts, networks: tuple[str, ...]) -> bool:
    if facts.asn and f"AS{facts.asn}" in networks:
        return True
    try:
        address = ipaddress.ip_address(facts.address)
    except ValueError:
        return False
    return any(address in network for network in _parsed(networks))


@lru_cache(maxsize=4096)
def _parsed(networks: tuple[str, ...]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in networks if not text.startswith("AS"))
