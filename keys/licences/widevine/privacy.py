"""Widevine privacy mode: clients encrypt their identity to the service's certificate."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from keys.errors import LicenceRequestError
from keys.licences.protobuf import Message
from keys.licences.widevine.certificates import Certificate, CertificateType
from keys.licences.widevine.derivation import decrypt
from keys.licences.widevine.devices import ClientId
from keys.rsa import OAEP

_PRIVACY_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class ServiceIdentity:
    """A service certificate (``SignedDrmCertificate``, signed by the root its clients trust) and its RSA key."""

    certificate: bytes = field(repr=False)
    provider_id: bytes
    serial: bytes
    key: RSAPrivateKey = field(repr=False)

    @classmethod
    def load(cls, certificate: bytes, private_key_pem: bytes) -> "ServiceIdentity":
        """Raises :class:`ValueError` unless ``certificate`` is a service's and certifies just this key."""
        try:
            read = Certificate.decode(certificate, "Widevine service certificate")
            read.require(CertificateType.SERVICE)
            certified = read.key()
            key = serialization.load_pem_private_key(private_key_pem, None)
        except LicenceRequestError as error:
            raise ValueError(str(error)) from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("Widevine service key: not an unencrypted private key in PEM") from None
        if not isinstance(key, RSAPrivateKey) or key.public_key() != certified:
            raise ValueError("Widevine service certificate: certifies another key")
        return cls(certificate, read.provider_id, read.serial, key)


def decrypt_client_id(encoded: bytes, identities: Sequence[ServiceIdentity]) -> ClientId:
    """The identity in an ``EncryptedClientIdentification``, made for any of ``identities``.

    Raises :class:`LicenceRequestError`; for all that can go wrong under a known certificate with one message, so that
    nobody learns about another's identity by sending variations of it.
    """
    message = Message.decode(encoded, "Widevine encrypted client ID")
    wanted = message.blob(1), message.blob(2)
    identity = next((known for known in identities if (known.provider_id, known.serial) == wanted), None)
    if identity is None:
        raise LicenceRequestError("Widevine encrypted client ID: made for a service certificate not held here")
    try:
        privacy_key = identity.key.decrypt(message.blob(5), OAEP)
        if len(privacy_key) != _PRIVACY_KEY_BYTES:
            raise ValueError("not an AES-128 key")
        return ClientId.decode(decrypt(privacy_key, message.blob(4), message.blob(3)))
    except (ValueError, LicenceRequestError):
        raise LicenceRequestError("Widevine encrypted client ID: does not decrypt to a client ID") from None
