"""Content keys encrypted to recipients' certificates (CPIX §"Encryption of content keys").

One document key and one MAC key, both fresh for each document, are encrypted to every recipient with RSA-OAEP; content
keys are encrypted under the first and authenticated under the second.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.x509 import load_der_x509_certificate

from keys.errors import ExchangeError
from keys.exchange.model import Document, EncryptedKey, KeyEntry, Recipient
from keys.rsa import OAEP

Entropy = Callable[[int], bytes]
"""Gives so many random bytes."""

DOCUMENT_KEY_BYTES = 32
MAC_KEY_BYTES = 64
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
"""Beyond it a certificate costs more work than a request may ask for."""
_BLOCK = 16
# RSA-OAEP-MGF1P is defined with SHA-1, which is sound there; the name of the algorithm leaves no choice.


@dataclass(frozen=True, slots=True)
class DocumentSecrets:
    """What all content keys of one document are encrypted (32 bytes) and authenticated (64 bytes) with."""

    document_key: bytes = field(repr=False)
    mac_key: bytes = field(repr=False)

    @classmethod
    def fresh(cls, entropy: Entropy) -> "DocumentSecrets":
        """New ones."""
        return cls(entropy(DOCUMENT_KEY_BYTES), entropy(MAC_KEY_BYTES))

    def to(self, certificate: bytes) -> Recipient:
        """These for one recipient. Raises :class:`ExchangeError` for a certificate that cannot be encrypted to."""
        public = public_key(certificate)
        return Recipient(certificate, public.encrypt(self.document_key, OAEP), public.encrypt(self.mac_key, OAEP))

    def encrypt(self, key: bytes, entropy: Entropy) -> EncryptedKey:
        """A content key."""
        iv = entropy(_BLOCK)
        pad = _BLOCK - len(key) % _BLOCK
        encryptor = Cipher(algorithms.AES(self.document_key), modes.CBC(iv)).encryptor()
        cipher = iv + encryptor.update(key + bytes([pad]) * pad)
        return EncryptedKey(cipher, self._mac(cipher))

    def decrypt(self, encrypted: EncryptedKey) -> bytes:
        """A content key again; the MAC is verified first, so that padding tells nothing.

        Raises :class:`ExchangeError` for one that was altered or is no content key.
        """
        if not hmac.compare_digest(self._mac(encrypted.cipher), encrypted.mac):
            raise ExchangeError("ValueMAC: does not fit the encrypted key")
        iv, body = encrypted.cipher[:_BLOCK], encrypted.cipher[_BLOCK:]
        if not body or len(body) % _BLOCK:
            raise ExchangeError("EncryptedValue: not whole blocks behind an IV")
        plain = Cipher(algorithms.AES(self.document_key), modes.CBC(iv)).decryptor().update(body)
        # XML Encryption §5.2: the last byte is the length, the others are arbitrary.
        if not 1 <= plain[-1] <= _BLOCK:
            raise ExchangeError("EncryptedValue: padding is not of XML Encryption")
        return plain[: -plain[-1]]

    def _mac(self, cipher: bytes) -> bytes:
        made = HMAC(self.mac_key, hashes.SHA512())
        made.update(cipher)
        return made.finalize()


def public_key(certificate: bytes) -> RSAPublicKey:
    """The RSA key of a DER certificate. Raises :class:`ExchangeError`: for another kind, or a size out of limits."""
    try:
        found = load_der_x509_certificate(certificate).public_key()
    except (ValueError, InvalidSignature):
        raise ExchangeError("X509Certificate: cannot be read") from None
    if not isinstance(found, RSAPublicKey):
        raise ExchangeError("X509Certificate: not of an RSA key")
    if not MIN_RSA_BITS <= found.key_size <= MAX_RSA_BITS:
        raise ExchangeError(f"X509Certificate: RSA of {found.key_size} bits, expected {MIN_RSA_BITS} to {MAX_RSA_BITS}")
    return found


def encrypt_to(document: Document, certificates: Sequence[bytes], entropy: Entropy) -> Document:
    """The document with its clear keys encrypted to the holders of ``certificates`` (DER). Raises ExchangeError."""
    secrets = DocumentSecrets.fresh(entropy)
    return replace(
        document,
        recipients=tuple(secrets.to(certificate) for certificate in certificates),
        keys=tuple(
            entry if entry.key is None else replace(entry, key=None, encrypted=secrets.encrypt(entry.key, entropy))
            for entry in document.keys
        ),
    )


def decrypt_as(document: Document, certificate: bytes, private_key: RSAPrivateKey) -> Document:
    """The document with its keys in the clear, as the recipient with ``certificate`` (DER) reads it.

    Raises :class:`ExchangeError` where the document is not for that recipient, or was altered.
    """
    mine = [one for one in document.recipients if one.certificate == certificate]
    if len(mine) != 1 or mine[0].document_key is None or mine[0].mac_key is None:
        raise ExchangeError("DeliveryDataList: holds no document key for this recipient")
    try:
        secrets = DocumentSecrets(
            private_key.decrypt(mine[0].document_key, OAEP), private_key.decrypt(mine[0].mac_key, OAEP)
        )
    except ValueError:
        raise ExchangeError("DeliveryData: does not open with this recipient's key") from None
    if len(secrets.document_key) != DOCUMENT_KEY_BYTES:
        raise ExchangeError(f"DocumentKey: {len(secrets.document_key)} bytes, expected {DOCUMENT_KEY_BYTES}")
    return replace(document, keys=tuple(_in_clear(entry, secrets) for entry in document.keys))


def _in_clear(entry: KeyEntry, secrets: DocumentSecrets) -> KeyEntry:
    if entry.encrypted is None:
        return entry
    return replace(entry, key=secrets.decrypt(entry.encrypted), encrypted=None)
