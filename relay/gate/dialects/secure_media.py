"""AWS Secure Media Delivery at the Edge: ``sessionId.jwt`` or a bare JWT (HS256) as the first element of the path.

What a token is bound to beyond its paths, it names but does not spell: claim ``intsig`` is an HMAC over the values,
which are taken from the request again.
"""

import hmac
import ipaddress
from collections.abc import Iterator, Mapping

from keys import base64url
from relay.bounds import Bounds
from relay.facts import Facts
from relay.gate.dialects import claims as read
from relay.gate.dialects import links
from relay.gate.dialects.base import Proof
from relay.gate.dialects.claims import BadTokenError, Claims, Terms
from relay.gate.dialects.jws import Jws, take_apart
from relay.gate.dialects.keys import SYMMETRIC, KeySet, TokenKey
from relay.gate.scope import Kind, Match
from relay.verdict import Deny, Reason

MAX_LISTED = 32
_KNOWN = {"exp", "nbf", "iat", "paths", "exc", "ip", "ip_ver", "co", "reg", "cty", "ssn", "headers", "qs", "intsig"}
_FALLBACKS = {"co_fallback", "reg_fallback"}


class SecureMediaDialect:
    """Verifies the tokens of one issuer.

    Stricter than the original in two ways. Paths in ``exc`` are allowed like those in ``paths``, but not excused from
    the other restrictions; and a place that is not known is never taken for the right one, whatever ``co_fallback``
    and ``reg_fallback`` say. Tokens bound to a city (``cty``) are refused: no front tells it.
    """

    def __init__(self, terms: Terms, keys: KeySet) -> None:
        self._terms = terms
        self._keys = keys

    def verify(self, token: str, facts: Facts, now: float) -> Proof | Deny:
        """What a token proves, or the first reason against it."""
        try:
            links.check_text(token)
            parts = token.split(".")
            sid = read.session_id(parts.pop(0)) if len(parts) == 4 else ""
            jws = take_apart(".".join(parts))
            return self._proof(jws, self._key(jws, now), sid, facts, now)
        except BadTokenError as bad:
            return bad.deny

    def renew(self, proof: Proof, expires_at: int) -> str | None:
        """None: no token of this dialect asks for it."""
        return None

    def _key(self, jws: Jws, now: float) -> TokenKey:
        key = self._keys.get(Claims(jws.header).text("kid", 512), now)
        if key is None or key.algorithm != SYMMETRIC:
            raise BadTokenError(Reason.KEY_UNKNOWN, "no key for this kid")
        jws.check(key)
        return key

    def _proof(self, jws: Jws, key: TokenKey, sid: str, facts: Facts, now: float) -> Proof:
        claims = Claims(jws.claims)
        for name in jws.claims:
            if name not in _KNOWN | _FALLBACKS:
                raise read.unsupported(f"claim {name[:32]} is not enforced here")
        expires_at = read.check_times(claims, self._terms, now)
        flags = {name: _flag(claims, name) for name in ("ip", "co", "reg", "cty", "ssn")}
        if flags["cty"]:
            raise read.unsupported("claim cty: the viewer's city is not known here")
        _check_bound(claims, list(_bound_values(claims, flags, sid, facts)), key)
        session = links.session_of(
            jws.signed.decode(),
            self._terms,
            key.kid,
            expires_at,
            # One that the token is not bound to is anybody's to choose.
            sid=sid if flags["ssn"] else "",
            issued_at=claims.optional_time("iat"),
            bounds=_bounds(flags, facts),
        )
        prefixes = [*_texts(claims, "paths"), *_texts(claims, "exc")]
        return Proof(session, links.path_scope(*(Match(Kind.PREFIX, prefix) for prefix in prefixes)))


def _bound_values(claims: Claims, flags: Mapping[str, bool], sid: str, facts: Facts) -> Iterator[str]:
    """The values that the token is bound to, as this request has them, in the order in which they were signed."""
    if flags["ip"]:
        yield _address(facts, claims.whole("ip_ver", 6))
    if flags["co"]:
        if not facts.country:
            raise BadTokenError(Reason.GEO_BLOCKED, "the token is bound to a country, and the viewer's is not known")
        yield facts.country
    if flags["reg"]:
        region = facts.region.partition("-")[2]
        if not region:
            raise BadTokenError(Reason.GEO_BLOCKED, "the token is bound to a region, and the viewer's is not known")
        yield region
    if flags["ssn"]:
        if not sid:
            raise BadTokenError(Reason.SCOPE_PATH, "the token is bound to a session id, and none is in front of it")
        yield sid
    for name in _texts(claims, "headers"):
        value = facts.headers.get(name)
        if value:
            yield value
    given = dict(pair.partition("=")[::2] for pair in reversed(facts.query.split("&")))
    for name in _texts(claims, "qs"):
        if given.get(name):
            yield given[name]


def _check_bound(claims: Claims, values: list[str], key: TokenKey) -> None:
    if not values and "intsig" not in claims:
        return
    proof = base64url.encode(key.mac(":".join(values).encode(errors="surrogateescape")))
    if not hmac.compare_digest(proof.encode(), claims.optional_text("intsig", 64).encode()):
        raise BadTokenError(Reason.SCOPE_CONNECTION, "the token is bound to another address, place, session or request")


def _address(facts: Facts, version: int) -> str:
    """An address as it was signed: IPv6 with all its digits."""
    try:
        address = ipaddress.ip_address(facts.address)
    except ValueError:
        raise BadTokenError(Reason.SCOPE_NETWORK, "the address that the token is bound to is not known") from None
    if address.version != version:
        raise BadTokenError(Reason.SCOPE_NETWORK, "the token is bound to an address of another kind")
    return address.exploded


def _bounds(flags: Mapping[str, bool], facts: Facts) -> Bounds:
    place = facts.region if flags["reg"] else facts.country if flags["co"] else ""
    return Bounds(networks=links.only_here(facts) if flags["ip"] else (), countries=(place,) if place else ())


def _flag(claims: Claims, name: str) -> bool:
    value = claims.get(name)
    if value is not None and not isinstance(value, bool):
        raise read.malformed(f"claim {name}: true or false required")
    return bool(value)


def _texts(claims: Claims, name: str) -> list[str]:
    value = claims.get(name) if name in claims else []
    good = isinstance(value, list) and len(value) <= MAX_LISTED
    if not good or not all(isinstance(item, str) and 0 < len(item) <= 512 for item in value):
        raise read.malformed(f"claim {name}: a list of at most {MAX_LISTED} texts required")
    return list(value)
