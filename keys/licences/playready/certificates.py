"""PlayReady's binary certificates and the chains they form, leaf first: read, not yet believed.

Everything is big-endian: a chain ``CHAI`` of certificates ``CERT``, each a list of typed objects, the last of which is
the signature over all before it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from keys.errors import LicenceRequestError
from keys.licences.playready.curve import POINT_BYTES
from keys.licences.playready.signatures import SIGNATURE_BYTES

MAX_CHAIN_BYTES = 16 * 1024
MAX_CERTIFICATES = 6

_CHAIN = Struct(">4sIIII")
_CERTIFICATE = Struct(">4sIII")
_OBJECT = Struct(">HHI")
_BASIC = Struct(">16sIII32sI16s")
_KEY = Struct(">HHI64sI")
_SIGNATURE = Struct(">HH64sI64s")
_U32 = Struct(">I")

_MUST_UNDERSTAND = 1
_NEVER = 0xFFFFFFFF
_KNOWN_OBJECTS = range(1, 0x12)
_BASIC_OBJECT, _FEATURES_OBJECT, _KEYS_OBJECT, _MANUFACTURER_OBJECT, _SIGNATURE_OBJECT = 1, 5, 6, 7, 8
_SIGNATURE_OBJECT_BYTES = _OBJECT.size + _SIGNATURE.size
_MAX_ENTRIES = 64
_MAX_NAME_BYTES = 128


class CertificateType(IntEnum):
    """What a certificate is for, as far as we care."""

    PC = 1
    DEVICE = 2
    ISSUER = 4
    APPLICATION = 8


class Usage(IntEnum):
    """What a certificate's key is for, as far as we care."""

    SIGN = 1
    ENCRYPT_KEY = 2
    ISSUE_ALL = 4
    ISSUE_DEVICES = 6
    SIGN_RESPONSE = 0x14


FEATURE_PLAYREADY_3 = 13
"""The client has what PlayReady 3 brought."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate. ``digest`` is the SHA-256 that it states of its subject's key; ``keys`` are points with their
    usages, ``names`` are its maker's name, model and number. ``signed`` are the bytes that ``signature`` (r and s)
    covers, made with ``issuer``.
    """

    id: bytes
    security_level: int
    type: int
    digest: bytes
    expires_at: int
    client_id: bytes
    keys: tuple[tuple[bytes, frozenset[int]], ...]
    features: frozenset[int]
    names: tuple[str, ...]
    signed: bytes
    signature: bytes
    issuer: bytes

    def key_for(self, usage: Usage) -> bytes:
        """The only key of this usage. Raises :class:`LicenceRequestError` for none or several."""
        found = [key for key, usages in self.keys if usage in usages]
        if len(found) != 1:
            raise LicenceRequestError(f"PlayReady certificate: {len(found)} keys of usage {usage:#x}, expected 1")
        return found[0]

    def expired(self, now: float) -> bool:
        """Whether its time is over."""
        return self.expires_at != _NEVER and self.expires_at <= now


def read_chain(data: bytes) -> tuple[Certificate, ...]:
    """Read a chain, leaf first; nothing is verified. Raises :class:`LicenceRequestError`."""
    if not _CHAIN.size <= len(data) <= MAX_CHAIN_BYTES:
        raise LicenceRequestError(
            f"PlayReady chain: {len(data)} bytes, expected {_CHAIN.size} to {MAX_CHAIN_BYTES}"
        )  # fmt: skip
    magic, version, total, _flags, count = _CHAIN.unpack_from(data)
    if magic != b"CHAI" or version != 1 or total != len(data):
        raise LicenceRequestError("PlayReady chain: its header is not that of a chain of version 1 and this length")
    if not 1 <= count <= MAX_CERTIFICATES:
        raise LicenceRequestError(f"PlayReady chain: {count} certificates, expected 1 to {MAX_CERTIFICATES}")
    certificates: list[Certificate] = []
    at = _CHAIN.size
    for number in range(count):
        where = f"PlayReady certificate {number}"
        if at + _CERTIFICATE.size > len(data):
            raise LicenceRequestError(f"{where}: cut off")
        magic, version, size, signed_size = _CERTIFICATE.unpack_from(data, at)
        if magic != b"CERT" or version != 1 or at + size > len(data):
            raise LicenceRequestError(f"{where}: its header is not that of a certificate of version 1 within the chain")
        if signed_size < _CERTIFICATE.size or signed_size + _SIGNATURE_OBJECT_BYTES != size:
            raise LicenceRequestError(f"{where}: the signature does not follow what is signed and end it")
        certificates.append(_read_certificate(data[at : at + size], signed_size, where))
        at += size
    if at != len(data):
        raise LicenceRequestError(f"PlayReady chain: {len(data) - at} bytes after the last certificate")
    return tuple(certificates)


