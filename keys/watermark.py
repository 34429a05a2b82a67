"""The two secrets of a watermarked asset, by HKDF-SHA256 (RFC 5869) from the operator's watermark secret.

The chip key is the mark: whoever has it can subtract it, so it goes to the embedder and the analyser alone. The code
key says which session gets which variants: whoever has it can frame any session, so an edge gets it for the assets
it serves and never the secret it comes from. The labels keep the two apart.
"""

from keys.encoding import encode_fields
from keys.errors import KeyRingError
from keys.schedule import expand

LABEL_CHIPS = b"segmentgate/1 watermark chips"
LABEL_CODE = b"segmentgate/1 watermark code"
MIN_SECRET_BYTES = 32
KEY_BYTES = 32


def chip_key(secret: bytes, asset: str) -> bytes:
    """The 32-byte key of an asset's patterns. Raises :class:`KeyRingError` for a short secret."""
    return _derived(secret, LABEL_CHIPS, asset)


def code_key(secret: bytes, asset: str) -> bytes:
    """The 32-byte key of an asset's session codes. Raises :class:`KeyRingError` for a short secret."""
    return _derived(secret, LABEL_CODE, asset)


def _derived(secret: bytes, label: bytes, asset: str) -> bytes:
    if len(secret) < MIN_SECRET_BYTES:
        raise KeyRingError(f"watermark secret: {len(secret)} bytes, needs at least {MIN_SECRET_BYTES}")
    return expand(secret, encode_fields(label, asset.encode()), KEY_BYTES)
