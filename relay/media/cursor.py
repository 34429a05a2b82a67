"""Bounds-checked reading: past the end is a :class:`MediaError`, never an ``IndexError``."""

import struct

from relay.errors import MediaError


class Cursor:
    """Reads big-endian fields one after another from ``view``. ``what`` names it in errors."""

    __slots__ = ("_at", "_view", "_what")

    def __init__(self, view: memoryview, what: str) -> None:
        self._view = view
        self._at = 0
        self._what = what

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._view) - self._at

    def take(self, count: int) -> memoryview:
        """The next ``count`` bytes, not copied."""
        at = self._at
        if count > len(self._view) - at:
            raise MediaError(f"{self._what}: {count} bytes wanted at {at}, {len(self._view) - at} left")
        self._at = at + count
        return self._view[at : at + count]

    def u16(self) -> int:
        """An unsigned 16-bit number."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """An unsigned 32-bit number."""
        return int.from_bytes(self.take(4), "big")

    def i32(self) -> int:
        """A signed 32-bit number."""
        return int.from_bytes(self.take(4), "big", signed=True)

    def u64(self) -> int:
        """An unsigned 64-bit number."""
        return int.from_bytes(self.take(8), "big")

    def words(self, count: int) -> tuple[int, ...]:
        """``count`` unsigned 32-bit numbers, in one step: tables have thousands."""
        return struct.unpack(f">{count}I", self.take(4 * count))

    def full_box(self, *versions: int) -> tuple[int, int]:
        """The version and flags that start a full box (ISO/IEC 14496-12 §4.2); refuses other versions."""
        head = self.u32()
        version, flags = head >> 24, head & 0xFFFFFF
        if version not in versions:
            raise MediaError(f"{self._what}: unknown version {version}")
        return version, flags
