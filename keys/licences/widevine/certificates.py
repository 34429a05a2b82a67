"""Widevine certificates: a device's chain, followed from a configured root down to the device's own key."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from keys.encoding import encode_fields
from keys.errors import LicenceRequestError
from keys.licences.protobuf import Message
from keys.rsa import SHA1, verifies

MAX_TOKEN_BYTES = 16 * 1024
"""One device's whole chain; real ones stay under 4 KiB."""

_CACHED_DEVICES = 4096
_CACHED_MODELS = 256
_KEY_BITS = range(2048, 4097)
_RSA = 1
_DIGEST_LABEL = b"segmentgate/1 widevine device"
# The Widevine format fixes SHA-1 where nothing else is named; forging with it takes a second preimage.
_HASHES: dict[int, hashes.HashAlgorithm] = {0: SHA1, 1: SHA1, 2: hashes.SHA256(), 3: hashes.SHA384()}


class CertificateType(IntEnum):
    """``DrmCertificate.Type``. A certificate that names no type is none of them."""

    ROOT = 0
    DEVICE_MODEL = 1
    DEVICE = 2
    SERVICE = 3


@dataclass(frozen=True, slots=True)
class Certificate:
    """A ``SignedDrmCertificate`` as received: nothing in it is proven before :meth:`require_signed_by`."""

    name: str
    body: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    hash_algorithm: int
    signer: bytes = field(repr=False)
    type: int
    serial: bytes
    system_id: int
    provider_id: bytes
    algorithm: int
    public_key: bytes = field(repr=False)
    encryption_key: bytes = field(repr=False)
    expires_at: int

    @classmethod
    def decode(cls, signed: bytes, name: str) -> "Certificate":
        """Read one certificate; its signer stays unread bytes."""
        outer = Message.decode(signed, name)
        body = outer.blob(1)
        inner = Message.decode(body, name)
        encryption = inner.message(11, f"{name}, encryption key")
        return cls(
            name,
            body,
            signature=outer.blob(2),
            hash_algorithm=outer.number(4),
            signer=outer.blob(3),
            type=inner.number(1, default=-1),
            serial=inner.blob(2),
            system_id=inner.number(5),
            provider_id=inner.blob(7),
            algorithm=inner.number(9, default=_RSA),
            public_key=inner.blob(4),
            encryption_key=encryption.blob(1) if encryption.number(2, default=_RSA) == _RSA else b"",
            expires_at=inner.number(12),
        )

    def require(self, type_: CertificateType) -> None:
        """Raise :class:`LicenceRequestError` unless this is a certificate of ``type_`` with a serial number."""
        if self.type != type_:
            raise LicenceRequestError(f"{self.name}: not of type {type_.name}")
        if not self.serial:
            raise LicenceRequestError(f"{self.name}: no serial number")

    def is_signed_by(self, key: RSAPublicKey) -> bool:
        """Whether ``key`` made the signature over the certificate's own bytes."""
        algorithm = _HASHES.get(self.hash_algorithm)
        return algorithm is not None and verifies(key, self.signature, self.body, algorithm)

    def key(self) -> RSAPublicKey:
        """The RSA key certified. Call it only once the signature is known to be good."""
        if self.algorithm != _RSA:
            raise LicenceRequestError(f"{self.name}: key algorithm {self.algorithm} is not RSA")
        return load_key(self.public_key, self.name)


@dataclass(frozen=True, slots=True)
class DeviceCertificate:
    """What a chain to a configured root proves of a device. ``expires_at`` in seconds since the epoch, 0: never."""

    system_id: int
    serial: bytes
    model_serial: bytes
    expires_at: int
    signing_key: RSAPublicKey = field(repr=False)
    encryption_key: RSAPublicKey = field(repr=False)

    @property
    def digest(self) -> bytes:
        """16 bytes that stand for this device, the same in every challenge it makes."""
        return device_digest(self.system_id, self.serial)


