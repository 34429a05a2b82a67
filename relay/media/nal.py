"""NAL units in length-prefixed samples, and the emulation prevention bytes in them.

Shared by H.264 and HEVC (ISO/IEC 14496-15 §4.3; ITU-T H.264 §7.3.1, H.265 §7.3.1.1).
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from relay.errors import MediaError
from relay.media.bits import HEAD_WINDOWS, BitReader, OutOfBitsError

MAX_NAL_UNITS = 4096
"""Per sample. A picture has at most 600 slices at the top HEVC level; SEI messages come on top."""

MAX_PARAMETER_SET = 8192
"""Bytes. Real ones are under 200; scaling lists and reference picture sets can fill about 3000."""

_Sets = TypeVar("_Sets")

_ESCAPE = b"\x00\x00\x03"


def nal_units(sample: memoryview, length_size: int) -> Iterator[tuple[int, int]]:
    """Start and end of each NAL unit of a sample, without its length field, empty ones left out.

    Raises :class:`MediaError` when lengths overrun the sample or there are over ``MAX_NAL_UNITS``.
    """
    size = len(sample)
    start = length_size
    for _ in range(MAX_NAL_UNITS):
        if start > size:
            if start - length_size == size:
                return
            raise MediaError(f"NAL unit: {size - start + length_size} bytes left, too few for a length field")
        end = start + int.from_bytes(sample[start - length_size : start], "big")
        if end > size:
            raise MediaError(f"NAL unit: {end - start} bytes at {start} overrun a sample of {size}")
        if end > start:
            yield start, end
        start = end + length_size
    if start - length_size != size:
        raise MediaError(f"sample: more than {MAX_NAL_UNITS} NAL units")


def length_size(fields: int, box: str) -> int:
    """Bytes of the length before each NAL unit, where ``fields`` ends in lengthSizeMinusOne.

    Raises :class:`MediaError` naming ``box`` for 3, which ISO/IEC 14496-15 §5.3.3.1.2 rules out.
    """
    size = (fields & 3) + 1
    if size == 3:
        raise MediaError(f"{box}: NAL length size is 3")
    return size


def unescaped(data: bytes) -> bytes:
    """The RBSP of a NAL unit: without its emulation prevention bytes (H.264 §7.3.1)."""
    # A removed byte ends its run of zeros, so non-overlapping replacement is exact.
    return data.replace(_ESCAPE, b"\x00\x00")


def parameter_set(nal: bytes) -> BitReader:
    """A reader over a parameter set, at its NAL header. Raises :class:`MediaError` when it is over the limit."""
    if len(nal) > MAX_PARAMETER_SET:
        raise MediaError(f"parameter set: {len(nal)} bytes, over the limit of {MAX_PARAMETER_SET}")
    return BitReader(unescaped(nal))


def header_size(nal: memoryview, parse: Callable[[BitReader, _Sets], object], sets: _Sets) -> int:
    """Bytes from the start of a NAL unit that ``parse`` reads, rounded up, emulation prevention bytes included.

    ``sets`` is handed on to ``parse``, which may be called again with more bytes. Raises :class:`MediaError`
    when ``parse`` does or the header runs past the NAL unit.
    """
    for window in HEAD_WINDOWS:
        head = bytes(nal[:window])
        escaped = _ESCAPE in head
        reader = BitReader(unescaped(head) if escaped else head)
        try:
            parse(reader, sets)
        except OutOfBitsError:
            continue
        size = (reader.position + 7) >> 3
        return _escaped_size(head, size) if escaped else size
    raise MediaError("slice header runs past its NAL unit")


def _escaped_size(escaped: bytes, size: int) -> int:
    """How many escaped bytes hold the first ``size`` bytes of the RBSP."""
    at = escaped.find(_ESCAPE)
    # The escape counts only when a byte after it belongs to the header, too.
    while at != -1 and at + 2 < size:
        size += 1
        at = escaped.find(_ESCAPE, at + 3)
    return size
