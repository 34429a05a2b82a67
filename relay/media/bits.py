"""Bit fields, most significant first, and the variable-length numbers of H.264 and HEVC.

Headers of slices and frames are the hot path of protecting video: their first bytes become one integer,
and every field is a shift and a mask.
"""

from collections.abc import Callable
from typing import TypeVar

from relay.errors import MediaError

HEAD_WINDOWS = (64, 8192)
"""Bytes of a slice or frame to look at: nearly every header fits the first, so its cost does not depend on the
slice. HEVC entry points (32 bits for each of at most a few hundred tiles or rows) may need the second."""

_PAD = 64

_T = TypeVar("_T")


class OutOfBitsError(MediaError):
    """A field lies beyond the bytes at hand."""


class BitReader:
    """Reads bits, most significant first, from ``data``, which holds no emulation prevention bytes.

    Raises :class:`OutOfBitsError` at the end and :class:`MediaError` for an Exp-Golomb code over 32 bits.
    """

    __slots__ = ("_left", "_size", "_value")

    def __init__(self, data: bytes) -> None:
        self._size = len(data) * 8 + _PAD
        self._left = self._size
        # Padding lets an Exp-Golomb code be looked at whole without asking first whether it is all there.
        self._value = int.from_bytes(data, "big") << _PAD

    @property
    def position(self) -> int:
        """How many bits were read."""
        return self._size - self._left

    def u(self, bits: int) -> int:
        """An unsigned number of the given width."""
        left = self._left - bits
        if left < _PAD:
            raise OutOfBitsError("bit field runs past the end")
        self._left = left
        return (self._value >> left) & ((1 << bits) - 1)

    def flag(self) -> int:
        """One bit, 0 or 1."""
        left = self._left - 1
        if left < _PAD:
            raise OutOfBitsError("bit field runs past the end")
        self._left = left
        return (self._value >> left) & 1

    def ue(self) -> int:
        """An unsigned Exp-Golomb code (H.264 §9.1, HEVC §9.2)."""
        left = self._left
        window = (self._value >> (left - 32)) & 0xFFFFFFFF
        if window >= 0x80000000:
            if left == _PAD:
                raise OutOfBitsError("Exp-Golomb code runs past the end")
            self._left = left - 1
            return 0
        bits = 65 - 2 * window.bit_length()
        left -= bits
        if left < _PAD:
            raise OutOfBitsError("Exp-Golomb code runs past the end")
        if bits == 65:
            raise MediaError("Exp-Golomb code is over 32 bits")
        self._left = left
        return ((self._value >> left) & ((1 << bits) - 1)) - 1

    def se(self) -> int:
        """A signed Exp-Golomb code (H.264 §9.1.1, HEVC §9.2.2)."""
        code = self.ue()
        return (code + 1) >> 1 if code & 1 else -(code >> 1)


def read_head(data: memoryview, parse: Callable[[BitReader], _T]) -> _T:
    """What ``parse`` makes of the first bytes of ``data``.

    ``parse`` may be called again with more bytes, so it must not change anything before it is done. Raises
    :class:`MediaError` when it does or the data ends first.
    """
    for window in HEAD_WINDOWS:
        try:
            return parse(BitReader(bytes(data[:window])))
        except OutOfBitsError:
            continue
    raise MediaError(f"header runs past its {len(data)} bytes")