class Roots:
    """The roots whose devices are served: each a DER ``RSAPublicKey`` (PKCS #1) or a root's ``SignedDrmCertificate``.

    Raises :class:`ValueError` for one that is neither.
    """

    def __init__(self, roots: Sequence[bytes]) -> None:
        self._keys = tuple(_root_key(root) for root in roots)
        # Checking a chain costs two signatures, one of which a whole model of devices shares. The bytes decide the
        # answer, so it may be remembered. Only what proved itself takes up room: errors are not kept.
        self._verified = lru_cache(_CACHED_DEVICES)(self._verify)
        self._model = lru_cache(_CACHED_MODELS)(self._verify_model)

    def verify(self, token: bytes, now: float) -> DeviceCertificate:
        """The device that ``token`` proves at ``now``.

        Raises :class:`LicenceRequestError` for a chain of another shape, one that leads to none of these roots, or
        an expired one.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise LicenceRequestError(f"Widevine chain: {len(token)} bytes, more than {MAX_TOKEN_BYTES}")
        device = self._verified(token)
        if device.expires_at and now >= device.expires_at:
            raise LicenceRequestError("Widevine chain: expired")
        return device

    def _verify(self, token: bytes) -> DeviceCertificate:
        leaf = Certificate.decode(token, "Widevine device certificate")
        leaf.require(CertificateType.DEVICE)
        # From the root down: no key from the token is used before its certificate is proven.
        model, model_key = self._model(leaf.signer)
        if leaf.system_id != model.system_id:
            raise LicenceRequestError("Widevine chain: device and model differ in their system ID")
        if not leaf.is_signed_by(model_key):
            raise LicenceRequestError("Widevine chain: the device certificate's signature is wrong")
        signing_key = leaf.key()
        return DeviceCertificate(
            leaf.system_id,
            leaf.serial,
            model.serial,
            min((end for end in (leaf.expires_at, model.expires_at) if end), default=0),
            signing_key,
            load_key(leaf.encryption_key, leaf.name) if leaf.encryption_key else signing_key,
        )

    def _verify_model(self, signed: bytes) -> tuple[Certificate, RSAPublicKey]:
        model = Certificate.decode(signed, "Widevine model certificate")
        model.require(CertificateType.DEVICE_MODEL)
        if not any(model.is_signed_by(key) for key in self._trusted(model.signer)):
            raise LicenceRequestError("Widevine chain: leads to no configured root")
        return model, model.key()

    def _trusted(self, appended_root: bytes) -> Sequence[RSAPublicKey]:
        """The keys that may have signed the model; a root in the token can only narrow them down."""
        if not appended_root:
            return self._keys
        root = Certificate.decode(appended_root, "Widevine root certificate")
        root.require(CertificateType.ROOT)
        return [key for key in self._keys if root.is_signed_by(key)]


def device_digest(system_id: int, serial: bytes) -> bytes:
    """16 bytes that stand for the device with a certificate of this serial number."""
    return sha256(encode_fields(_DIGEST_LABEL, system_id.to_bytes(8, "big"), serial)).digest()[:16]


def load_key(der: bytes, name: str) -> RSAPublicKey:
    """An ``RSAPublicKey`` of 2048 to 4096 bits. Raises :class:`LicenceRequestError` for anything else."""
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise LicenceRequestError(f"{name}: its key cannot be read") from None
    if not isinstance(key, RSAPublicKey) or key.key_size not in _KEY_BITS:
        raise LicenceRequestError(f"{name}: its key is not RSA of 2048 to 4096 bits")
    return key


def _root_key(root: bytes) -> RSAPublicKey:
    name = "Widevine root"
    # A PKCS #1 key is a DER SEQUENCE; a certificate starts with its field 1.
    is_der = root[:1] == b"\x30"
    try:
        return load_key(root, name) if is_der else Certificate.decode(root, name).key()
    except LicenceRequestError as error:
        raise ValueError(str(error)) from None
