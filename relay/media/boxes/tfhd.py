"""``tfhd``: which track a fragment belongs to, and its defaults (ISO/IEC 14496-12 §8.8.7)."""

from dataclasses import dataclass

from relay.errors import MediaError
from relay.media.box import Box, encode_full_box
from relay.media.cursor import Cursor

_BASE_DATA_OFFSET = 0x1
_DESCRIPTION_INDEX = 0x2
_DURATION = 0x8
_SIZE = 0x10
_FLAGS = 0x20
_BASE_IS_MOOF = 0x20000


@dataclass(frozen=True, slots=True)
class Tfhd:
    """Track fragment header. None stands for a field that is left out."""

    box: Box
    flags: int
    track_id: int
    base_data_offset: int | None
    description_index: int | None
    default_size: int | None

    @classmethod
    def decode(cls, box: Box) -> "Tfhd":
        """Read the box. Raises :class:`MediaError`."""
        cursor = Cursor(box.payload, box.where)
        _, flags = cursor.full_box(0)
        track_id = cursor.u32()
        base = cursor.u64() if flags & _BASE_DATA_OFFSET else None
        index = cursor.u32() if flags & _DESCRIPTION_INDEX else None
        if flags & _DURATION:
            cursor.u32()
        size = cursor.u32() if flags & _SIZE else None
        if flags & _FLAGS:
            cursor.u32()
        if cursor.remaining:
            raise MediaError(f"{box.where}: {cursor.remaining} bytes more than its flags {flags:#x} announce")
        return cls(box, flags, track_id, base, index, size)

    @property
    def base_is_moof(self) -> bool:
        """Whether data offsets count from the start of the ``moof``."""
        return self.base_data_offset is None and bool(self.flags & _BASE_IS_MOOF)

    def encode_relative(self) -> bytes:
        """The box with data offsets counted from the ``moof``, all else as it was."""
        if self.base_is_moof:
            return bytes(self.box.raw)
        fields = self.box.payload[4:8], self.box.payload[8 if self.base_data_offset is None else 16 :]
        return encode_full_box(b"tfhd", 0, self.flags & ~_BASE_DATA_OFFSET | _BASE_IS_MOOF, *map(bytes, fields))
