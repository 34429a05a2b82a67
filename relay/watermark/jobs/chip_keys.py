"""Which chip key an asset was marked with."""

from keys.watermark import chip_key
from relay.watermark.index import key_check


def chip_key_of(asset: str, check: str, secret: bytes, other: bytes) -> bytes | None:
    """The key that follows from a secret or another one, whichever the asset's index was made with; None: neither.

    ``check`` is the index's key check; an empty secret or key is none.
    """
    keys = (chip_key(secret, asset) if secret else b"", other)
    return next((key for key in keys if key and key_check(key, asset) == check), None)
