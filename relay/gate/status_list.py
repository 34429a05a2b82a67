"""Token Status Lists (draft-ietf-oauth-status-list): in a few bits for each, which of its tokens an issuer has taken
back. What a list says of a token holds for every session that began with it."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from keys import base64url
from relay.gate.dialects import claims as read
from relay.gate.dialects.claims import BadTokenError, Claims, Terms
from relay.gate.dialects.jws import take_apart
from relay.gate.dialects.keys import KeySet
from relay.model import StatusRef
from relay.verdict import Deny, Reason

TYPE = "statuslist+jwt"
MAX_BYTES = 1024 * 1024
"""Of a status list token, as fetched."""
MAX_INFLATED = 4 * 1024 * 1024
"""Of its statuses: more than 33 million of a bit each."""
_BITS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class StatusList:
    """The statuses of an issuer's tokens, ``bits`` for each. Times are seconds since the epoch; ``ttl`` is seconds.

    ``expires_at`` is infinite where the issuer sets no end; ``ttl``, after which it wants to be asked again, likewise.
    """

    bits: int
    statuses: bytes = field(repr=False)
    issued_at: int
    expires_at: float = inf
    ttl: float = inf

    def at(self, index: int) -> int | None:
        """The status of one token (§4.1), counted from the lowest bits; None past the end of the list."""
        byte, shift = divmod(index * self.bits, 8)
        return self.statuses[byte] >> shift & (1 << self.bits) - 1 if byte < len(self.statuses) else None


class StatusLists:
    """The status lists that one issuer's tokens may name, by URI, each as it was last published."""

    def __init__(self, uris: Iterable[str] = ()) -> None:
        self._lists: dict[str, StatusList | None] = dict.fromkeys(uris)

    def get(self, uri: str) -> StatusList | None:
        """The list held for a URI."""
        return self._lists.get(uri)

    def put(self, uri: str, new: StatusList | None) -> None:
        """Hold a list, or none any more. Raises ValueError for one older than that held, which then stays.

        Whoever may replay what its issuer once signed could otherwise take revocations back.
        """
        held = self._lists[uri]
        if held and new and new.issued_at < held.issued_at:
            raise ValueError("older than the list held")
        self._lists[uri] = new

    def check(self, ref: StatusRef, now: float) -> Deny | None:
        """Why a token with this status does not hold (§8.3). Whatever cannot be known is refused."""
        if ref.uri not in self._lists:
            return Deny(Reason.TOKEN_UNSUPPORTED, "claim status: a status list that is not configured here")
        held = self._lists[ref.uri]
        if held is None or held.expires_at <= now:
            return Deny(Reason.STATE_STALE, "the issuer's status list is missing or has expired; try again")
        status = held.at(ref.index)
        if status is None:
            return Deny(Reason.TOKEN_UNSUPPORTED, "claim status: the status list has no such index")
        return Deny(Reason.REVOKED, f"the issuer's status list gives the token status {status}") if status else None


def read_status_list(raw: bytes, uri: str, terms: Terms, keys: KeySet, now: float) -> StatusList:
    """The list in a status list token (§5.1) for a URI, signed with one of the keys of its issuer.

    Raises ValueError for anything else.
    """
    try:
        return _read(raw, uri, terms, keys, now)
    except BadTokenError as bad:
        raise ValueError(bad.deny.detail) from None


def _read(raw: bytes, uri: str, terms: Terms, keys: KeySet, now: float) -> StatusList:
    # As Latin-1, any byte is a character, and those beyond ASCII are refused as any other.
    jws = take_apart(raw.strip().decode("latin-1"), MAX_BYTES)
    claims = Claims(jws.claims)
    key = keys.get(Claims(jws.header).text("kid", 512), now)
    if key is None or claims.optional_text("iss", 512) not in ("", terms.issuer):
        raise BadTokenError(Reason.KEY_UNKNOWN, "no key for this issuer and kid")
    jws.check(key)
    # Tokens of other types are signed with the same keys.
    if jws.header.get("typ") != TYPE:
        raise read.unsupported(f"typ must be {TYPE}")
    if claims.get("sub") != uri:
        raise read.malformed("sub is not the URI of this list")
    issued_at = claims.time("iat")
    if max(issued_at, claims.optional_time("nbf")) > now + terms.leeway:
        raise BadTokenError(Reason.TOKEN_NOT_YET_VALID, "iat or nbf lies ahead")
    expires_at = claims.optional_time("exp") or inf
    if expires_at <= now:
        raise BadTokenError(Reason.TOKEN_EXPIRED, "exp has passed")
    given = Claims(read.mapping(claims.get("status_list"), "status_list"))
    bits = given.get("bits")
    if type(bits) is not int or bits not in _BITS:
        raise read.malformed("bits: 1, 2, 4 or 8 required")
    return StatusList(bits, _inflated(given.text("lst", MAX_BYTES)), issued_at, expires_at, _ttl(claims))


def _ttl(claims: Claims) -> float:
    if "ttl" not in claims:
        return inf
    value = claims.get("ttl")
    if type(value) not in (int, float) or not 0 < value < inf:
        raise read.malformed("claim ttl: a number of seconds above 0 required")
    # A whole number may be too large for a float.
    return float(min(value, 2**53))


def _inflated(text: str) -> bytes:
    """The bytes of member ``lst``: base64url of a zlib stream (RFC 1950), which may hold far more than it shows."""
    stream = zlib.decompressobj()
    try:
        statuses = stream.decompress(base64url.decode(text), MAX_INFLATED + 1)
    except (ValueError, zlib.error):
        raise read.malformed("lst: not base64url of a zlib stream") from None
    if len(statuses) > MAX_INFLATED:
        raise read.malformed(f"lst: more than {MAX_INFLATED >> 20} MiB when inflated")
    if not stream.eof or stream.unused_data:
        raise read.malformed("lst: a zlib stream that ends too soon, or bytes after it")
    return statuses
