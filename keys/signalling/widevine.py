"""Widevine signalling: a ``pssh`` box whose data is a ``WidevinePsshData`` protobuf message."""

from collections.abc import Sequence

from keys.errors import SignallingError
from keys.licences.protobuf import encode
from keys.model import Scheme
from keys.signalling.pssh import Pssh, require_kids
from keys.signalling.systems import WIDEVINE

_KEY_ID, _PROTECTION_SCHEME = 2, 9


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
    # The scheme's four-character code, read as a big-endian number.
    scheme_number = int.from_bytes(scheme.encode(), "big")
    return encode(*((_KEY_ID, kid) for kid in kids), (_PROTECTION_SCHEME, scheme_number))
