"""Licences in PlayReady's binary format (XMR): a list of typed objects, some of them containers, ended by a MAC.

Objects are ``flags, type, length`` (2, 2 and 4 bytes, big-endian, the length counting these 8) and a body.
"""

from enum import IntEnum
from struct import pack

from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC

from keys.material import kid_guid
from keys.model import Scheme

_VERSION = 3
_MUST_UNDERSTAND = 1
_CONTAINER = 2
_HEAD_BYTES = 8
_MAC_OBJECT_BYTES = _HEAD_BYTES + 4 + 16
_ECC_256 = 3
_KEY_TYPES = {Scheme.CENC: 1, Scheme.CBCS: 5}


class ObjectType(IntEnum):
    """The objects that we write."""

    OUTER = 0x01
    GLOBAL_POLICY = 0x02
    PLAYBACK_POLICY = 0x04
    OUTPUT_LEVELS = 0x05
    KEY_MATERIAL = 0x09
    CONTENT_KEY = 0x0A
    SIGNATURE = 0x0B
    RIGHTS = 0x0D
    VALID_BETWEEN = 0x12
    ISSUED_AT = 0x13
    DEVICE_KEY = 0x2A
    PLAY_FOR = 0x30
    SECURITY_LEVEL = 0x34
    PLAY_ENABLERS = 0x36
    PLAY_ENABLER = 0x39
    REAL_TIME_EXPIRATION = 0x55
    DIGITAL_VIDEO_PROTECTIONS = 0x58
    DIGITAL_VIDEO_PROTECTION = 0x59


def item(type_: ObjectType, body: bytes = b"") -> bytes:
    """An object that a client must understand to use the licence."""
    return pack(">HHI", _MUST_UNDERSTAND, type_, _HEAD_BYTES + len(body)) + body


def container(type_: ObjectType, *items: bytes) -> bytes:
    """An object made of objects."""
    body = b"".join(items)
    return pack(">HHI", _MUST_UNDERSTAND | _CONTAINER, type_, _HEAD_BYTES + len(body)) + body


def key_material(kid: bytes, scheme: Scheme, wrapped: bytes, device_key: bytes) -> bytes:
    """A content key, encrypted to ``device_key`` (a point), which tells the device that the key is for it.

    Raises :class:`ValueError` for AES-128, which PlayReady does not know.
    """
    if scheme not in _KEY_TYPES:
        raise ValueError("PlayReady knows no aes-128")
    key = kid_guid(kid) + pack(">HHH", _KEY_TYPES[scheme], _ECC_256, len(wrapped)) + wrapped
    return container(
        ObjectType.KEY_MATERIAL,
        item(ObjectType.CONTENT_KEY, key),
        item(ObjectType.DEVICE_KEY, pack(">HH", 1, len(device_key)) + device_key),
    )


def licence(rights_id: bytes, containers: bytes, integrity_key: bytes) -> bytes:
    """The whole licence: its ID (16 bytes), what it holds, and the MAC over both under ``integrity_key``.

    Raises :class:`ValueError` for an ID of another length.
    """
    if len(rights_id) != 16:
        raise ValueError(f"rights ID: {len(rights_id)} bytes, expected 16")
    # The outer container runs to the end, and its length already counts the MAC that covers it.
    size = _HEAD_BYTES + len(containers) + _MAC_OBJECT_BYTES
    outer = pack(">HHI", _MUST_UNDERSTAND | _CONTAINER, ObjectType.OUTER, size)
    covered = pack(">4sI", b"XMR\0", _VERSION) + rights_id + outer + containers
    mac = CMAC(algorithms.AES(integrity_key))
    mac.update(covered)
    return covered + item(ObjectType.SIGNATURE, pack(">HH", 1, 16) + mac.finalize())
