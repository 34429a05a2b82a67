"""``senc``, ``saiz`` and ``saio``: per-sample IVs and subsample maps, and where they lie.

ISO/IEC 23001-7 §7.2 and ISO/IEC 14496-12 §8.7.8, §8.7.9.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from relay.media.box import encode_full_box
from relay.media.subsamples import Subsample

_HAS_SUBSAMPLES = 2
_ONE_SUBSAMPLE = struct.Struct(">HHI")
_SENC_FIELDS = 16
_SAIO_SIZE = 20


@dataclass(frozen=True, slots=True)
class Senc:
    """The auxiliary information of one ``traf``. ``records`` has one entry per sample: its IV, then its map."""

    records: Sequence[bytes]
    has_subsamples: bool

    def encode(self, at: int) -> bytes:
        """``saiz``, ``saio`` and ``senc``, to stand ``at`` bytes into the ``moof``, from which ``saio`` counts."""
        sizes = bytes(map(len, self.records))
        uniform = sizes.count(sizes[0]) == len(sizes)
        count = len(sizes).to_bytes(4, "big")
        saiz = encode_full_box(b"saiz", 0, 0, sizes[:1] if uniform else b"\0", count, b"" if uniform else sizes)
        offset = at + len(saiz) + _SAIO_SIZE + _SENC_FIELDS
        saio = encode_full_box(b"saio", 0, 0, struct.pack(">II", 1, offset))
        senc = encode_full_box(b"senc", 0, _HAS_SUBSAMPLES if self.has_subsamples else 0, count, *self.records)
        return saiz + saio + senc


def encode_subsamples(subsamples: Sequence[Subsample]) -> bytes:
    """A sample's subsample map as ``senc`` has it."""
    if len(subsamples) == 1:
        clear, protected = subsamples[0]
        return _ONE_SUBSAMPLE.pack(1, clear, protected)
    fields = [number for subsample in subsamples for number in subsample]
    return struct.pack(">H" + "HI" * len(subsamples), len(subsamples), *fields)
