"""Whose watermark tokens are taken: vendors by their DASH-IF numbers, and the keys of each."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import get_default_algorithms

from relay.gate.dialects.keys import MAX_RSA_BITS, MIN_RSA_BITS, MIN_SECRET_BYTES
from relay.watermark.etsi.pattern_encryption import PatternKeys

ALGORITHMS: Mapping[str, int] = {
    "HS256": 5,
    "HS384": 6,
    "HS512": 7,
    "ES256": -7,
    "ES384": -35,
    "ES512": -36,
    "PS256": -37,
    "PS384": -38,
    "PS512": -39,
    "RS256": -257,
    "RS384": -258,
    "RS512": -259,
}
"""By the names of RFC 7518; COSE has these numbers for them (RFC 9053 §2 and §3, RFC 8230 §2, RFC 8812 §2)."""
MAX_KEYS = 4
_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_VERIFIERS = get_default_algorithms()


@dataclass(frozen=True, slots=True)
class VendorKey:
    """A verification key, bound to one algorithm so that a token cannot choose how it is verified."""

    algorithm: str
    key: Any = field(repr=False)

    @classmethod
    def load(cls, algorithm: str, data: bytes) -> "VendorKey":
        """A secret of 32 bytes or more, or a public key's PEM. Raises ValueError for what does not fit."""
        if algorithm not in ALGORITHMS:
            raise ValueError(f"{algorithm} is none of {', '.join(ALGORITHMS)}")
        if algorithm.startswith("HS"):
            if b"-----BEGIN " in data or len(data) < MIN_SECRET_BYTES:
                raise ValueError(f"{algorithm} needs a secret of at least {MIN_SECRET_BYTES} bytes")
            return cls(algorithm, data)
        try:
            key = load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("not a PEM public key") from None
        fits = (
            isinstance(key, EllipticCurvePublicKey) and key.curve.name == _CURVES[algorithm]
            if algorithm in _CURVES
            else isinstance(key, RSAPublicKey) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS
        )
        if not fits:
            raise ValueError(f"the public key does not fit {algorithm}")
        return cls(algorithm, key)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether a signature, or a MAC, is this key's over a message; constant time."""
        if self.algorithm.startswith("HS"):
            return hmac.compare_digest(hmac.digest(self.key, message, f"sha{self.algorithm[2:]}"), signature)
        return bool(_VERIFIERS[self.algorithm].verify(message, self.key, signature))


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor: ``keys`` verify its tokens, several so that one can be replaced without a gap.

    Where ``patterns`` holds keys, its patterns come encrypted, and no other way. ``derives``: its indirect tokens name
    sessions of our own code (:mod:`relay.watermark.code`); without it they are refused, as nobody here knows another
    vendor's derivation. ``issuer`` is what their ``iss`` must be where they have one; empty: anything.
    """

    number: int
    keys: tuple[VendorKey, ...]
    patterns: PatternKeys = field(default_factory=PatternKeys)
    derives: bool = False
    issuer: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.number <= 0xFF or not 0 < len(self.keys) <= MAX_KEYS:
            raise ValueError(f"a vendor has a number from 0 to 255 and 1 to {MAX_KEYS} keys")
