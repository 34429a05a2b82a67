"""Widevine signalling: a ``pssh`` box whose data is a ``WidevinePsshData`` protobuf message."""

from collections.abc import Sequence

from keys.errors import SignallingError
from keys.model import Scheme
from keys.signalling.pssh import Pssh, require_kids
from keys.signalling.systems import WIDEVINE

# Protobuf tags: field number << 3 | wire type (0 varint, 2 length-delimited).
_KEY_ID = 2 << 3 | 2
_PROTECTION_SCHEME = 9 << 3 | 0


def pssh(kids: Sequence[bytes], scheme: Scheme) -> bytes:
    """The whole box around :func:`data`. Raises what that raises."""
    return Pssh(WIDEVINE, data(kids, scheme)).encode()


def data(kids: Sequence[bytes], scheme: Scheme) -> bytes:
    """The message, naming ``kids`` (16 bytes each) in the order given.

    Raises :class:`SignallingError` without a key ID, and for AES-128, which Widevine does not know.
    """
    if scheme is Scheme.AES128:
        raise SignallingError("Widevine: knows no aes-128")
    if not kids:
        raise SignallingError("Widevine: needs at least one key ID")
    require_kids(kids)
    key_ids = b"".join(bytes([_KEY_ID, len(kid)]) + kid for kid in kids)
    # The scheme's four-character code, read as a big-endian number.
    scheme_number = int.from_bytes(scheme.encode(), "big")
    return key_ids + bytes([_PROTECTION_SCHEME]) + _varint(scheme_number)


def _varint(value: int) -> bytes:
    """A protobuf varint: 7 bits a byte, lowest first, the top bit set on all but the last."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
