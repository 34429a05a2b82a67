"""Watermark tokens (ETSI TS 104 002 V1.1.1 §5.4): which variant of each segment a viewer gets, signed by a vendor.

The standard's form is a CBOR Web Token with integer keys; edges in the field also take the same claims as a JWT with
their registered names, byte strings in base64url. Direct tokens bring the pattern itself, indirect ones an id that it
is derived from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cbor2

from keys import base64url
from relay.gate.carriers import MAX_TOKEN
from relay.gate.dialects import claims as read
from relay.gate.dialects import cose, jws
from relay.gate.dialects.cbor import CborError, read_map
from relay.gate.dialects.claims import BadTokenError, Claims, Terms, malformed, unsupported
from relay.gate.dialects.keys import Signer
from relay.verdict import Deny, Reason
from relay.watermark.code import AssetCode, number_of
from relay.watermark.etsi.pace import NOT_MARKED
from relay.watermark.etsi.pattern_encryption import TAGS, decrypt, encrypt0
from relay.watermark.etsi.vendors import ALGORITHMS, Vendor

VERSION = 1
LABELS: Mapping[str, int] = {
    "iss": 1,
    "sub": 2,
    "aud": 3,
    "exp": 4,
    "nbf": 5,
    "iat": 6,
    "cti": 7,
    "wmver": 300,
    "wmvnd": 301,
    "wmpatlen": 302,
    "wmsegduration": 303,
    "wmpattern": 304,
    "wmid": 305,
    "wmopid": 306,
    "wmkeyver": 307,
}
MAX_PATTERN_BITS = 0xFFFF
MAX_CLAIMS = 64
MAX_ID = 128
_MAX_NUMBER = 2**53 - 1
"""What JSON carries exactly."""
_KEPT = 4096
_ALGORITHM_NAMES = {number: name for name, number in ALGORITHMS.items()}


@dataclass(frozen=True, slots=True)
class WatermarkToken:
    """What a verified token says. ``length`` is that of the pattern in bits.

    ``pattern`` is None in indirect mode, and ``watermark_id`` (claim ``wmid``) may be empty in direct mode.
    ``segment_duration`` is in seconds, for segments that nobody announces a position of; 0 where it is not said.
    """

    vendor: int
    length: int
    expires_at: int
    pattern: bytes | None = field(default=None, repr=False)
    watermark_id: str = ""
    operator: int = 0
    key_version: int = 0
    segment_duration: float = 0

    def bit(self, position: int, code: AssetCode | None = None) -> int:
        """The variant of a segment, 0 for a; patterns repeat. Unmarked segments (position -1) are variant a.

        Raises ValueError for another position below 0, and in indirect mode without the asset's ``code``.
        """
        if position == NOT_MARKED:
            return 0
        if position < 0:
            raise ValueError(f"position {position}")
        at = position % self.length
        if self.pattern is not None:
            return self.pattern[at >> 3] >> (7 - (at & 7)) & 1
        if code is None:
            raise ValueError("an indirect token needs the code of the asset")
        return code.bit(number_of(self.watermark_id), at)


@dataclass(frozen=True, slots=True)
class Issue:
    """What a token of ours says beside its pattern. ``vendor`` is our number on the DASH-IF list; times in seconds."""

    vendor: int
    length: int
    issued_at: int
    expires_at: int
    watermark_id: str
    operator: int = 0
    key_version: int = 0

    def claims(self) -> dict[str, Any]:
        """The claims that both modes share."""
        if not 0 < self.length <= MAX_PATTERN_BITS:
            raise ValueError(f"a pattern has 1 to {MAX_PATTERN_BITS} bits")
        if not 0 < len(self.watermark_id) <= MAX_ID:
            raise ValueError(f"a watermark id has 1 to {MAX_ID} characters")
        return {
            "exp": self.expires_at,
            "iat": self.issued_at,
            "wmver": VERSION,
            "wmvnd": self.vendor,
            "wmpatlen": self.length,
        }


class WatermarkTokens:
    """Verifies the tokens of vendors. Signatures are checked once per token, times always.

    Of ``terms`` the issuer is not used: a vendor has its own.
    """

    def __init__(self, vendors: Iterable[Vendor], terms: Terms) -> None:
        self._vendors = {vendor.number: vendor for vendor in vendors}
        self._terms = terms
        self._proven = lru_cache(maxsize=_KEPT)(self._prove)

    def verify(self, token: str, now: float) -> WatermarkToken | Deny:
        """What a token says, or the first reason against it."""
        try:
            claims, said = self._proven(token)
            read.check_times(claims, self._terms, now)
        except BadTokenError as bad:
            return bad.deny
        return said

    def _prove(self, token: str) -> tuple[Claims, WatermarkToken]:
        claims, vendor = self._jwt(token) if token.count(".") == 2 else self._cwt(token)
        for name in ("exp", "iat"):
            claims.time(name)
        if "aud" in claims:
            read.check_audience(claims, self._terms)
        if vendor.issuer and "iss" in claims and claims.text("iss", 512) != vendor.issuer:
            raise BadTokenError(Reason.KEY_UNKNOWN, "no key of this vendor for this issuer")
        return claims, _token(claims, vendor)

    def _cwt(self, token: str) -> tuple[Claims, Vendor]:
        message = cose.take_apart(token, untagged=True)
        try:
            claims = Claims(read_map(message.payload, MAX_CLAIMS, TAGS), LABELS)
        except CborError as err:
            raise malformed(f"claims: {err}") from None
        vendor = self._vendor(claims)
        number = message.algorithm
        name = _ALGORITHM_NAMES.get(number, "") if type(number) is int else ""
        if message.tag != (cose.MAC0 if name.startswith("HS") else cose.SIGN1):
            raise BadTokenError(Reason.TOKEN_SIGNATURE, "the COSE tag does not fit the algorithm")
        _check_signature(vendor, name, message.signed, message.signature)
        message.check_crit()
        return claims, vendor

    def _jwt(self, token: str) -> tuple[Claims, Vendor]:
        message = jws.take_apart(token)
        claims = Claims(message.claims)
        vendor = self._vendor(claims)
        for name in jws.REFUSED_HEADERS:
            if name in message.header:
                raise unsupported(f"header {name} is not accepted")
        _check_signature(vendor, message.header.get("alg"), message.signed, message.signature)
        return claims, vendor

    def _vendor(self, claims: Claims) -> Vendor:
        """The vendor that a token names, nothing of it proven yet."""
        vendor = self._vendors.get(_required(claims, "wmvnd", 0xFF))
        if vendor is None:
            raise BadTokenError(Reason.KEY_UNKNOWN, "no key for this wmvnd")
        return vendor


def mint_direct(
    issue: Issue,
    code: AssetCode,
    signer: Signer,
    *,
    form: str = "cwt",
    pattern_key: bytes = b"",
    nonce: bytes = b"",
    last_bit_first: bool = False,
) -> str:
    """A token with the first bits of a session's pattern, for edges that are not ours.

    ``form`` is ``cwt`` or ``jwt``. With a ``pattern_key`` (AES, 16, 24 or 32 bytes; ``nonce``: 12 fresh random bytes)
    the pattern is encrypted. ``last_bit_first`` turns it round, for edges that count positions from the end of the
    byte string, as Akamai's published code does against §5.4; its length then is a multiple of 8. The watermark id is
    left out: whoever reads the token learns a pattern, and not whose. Raises ValueError for what cannot be said, or
    where the token would be longer than requests carry.
    """
    pattern = code.pattern(number_of(issue.watermark_id), issue.length)
    if last_bit_first:
        if issue.length % 8:
            raise ValueError("counted from its end, a pattern's length is a multiple of 8")
        pattern = int(format(int.from_bytes(pattern), f"0{issue.length}b")[::-1], 2).to_bytes(len(pattern))
    if pattern_key:
        pattern = encrypt0(pattern, pattern_key, nonce)
    return _mint({**issue.claims(), "wmpattern": pattern}, signer, form)


def mint_indirect(issue: Issue, signer: Signer, *, form: str = "cwt") -> str:
    """A token that names a session, for edges that know the code of its asset. Raises ValueError as above."""
    derivation = {"wmid": issue.watermark_id, "wmopid": issue.operator, "wmkeyver": issue.key_version}
    return _mint({**issue.claims(), **derivation}, signer, form)


def _mint(claims: dict[str, Any], signer: Signer, form: str) -> str:
    if form == "cwt":
        labelled = {LABELS[name]: value for name, value in claims.items()}
        token = cose.seal(cbor2.dumps(labelled, canonical=True), signer)
    elif form == "jwt":
        spelt = {name: base64url.encode(value) if isinstance(value, bytes) else value for name, value in claims.items()}
        token = jws.seal({"kid": signer.kid, "typ": "JWT"}, spelt, signer)
    else:
        raise ValueError(f"a token is a cwt or a jwt, not a {form}")
    if len(token) > MAX_TOKEN:
        raise ValueError(f"the token has {len(token)} characters, more than {MAX_TOKEN}: a shorter pattern fits")
    return token


def _check_signature(vendor: Vendor, algorithm: object, signed: bytes, signature: bytes) -> None:
    found = [key for key in vendor.keys if key.algorithm == algorithm]
    if not found:
        raise BadTokenError(Reason.TOKEN_SIGNATURE, "the algorithm is not one of this vendor's keys")
    if not any(key.verifies(signed, signature) for key in found):
        raise BadTokenError(Reason.TOKEN_SIGNATURE, "the signature or MAC does not verify")


def _token(claims: Claims, vendor: Vendor) -> WatermarkToken:
    version = _required(claims, "wmver", 0xFF)
    if version != VERSION:
        raise unsupported(f"claim wmver: version {version} is not known")
    length = _required(claims, "wmpatlen", MAX_PATTERN_BITS)
    if not length:
        raise malformed("claim wmpatlen: a pattern has at least one bit")
    direct = "wmpattern" in claims
    if not direct:
        for name in ("wmid", "wmopid", "wmkeyver"):
            if name not in claims:
                raise malformed(f"claim {name}: required without wmpattern")
        if not vendor.derives:
            raise unsupported("claim wmid: nobody here knows how this vendor derives patterns")
    return WatermarkToken(
        vendor=vendor.number,
        length=length,
        expires_at=claims.time("exp"),
        pattern=_pattern(claims, vendor, length) if direct else None,
        watermark_id=claims.optional_text("wmid", MAX_ID),
        operator=claims.whole("wmopid", _MAX_NUMBER),
        key_version=claims.whole("wmkeyver", _MAX_NUMBER),
        segment_duration=_segment_duration(claims),
    )


def _pattern(claims: Claims, vendor: Vendor, length: int) -> bytes:
    value = claims.get("wmpattern")
    if isinstance(value, str) and not claims.labels:
        try:
            value = base64url.decode(value)
        except ValueError:
            raise malformed("claim wmpattern: not base64url") from None
    if vendor.patterns:
        value = decrypt(value, vendor.patterns)
    if not isinstance(value, bytes) or len(value) != (length + 7) // 8:
        raise malformed("claim wmpattern: not as many bytes as wmpatlen bits take")
    return value


def _segment_duration(claims: Claims) -> float:
    if "wmsegduration" not in claims:
        return 0
    match claims.get("wmsegduration"):
        case [int() as ticks, int() as scale] if 0 < ticks <= _MAX_NUMBER and 0 < scale <= _MAX_NUMBER:
            return ticks / scale
    raise malformed("claim wmsegduration: two whole numbers, ticks and ticks a second")


def _required(claims: Claims, name: str, most: int) -> int:
    if name not in claims:
        raise malformed(f"claim {name} is required")
    return claims.whole(name, most)
