"""FairPlay signalling: the URI of an HLS key tag, by which the player's app asks for the key."""

from keys.signalling.pssh import require_kids


def skd_uri(kid: bytes) -> str:
    """The URI that names a key: ``skd://`` and the key ID in hexadecimal.

    The scheme is FairPlay's, the rest is the application's to define. Raises :class:`SignallingError`
    unless the key ID has 16 bytes.
    """
    require_kids([kid])
    return f"skd://{kid.hex()}"
