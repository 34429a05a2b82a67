"""JSON Web Keys (RFC 7517, RFC 8037): public keys as their issuers publish them."""

import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from keys import base64url
from relay.gate.dialects.keys import TokenKey

MAX_KEYS = 64
MAX_KID = 512
PRIVATE_MEMBERS = frozenset(["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
_ALGORITHMS = {("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA", ("RSA", None): "PS256"}
_MAX_EXPONENT = 2**32


def keys_of(raw: bytes) -> list[TokenKey]:
    """The keys of a JWK set that verify signatures with an algorithm known here.

    Others are left out, as RFC 7517 §5 wants it: of other kinds or uses, and without a key ID. Raises ValueError for
    what is no JWK set, for more than :data:`MAX_KEYS`, for a key that is malformed or tells its private part, and for
    two keys of one ID.
    """
    try:
        listed = json.loads(raw.decode())["keys"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise ValueError("not a JWK set") from None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ValueError(f"not a JWK set of at most {MAX_KEYS} keys")
    found: dict[str, TokenKey] = {}
    for jwk in listed:
        if not isinstance(jwk, dict):
            raise ValueError("a key that is no object")
        key = _usable(jwk)
        if key is not None and found.setdefault(key.kid, key) is not key:
            raise ValueError("two keys have the same kid")
    return list(found.values())


def public_key(jwk: Mapping[str, Any], kid: str = "") -> TokenKey:
    """The key of one JWK. Raises ValueError for what is no public key of a kind that is known here."""
    algorithm = _algorithm(jwk)
    if algorithm is None:
        raise ValueError("a key of a kind that is not known here")
    if not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise ValueError("a key that tells its private part")
    match algorithm:
        case "ES256":
            x, y = (int.from_bytes(_member(jwk, name, 32)) for name in ("x", "y"))
            return TokenKey.of(kid, algorithm, EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key())
        case "EdDSA":
            return TokenKey.of(kid, algorithm, Ed25519PublicKey.from_public_bytes(_member(jwk, "x", 32)))
        case _:
            e, n = (int.from_bytes(_member(jwk, name)) for name in ("e", "n"))
            if e >= _MAX_EXPONENT:
                raise ValueError("a key with an exponent that makes every forged token a burden")
            return TokenKey.of(kid, algorithm, RSAPublicNumbers(e, n).public_key())


def _usable(jwk: Mapping[str, Any]) -> TokenKey | None:
    kid, operations = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    named = isinstance(kid, str) and 0 < len(kid) <= MAX_KID
    verifies = jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    algorithm = _algorithm(jwk)
    if not named or not verifies or algorithm is None or jwk.get("alg", algorithm) != algorithm:
        return None
    return public_key(jwk, str(kid))


def _algorithm(jwk: Mapping[str, Any]) -> str | None:
    kind, curve = jwk.get("kty"), jwk.get("crv")
    return _ALGORITHMS.get((kind, curve)) if isinstance(kind, str) and isinstance(curve, str | None) else None


def _member(jwk: Mapping[str, Any], name: str, size: int = 0) -> bytes:
    text = jwk.get(name)
    # 2048 characters of base64url are far more than the largest RSA key that is accepted.
    if not isinstance(text, str) or not 0 < len(text) <= 2048:
        raise ValueError(f"a key without its {name}")
    value = base64url.decode(text)
    if size and len(value) != size:
        raise ValueError(f"a key whose {name} is not {size} bytes long")
    return value
