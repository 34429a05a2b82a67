"""``sinf``: what a protected sample entry was, and how it is protected.

ISO/IEC 14496-12 §8.12 and ISO/IEC 23001-7 §8.2.
"""

from dataclasses import dataclass

from keys.model import Scheme
from relay.media.box import encode_box, encode_full_box
from relay.media.model import TrackEncryption

_SCHEME_VERSION = (0x00010000).to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class Sinf:
    """Protection scheme information box with its ``frma``, ``schm`` and ``schi``/``tenc``."""

    original_format: bytes
    encryption: TrackEncryption

    def encode(self) -> bytes:
        """The box."""
        scheme = self.encryption.scheme
        # Pattern and constant IV exist in version 1 only, and Safari crashes on a cbcs tenc of version 0.
        tenc = encode_full_box(b"tenc", 1 if scheme is Scheme.CBCS else 0, 0, self.encryption.encode())
        return encode_box(
            b"sinf",
            encode_box(b"frma", self.original_format),
            encode_full_box(b"schm", 0, 0, scheme.encode("ascii"), _SCHEME_VERSION),
            encode_box(b"schi", tenc),
        )
