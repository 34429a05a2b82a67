"""FairPlay signalling: the URI of an HLS key tag, which the player's app and our licences read alike."""

import re

from keys.errors import SignallingError
from keys.signalling.pssh import require_kids

# iOS may hand the URI over with its host part in another case.
_SKD = re.compile(r"skd://([0-9a-f]{32})", re.ASCII | re.IGNORECASE)


def skd_uri(kid: bytes) -> str:
    """The URI that names a key: ``skd://`` and the key ID in hexadecimal.

    The scheme is FairPlay's, the rest is the application's to define. Raises :class:`SignallingError`
    unless the key ID has 16 bytes.
    """
    require_kids([kid])
    return f"skd://{kid.hex()}"


def parse_skd_uri(uri: str) -> bytes:
    """The key ID that a URI of :func:`skd_uri` names. Raises :class:`SignallingError` for any other."""
    match = _SKD.fullmatch(uri)
    if match is None:
        raise SignallingError("FairPlay: expected skd:// and 32 hexadecimal digits")
    return bytes.fromhex(match[1])
