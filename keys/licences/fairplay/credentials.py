"""What an operator gets from Apple for FairPlay Streaming, and the cipher modes it is used with."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keys.errors import LicenceRequestError
from keys.rsa import OAEP

WRAPPED_KEY_BYTES = 128

DeriveSecret = Callable[[bytes, bytes], bytes]
"""The D function: 16 bytes of the application secret (16 bytes) and R2 (21 bytes). Apple's; never part of this code."""


@dataclass(frozen=True, slots=True)
class FairPlayCredentials:
    """One credential set: the application certificate (DER), its RSA key, the application secret key (ASk).

    ``digest`` is the SHA-1 of the certificate, by which an SPC names the set it was made for.
    """

    certificate: bytes = field(repr=False)
    key: rsa.RSAPrivateKey = field(repr=False)
    secret: bytes = field(repr=False)
    digest: bytes

    @classmethod
    def load(cls, certificate: bytes, key_pem: bytes, secret: bytes) -> "FairPlayCredentials":
        """Check that the three belong together as far as one can tell. Raises :class:`ValueError`.

        ``key_pem`` is not encrypted, ``secret`` has 16 bytes.
        """
        try:
            key = load_pem_private_key(key_pem, password=None)
        except TypeError:
            raise ValueError("FairPlay key: encrypted") from None
        if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != 8 * WRAPPED_KEY_BYTES:
            raise ValueError(f"FairPlay key: not an RSA key of {8 * WRAPPED_KEY_BYTES} bits")
        if x509.load_der_x509_certificate(certificate).public_key() != key.public_key():
            raise ValueError("FairPlay certificate: made for another key")
        if len(secret) != 16:
            raise ValueError(f"FairPlay application secret: {len(secret)} bytes, expected 16")
        # SHA-1 only names the certificate here.
        return cls(certificate, key, secret, hashlib.sha1(certificate, usedforsecurity=False).digest())

    def unwrap(self, wrapped: bytes) -> bytes:
        """The AES key that an SPC's payload is encrypted with. Raises :class:`LicenceRequestError`."""
        try:
            key = self.key.decrypt(wrapped, OAEP)
        except ValueError:
            raise LicenceRequestError("SPC: its key does not decrypt") from None
        if len(key) != 16:
            raise LicenceRequestError("SPC: its key is not 16 bytes")
        return key


def decrypt_cbc(key: bytes, iv: bytes, data: bytes) -> bytes:
    """AES-128-CBC without padding; ``data`` is whole blocks."""
    return Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor().update(data)


def encrypt_cbc(key: bytes, iv: bytes, data: bytes) -> bytes:
    """AES-128-CBC without padding; ``data`` is whole blocks."""
    return Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor().update(data)


def encrypt_block(key: bytes, block: bytes) -> bytes:
    """AES-128 of one block of 16 bytes."""
    # A single block that is itself a key or a seed: the format asks for the bare cipher.
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)  # noqa: S305 - see above
