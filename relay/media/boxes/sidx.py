"""``sidx``: sizes and times of subsegments (ISO/IEC 14496-12 §8.16.3)."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise

from relay.errors import MediaError
from relay.media.box import Box
from relay.media.cursor import Cursor

_TYPE_BIT = 0x80000000


@dataclass(frozen=True, slots=True)
class Sidx:
    """Segment index. It counts from ``start`` in ``timescale`` ticks per second.

    ``words`` is its reference table: type and size, duration, access point of each.
    """

    box: Box
    wide: bool
    timescale: int
    start: int
    first_offset: int
    words: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes, which correcting it does not change."""
        return self.box.size

    @classmethod
    def decode(cls, box: Box) -> "Sidx":
        """Read the box. Raises :class:`MediaError`."""
        cursor = Cursor(box.payload, box.where)
        version, _ = cursor.full_box(0, 1)
        _, timescale = cursor.words(2)
        start, offset = (cursor.u64(), cursor.u64()) if version else (cursor.u32(), cursor.u32())
        cursor.u16()
        words = cursor.words(3 * cursor.u16())
        if cursor.remaining:
            raise MediaError(f"{box.where}: {cursor.remaining} bytes behind its references")
        return cls(box, version == 1, timescale, start, offset, words)

    @property
    def durations(self) -> tuple[int, ...]:
        """Of the subsegments, in ticks."""
        return self.words[1::3]

    @property
    def nested(self) -> bool:
        """Whether it points to other ``sidx`` boxes."""
        return any(word & _TYPE_BIT for word in self.words[::3])

    def spans(self) -> list[int]:
        """Where in the file the referenced spans start, and where the last one ends."""
        sizes = [word & ~_TYPE_BIT for word in self.words[::3]]
        return list(accumulate(sizes, initial=self.box.end + self.first_offset))

    def encode_moved(self, moved: Callable[[int], int]) -> bytes:
        """The box after every position ``p`` became ``moved(p)``. Raises :class:`MediaError` past 31 bits."""
        spans = [moved(position) for position in self.spans()]
        out = bytearray(self.box.raw)
        offset = spans[0] - moved(self.box.end)
        at = len(out) - 4 * len(self.words)
        struct.pack_into(">Q" if self.wide else ">I", out, at - (12 if self.wide else 8), offset)
        for index, (start, end) in enumerate(pairwise(spans)):
            if end - start >= _TYPE_BIT:
                raise MediaError(f"{self.box.where}: subsegment {index} grew past 31 bits")
            struct.pack_into(">I", out, at + 12 * index, self.words[3 * index] & _TYPE_BIT | end - start)
        return bytes(out)
