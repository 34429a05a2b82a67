"""The keys of one Widevine licence exchange, derived from its session key and the request as received."""

import hmac
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

# Label, request and the output's length in bits make up the context, as in NIST SP 800-108 (counter mode).
_ENCRYPTION = b"ENCRYPTION\0", (128).to_bytes(4, "big")
_AUTHENTICATION = b"AUTHENTICATION\0", (512).to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class MacKeys:
    """Two HMAC-SHA-256 keys (32 bytes each): what the server signs with, and what the client does."""

    server: bytes = field(repr=False)
    client: bytes = field(repr=False)

    @classmethod
    def split(cls, both: bytes) -> "MacKeys":
        """The keys as a SIGNING container holds them: 64 bytes, the server's half first."""
        return cls(both[:32], both[32:])

    def joined(self) -> bytes:
        """The inverse of :meth:`split`."""
        return self.server + self.client

    def sign(self, message: bytes) -> bytes:
        """The server's signature over a licence."""
        return hmac.digest(self.server, message, sha256)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the client signed a renewal or release with its key."""
        return hmac.compare_digest(hmac.digest(self.client, message, sha256), signature)


@dataclass(frozen=True, slots=True)
class ExchangeKeys:
    """What encrypts a licence's keys (AES-128) and what signs the licence."""

    encryption: bytes = field(repr=False)
    mac: MacKeys


def derive(session_key: bytes, request: bytes) -> ExchangeKeys:
    """Keys for answering ``request`` (the signed bytes, exactly as received) under ``session_key`` (16 bytes)."""
    mac = b"".join(_block(session_key, counter, _AUTHENTICATION, request) for counter in (1, 2, 3, 4))
    return ExchangeKeys(_block(session_key, 1, _ENCRYPTION, request), MacKeys.split(mac))


def encrypt(key: bytes, iv: bytes, value: bytes) -> bytes:
    """AES-CBC with PKCS #7 padding, as keys travel in licences and in entitled streams."""
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padder.update(value) + padder.finalize()) + encryptor.finalize()


def decrypt(key: bytes, iv: bytes, value: bytes) -> bytes:
    """The inverse of :func:`encrypt`. Raises :class:`ValueError` for a wrong length, key or padding."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(value) + decryptor.finalize()) + unpadder.finalize()


def _block(session_key: bytes, counter: int, context: tuple[bytes, bytes], request: bytes) -> bytes:
    label, bits = context
    cmac = CMAC(algorithms.AES128(session_key))
    cmac.update(bytes([counter]) + label + request + bits)
    return cmac.finalize()
