"""The ``seig`` sample group: key and IV of a fragment's samples, overriding ``tenc`` (ISO/IEC 23001-7 §6)."""

import struct
from dataclasses import dataclass

from relay.media.box import encode_full_box
from relay.media.model import TrackEncryption

GROUPING_TYPE = b"seig"

_LOCAL_ENTRY_1 = 0x10001
"""Index of the first entry of the fragment's own ``sgpd`` (ISO/IEC 14496-12 §8.9.4)."""


@dataclass(frozen=True, slots=True)
class Seig:
    """Puts all ``sample_count`` samples of a ``traf`` into one group. Encodes as ``sbgp`` and ``sgpd``."""

    sample_count: int
    encryption: TrackEncryption

    def encode(self) -> bytes:
        """Both boxes.

        One entry with its length in ``default_length``: the only form that ExoPlayer accepts.
        """
        entry = self.encryption.encode()
        to_group = struct.pack(">4sIII", GROUPING_TYPE, 1, self.sample_count, _LOCAL_ENTRY_1)
        description = struct.pack(">4sII", GROUPING_TYPE, len(entry), 1)
        return encode_full_box(b"sbgp", 0, 0, to_group) + encode_full_box(b"sgpd", 1, 0, description, entry)
