"""Keys that verify and sign tokens, each bound to one algorithm, so that a token cannot choose how it is verified
(RFC 8725 §3.1). The names are those of RFC 7518; COSE spells the same signatures with other labels."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jwt import algorithms

MIN_SECRET_BYTES = 32
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 4096
"""Below is too weak, above makes every forged token a burden."""
SYMMETRIC = "HS256"
_ASYMMETRIC: dict[str, algorithms.Algorithm] = {
    "ES256": algorithms.ECAlgorithm(algorithms.ECAlgorithm.SHA256),
    "EdDSA": algorithms.OKPAlgorithm(),
    "PS256": algorithms.RSAPSSAlgorithm(algorithms.RSAPSSAlgorithm.SHA256),
}


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A verification key: HS256 with a secret, ES256, EdDSA (Ed25519) or PS256 with a public key.

    From ``retire_at`` on, in seconds since the epoch, it is not accepted any more; 0: never retired.
    """

    kid: str
    algorithm: str
    key: Any = field(repr=False)
    retire_at: float = 0

    @classmethod
    def symmetric(cls, kid: str, secret: bytes, retire_at: float = 0) -> "TokenKey":
        """An HS256 key. Raises ValueError for fewer than 32 bytes (RFC 7518 §3.2)."""
        return cls(kid, SYMMETRIC, _checked_secret(secret), retire_at)

    @classmethod
    def public(cls, kid: str, algorithm: str, pem: str, retire_at: float = 0) -> "TokenKey":
        """A public key from PEM. Raises ValueError when the PEM is something else."""
        try:
            key = load_pem_public_key(pem.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("not a PEM public key") from None
        return cls.of(kid, algorithm, key, retire_at)

    @classmethod
    def of(cls, kid: str, algorithm: str, key: object, retire_at: float = 0) -> "TokenKey":
        """A public key as an object of ``cryptography``. Raises ValueError when it does not fit the algorithm."""
        if not _fits(algorithm, key):
            raise ValueError(f"the public key does not fit {algorithm}")
        return cls(kid, algorithm, key, retire_at)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether a signature (ES256: r and s as 64 bytes) or MAC is this key's over a message; constant time."""
        if self.algorithm == SYMMETRIC:
            return hmac.compare_digest(self.mac(message), signature)
        return bool(_ASYMMETRIC[self.algorithm].verify(message, self.key, signature))

    def mac(self, message: bytes) -> bytes:
        """The whole HMAC-SHA256 of a message under a symmetric key."""
        return hmac.digest(self.key, message, "sha256")


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs tokens."""

    kid: str
    algorithm: str
    key: Any = field(repr=False)

    @classmethod
    def load(cls, kid: str, algorithm: str, key: bytes) -> "Signer":
        """An HS256 secret, or a private key's PEM. Raises ValueError when it does not fit the algorithm."""
        if algorithm == SYMMETRIC:
            return cls(kid, algorithm, _checked_secret(key))
        try:
            private = load_pem_private_key(key, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError(f"the key does not fit {algorithm}: not a PEM private key without password") from None
        if not _fits(algorithm, _public_of(private)):
            raise ValueError(f"the key does not fit {algorithm}")
        return cls(kid, algorithm, private)

    def sign(self, message: bytes) -> bytes:
        """The signature, or the whole MAC, of a message."""
        if self.algorithm == SYMMETRIC:
            return hmac.digest(self.key, message, "sha256")
        return bytes(_ASYMMETRIC[self.algorithm].sign(message, self.key))

    def public(self) -> TokenKey:
        """The key that verifies what this one signs."""
        return TokenKey(self.kid, self.algorithm, self.key if self.algorithm == SYMMETRIC else _public_of(self.key))


class KeySet:
    """The keys of one issuer by key ID, replaced as a whole while the relay runs."""

    def __init__(self, keys: Iterable[TokenKey] = ()) -> None:
        self.replace(keys)

    def replace(self, keys: Iterable[TokenKey]) -> None:
        """Put these keys in place of all others. Raises ValueError where two share a key ID; the old ones then stay.

        One key ID is one key and one algorithm: it never means a secret here and a public key there.
        """
        found: dict[str, TokenKey] = {}
        for key in keys:
            if found.setdefault(key.kid, key) is not key:
                raise ValueError(f"two keys have the kid {key.kid!r}")
        self._keys = found

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, kid: str, now: float) -> TokenKey | None:
        """A key that is not retired."""
        key = self._keys.get(kid)
        return None if key is None or (key.retire_at and key.retire_at <= now) else key

    def live(self, now: float) -> tuple[TokenKey, ...]:
        """Every key that is not retired, in the order given: for tokens that name none."""
        return tuple(key for key in self._keys.values() if not key.retire_at or key.retire_at > now)

    def signer_like(self, kid: str, signer: Signer | None) -> Signer | None:
        """What may sign in place of the key ``kid``, so that these keys verify it: a secret itself, or ``signer``."""
        key = self._keys.get(kid)
        if key is not None and key.algorithm == SYMMETRIC:
            return Signer(kid, SYMMETRIC, key.key)
        own = None if signer is None else self._keys.get(signer.kid)
        if signer is None or own is None or replace(own, retire_at=0) != signer.public():
            return None
        return signer


def _checked_secret(secret: bytes) -> bytes:
    if b"-----BEGIN " in secret:
        # Whoever has the public half could sign.
        raise ValueError("the key does not fit HS256: it is a PEM file")
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"an HS256 secret needs at least {MIN_SECRET_BYTES} bytes")
    return secret


def _public_of(key: object) -> object:
    if isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey):
        return key.public_key()
    return None


def _fits(algorithm: str, key: object) -> bool:
    match algorithm:
        case "ES256":
            return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
        case "EdDSA":
            return isinstance(key, Ed25519PublicKey)
        case "PS256":
            return isinstance(key, RSAPublicKey) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS
        case _:
            return False
