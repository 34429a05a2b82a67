"""Sealing: small values that travel through clients and come back, unread and unaltered.

AES-SIV (RFC 5297) needs no nonce: the same value seals to the same text, which keeps URLs cacheable,
and nothing is lost when that happens.
"""

from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from keys import base64url
from keys.errors import SealError


class Sealer:
    """Seals with the first key, opens with any of them (32 bytes each), so that keys can be replaced."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = [AESSIV(key) for key in keys]

    def seal(self, value: bytes, context: bytes = b"") -> str:
        """Seal ``value`` (not empty) for ``context``, as base64url without padding."""
        return base64url.encode(self._ciphers[0].encrypt(value, [context]))

    def open(self, text: str, context: bytes = b"") -> bytes:
        """The value sealed in ``text``. Raises :class:`SealError`, without saying which check failed."""
        try:
            # Canonical only: two spellings of one value would slip past caches and logs keyed by the text.
            sealed = base64url.decode(text)
        except ValueError:
            raise SealError("sealed value: not canonical base64url") from None
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed, [context])
            except (InvalidTag, ValueError):
                continue
        raise SealError("sealed value: does not open")
