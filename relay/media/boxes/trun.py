"""``trun``: a run of samples that lie together in the ``mdat`` (ISO/IEC 14496-12 §8.8.8)."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.errors import MediaError
from relay.media.box import Box, encode_box
from relay.media.cursor import Cursor

_DATA_OFFSET = 0x1
_FIRST_FLAGS = 0x4
_DURATION = 0x100
_SIZE = 0x200
_PER_SAMPLE = (_DURATION, _SIZE, 0x400, 0x800)


@dataclass(frozen=True, slots=True)
class Trun:
    """Track fragment run. ``sizes`` is None where the samples have their track's default size."""

    box: Box
    sample_count: int
    data_offset: int | None
    sizes: Sequence[int] | None

    @classmethod
    def decode(cls, box: Box, max_samples: int) -> "Trun":
        """Read the box. Raises :class:`MediaError`, also for more than ``max_samples`` samples."""
        cursor = Cursor(box.payload, box.where)
        _, flags = cursor.full_box(0, 1)
        count = cursor.u32()
        if count > max_samples:
            raise MediaError(f"{box.where}: {count} samples, at most {max_samples} are possible here")
        offset = cursor.i32() if flags & _DATA_OFFSET else None
        if flags & _FIRST_FLAGS:
            cursor.u32()
        width = sum(1 for bit in _PER_SAMPLE if flags & bit)
        table = cursor.words(width * count)
        if cursor.remaining:
            raise MediaError(f"{box.where}: {cursor.remaining} bytes more than its flags {flags:#x} announce")
        sizes = table[1 if flags & _DURATION else 0 :: width] if flags & _SIZE else None
        return cls(box, count, offset, sizes)

    def encode_with_offset(self) -> bytes:
        """The box with room for a data offset, 16 bytes from its start, all else as it was."""
        payload = self.box.payload
        if self.data_offset is not None:
            return encode_box(b"trun", bytes(payload))
        flags = int.from_bytes(payload[:4], "big") | _DATA_OFFSET
        return encode_box(b"trun", flags.to_bytes(4, "big"), bytes(payload[4:8]), bytes(4), bytes(payload[8:]))
