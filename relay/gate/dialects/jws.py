"""JSON Web Signatures (RFC 7515) in compact form: strict about everything that could make one token two."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isinf
from typing import Any

from keys import base64url
from relay.gate.carriers import MAX_TOKEN
from relay.gate.dialects.claims import BadTokenError, Claims, malformed, unsupported
from relay.gate.dialects.keys import KeySet, Signer, TokenKey
from relay.verdict import Reason

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_MAX_CONTAINERS = 256
"""Bounds the nesting, too."""
REFUSED_HEADERS = ("jku", "x5u", "x5c", "jwk", "crit", "b64")
"""Headers that bring a key of their own, or change what the others mean."""


@dataclass(frozen=True, slots=True)
class Jws:
    """A token taken apart, not yet proven."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def verify(self, issuer: str, keys: KeySet, now: float) -> TokenKey:
        """The key of that issuer that signed it. Raises :class:`BadTokenError`."""
        kid = Claims(self.header).text("kid", 512)
        key = keys.get(kid, now) if Claims(self.claims).text("iss", 512) == issuer else None
        if key is None:
            raise BadTokenError(Reason.KEY_UNKNOWN, "no key for this issuer and kid")
        self.check(key)
        return key

    def check(self, key: TokenKey) -> None:
        """Raises :class:`BadTokenError` unless this key signed it."""
        if self.header.get("alg") != key.algorithm:
            raise BadTokenError(Reason.TOKEN_SIGNATURE, "the algorithm is not the one of this key")
        for name in REFUSED_HEADERS:
            if name in self.header:
                raise unsupported(f"header {name} is not accepted")
        if not key.verifies(self.signed, self.signature):
            raise BadTokenError(Reason.TOKEN_SIGNATURE, "the signature does not verify")


def take_apart(token: str, longest: int = MAX_TOKEN) -> Jws:
    """The parts of a compact JWS over JSON claims. Raises :class:`BadTokenError`."""
    if len(token) > longest or not _COMPACT.fullmatch(token):
        raise malformed(f"not a compact JWT of at most {longest} characters")
    try:
        # Canonical only: the signature's last character has spare bits, which would give a token several spellings.
        header, payload, signature = map(base64url.decode, token.split("."))
    except ValueError:
        raise malformed("not canonical base64url") from None
    return Jws(strict_json(header), strict_json(payload), token.rpartition(".")[0].encode(), signature)


def seal(header: Mapping[str, Any], claims: Mapping[str, Any], signer: Signer) -> str:
    """A compact JWS. Raises ValueError for claims that JSON cannot spell."""
    parts = ({**header, "alg": signer.algorithm}, dict(claims))
    try:
        spelt = [json.dumps(part, separators=(",", ":"), allow_nan=False).encode() for part in parts]
    except (TypeError, ValueError):
        raise ValueError("claims that JSON cannot spell") from None
    signed = ".".join(map(base64url.encode, spelt))
    return f"{signed}.{base64url.encode(signer.sign(signed.encode()))}"


def strict_json(raw: bytes) -> dict[str, Any]:
    """A JSON object without duplicate names, or numbers that JSON or a float lacks. Raises :class:`BadTokenError`."""
    if raw.count(b"[") + raw.count(b"{") > _MAX_CONTAINERS:
        raise malformed(f"more than {_MAX_CONTAINERS} JSON arrays and objects")
    try:
        # Decoded here, because json.loads would guess UTF-16 and UTF-32, too (RFC 7519 §7.1 wants UTF-8).
        value = json.loads(
            raw.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
        )
    except ValueError:
        raise malformed("header or claims are not strict JSON") from None
    if not isinstance(value, dict):
        raise malformed("header or claims are not a JSON object")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _finite(text: str) -> float:
    # Infinite, it could not be written again when the token is renewed.
    if isinf(value := float(text)):
        raise ValueError(text)
    return value