def _read_certificate(data: bytes, signed_size: int, where: str) -> Certificate:
    objects = _read_objects(data, signed_size, where)
    basic, signature = objects[_BASIC_OBJECT], objects[_SIGNATURE_OBJECT]
    if len(basic) != _BASIC.size:
        raise LicenceRequestError(f"{where}: basic information of {len(basic)} bytes, expected {_BASIC.size}")
    kind, size, signature_value, issuer_bits, issuer = _SIGNATURE.unpack(signature)
    if (kind, size, issuer_bits) != (1, SIGNATURE_BYTES, 8 * POINT_BYTES):
        raise LicenceRequestError(f"{where}: signature of an unknown kind")
    id_, security_level, _flags, type_, digest, expires_at, client_id = _BASIC.unpack(basic)
    return Certificate(
        id=id_,
        security_level=security_level,
        type=type_,
        digest=digest,
        expires_at=expires_at,
        client_id=client_id,
        keys=tuple(_read_keys(objects[_KEYS_OBJECT], where)),
        features=frozenset(_read_features(objects.get(_FEATURES_OBJECT, bytes(4)), where)),
        names=_read_names(objects.get(_MANUFACTURER_OBJECT, b"")),
        signed=data[:signed_size],
        signature=signature_value,
        issuer=issuer,
    )


def _read_objects(data: bytes, signed_size: int, where: str) -> dict[int, bytes]:
    """The bodies of a certificate's objects by type: the ones we need are all there, and each is there once."""
    objects: dict[int, bytes] = {}
    at = _CERTIFICATE.size
    while at < signed_size:
        if at + _OBJECT.size > signed_size:
            raise LicenceRequestError(f"{where}: object cut off")
        flags, type_, size = _OBJECT.unpack_from(data, at)
        if size < _OBJECT.size or at + size > signed_size:
            raise LicenceRequestError(f"{where}: object {type_:#x} has an impossible length")
        if flags & _MUST_UNDERSTAND and type_ not in _KNOWN_OBJECTS:
            raise LicenceRequestError(f"{where}: object {type_:#x} must be understood and is not")
        if type_ == _SIGNATURE_OBJECT or type_ in objects:
            raise LicenceRequestError(f"{where}: object {type_:#x} is out of place")
        objects[type_] = data[at + _OBJECT.size : at + size]
        at += size
    _flags, type_, size = _OBJECT.unpack_from(data, signed_size)
    if type_ != _SIGNATURE_OBJECT or size != _SIGNATURE_OBJECT_BYTES:
        raise LicenceRequestError(f"{where}: does not end with its signature")
    objects[type_] = data[signed_size + _OBJECT.size :]
    for needed in (_BASIC_OBJECT, _KEYS_OBJECT):
        if needed not in objects:
            raise LicenceRequestError(f"{where}: object {needed:#x} is missing")
    return objects


def _read_keys(body: bytes, where: str) -> Iterable[tuple[bytes, frozenset[int]]]:
    at, count = 4, _u32(body, 0, where)
    if count > _MAX_ENTRIES:
        raise LicenceRequestError(f"{where}: {count} keys, more than {_MAX_ENTRIES}")
    for _ in range(count):
        if at + _KEY.size > len(body):
            raise LicenceRequestError(f"{where}: keys cut off")
        kind, bits, _flags, key, usages = _KEY.unpack_from(body, at)
        at += _KEY.size
        if (kind, bits) != (1, 8 * POINT_BYTES):
            raise LicenceRequestError(f"{where}: key of an unknown kind")
        if usages > _MAX_ENTRIES:
            raise LicenceRequestError(f"{where}: {usages} usages of a key, more than {_MAX_ENTRIES}")
        yield key, frozenset(_u32(body, at + 4 * i, where) for i in range(usages))
        at += 4 * usages


def _read_features(body: bytes, where: str) -> Iterable[int]:
    count = _u32(body, 0, where)
    if count > _MAX_ENTRIES:
        raise LicenceRequestError(f"{where}: {count} features, more than {_MAX_ENTRIES}")
    return [_u32(body, 4 + 4 * i, where) for i in range(count)]


def _read_names(body: bytes) -> tuple[str, ...]:
    """For people to read: unreadable or missing parts are left out, and what follows an overlong one."""
    parts: list[str] = []
    at = 4
    while len(parts) < 3 and at + 4 <= len(body):
        (size,) = _U32.unpack_from(body, at)
        if size > _MAX_NAME_BYTES:
            break
        text = body[at + 4 : at + 4 + size].rstrip(b"\0").decode("utf-8", "replace")
        parts.append("".join(c for c in text if c.isprintable()))
        at += 4 + size + -size % 4
    return tuple(parts)


def _u32(body: bytes, at: int, where: str) -> int:
    if at + 4 > len(body):
        raise LicenceRequestError(f"{where}: list cut off")
    (value,) = _U32.unpack_from(body, at)
    return int(value)
