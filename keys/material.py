"""Secret key material. Its values never appear in a ``repr``."""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from keys.model import KeySignal


@dataclass(frozen=True, slots=True)
class RootKey:
    """A root secret (at least 32 bytes) and the stream time (ms) from which it derives content keys."""

    generation: int
    secret: bytes = field(repr=False)
    active_from: int = 0


@dataclass(frozen=True, slots=True)
class ContentKey:
    """Everything that protecting or licensing under one key slot needs.

    ``kid`` and ``key`` are 16 bytes; ``constant_iv`` (16 bytes) is for ``cbcs``; ``iv_key`` (32 bytes)
    keys the derivation of per-sample IVs for ``cenc``.
    """

    kid: bytes
    key: bytes = field(repr=False)
    constant_iv: bytes = field(repr=False)
    iv_key: bytes = field(repr=False)

    def signal(self) -> KeySignal:
        """The public part, for manifests."""
        return KeySignal(self.kid, playready_checksum(self.kid, self.key), self.constant_iv)


def kid_guid(kid: bytes) -> bytes:
    """A key ID in the byte order of a Windows GUID: the first three groups reversed."""
    return kid[3::-1] + kid[5:3:-1] + kid[7:5:-1] + kid[8:]


def playready_checksum(kid: bytes, key: bytes) -> bytes:
    """First 8 bytes of AES-128-ECB(key, GUID of the key ID): lets PlayReady spot a wrong key."""
    # One block of a public value: ECB is what the PlayReady header specification asks for.
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(kid_guid(kid))[:8]
