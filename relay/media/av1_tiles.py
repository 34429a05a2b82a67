"""AV1 tiles: how many a frame has, and how long each is in a tile group (AV1 §5.9.15, §5.11.1)."""

from dataclasses import dataclass

from relay.errors import MediaError
from relay.media.bits import BitReader
from relay.media.subsamples import Range

_MAX_TILE_WIDTH = 4096
_MAX_TILE_AREA = 4096 * 2304
_MAX_TILE_COLS = _MAX_TILE_ROWS = 64


@dataclass(frozen=True, slots=True)
class TileLayout:
    """``index_bits`` is the width of a tile number, ``size_bytes`` that of a tile's size field."""

    count: int
    index_bits: int
    size_bytes: int


def read_tile_layout(r: BitReader, use_128x128_superblock: bool, width: int, height: int) -> TileLayout:
    """Read ``tile_info()`` (§5.9.15). Raises :class:`MediaError`."""
    log2 = 7 if use_128x128_superblock else 6
    # The picture is a whole number of 8x8 blocks before it is cut into superblocks.
    sb_cols = ((width + 7 & ~7) + (1 << log2) - 1) >> log2
    sb_rows = ((height + 7 & ~7) + (1 << log2) - 1) >> log2
    max_width = _MAX_TILE_WIDTH >> log2
    min_cols_log2 = _tile_log2(max_width, sb_cols)
    max_cols_log2 = _tile_log2(1, min(sb_cols, _MAX_TILE_COLS))
    max_rows_log2 = _tile_log2(1, min(sb_rows, _MAX_TILE_ROWS))
    min_log2 = max(min_cols_log2, _tile_log2(_MAX_TILE_AREA >> (2 * log2), sb_rows * sb_cols))
    if r.flag():
        cols_log2 = _read_log2(r, min_cols_log2, max_cols_log2)
        rows_log2 = _read_log2(r, max(min_log2 - cols_log2, 0), max_rows_log2)
        cols = _uniform_count(sb_cols, cols_log2)
        rows = _uniform_count(sb_rows, rows_log2)
    else:
        cols, widest = _read_sizes(r, sb_cols, max_width, _MAX_TILE_COLS)
        area = sb_rows * sb_cols
        if min_log2:
            area >>= min_log2 + 1
        rows, _ = _read_sizes(r, sb_rows, max(area // widest, 1), _MAX_TILE_ROWS)
        cols_log2 = _tile_log2(1, cols)
        rows_log2 = _tile_log2(1, rows)
    index_bits = cols_log2 + rows_log2
    if not index_bits:
        return TileLayout(1, 0, 0)
    r.u(index_bits)
    return TileLayout(cols * rows, index_bits, r.u(2) + 1)


def _tile_log2(block: int, target: int) -> int:
    log2 = 0
    while block << log2 < target:
        log2 += 1
    return log2


def _read_log2(r: BitReader, least: int, most: int) -> int:
    while least < most and r.flag():
        least += 1
    return least


def _uniform_count(superblocks: int, log2: int) -> int:
    size = (superblocks + (1 << log2) - 1) >> log2
    return -(-superblocks // size)


def _read_sizes(r: BitReader, superblocks: int, largest: int, limit: int) -> tuple[int, int]:
    """How many columns or rows of explicit sizes there are, and the largest size."""
    sizes: list[int] = []
    left = superblocks
    while left:
        if len(sizes) == limit:
            raise MediaError(f"AV1 frame: more than {limit} tile columns or rows")
        sizes.append(read_ns(r, min(left, largest)) + 1)
        left -= sizes[-1]
    return len(sizes), max(sizes)


def read_ns(r: BitReader, symbols: int) -> int:
    """``ns(n)`` (§4.10.7): a number below ``symbols``, which is at least 1."""
    bits = symbols.bit_length()
    spare = (1 << bits) - symbols
    value = r.u(bits - 1)
    if value < spare:
        return value
    return (value << 1) - spare + r.flag()


def tile_ranges(sample: memoryview, start: int, end: int, layout: TileLayout, first: int) -> tuple[list[Range], int]:
    """The tiles of the tile group from ``start`` to ``end`` and the number of the tile after them.

    Raises :class:`MediaError` when the group does not go on at tile ``first`` or a tile overruns it.
    """
    last = layout.count - 1
    if layout.count > 1 and start < end:
        r = BitReader(bytes(sample[start : min(end, start + 4)]))
        if r.flag():
            if r.u(layout.index_bits) != first:
                raise MediaError("AV1 tile group: not the next tile of its frame")
            last = r.u(layout.index_bits)
        start += (r.position + 7) >> 3
    if not first <= last < layout.count:
        raise MediaError(f"AV1 tile group: tiles {first} to {last} of {layout.count}")
    ranges = []
    for _ in range(first, last):
        at = start + layout.size_bytes
        tile_end = at + int.from_bytes(sample[start:at], "little") + 1
        if tile_end >= end:
            raise MediaError("AV1 tile group: a tile overruns it")
        ranges.append((at, tile_end))
        start = tile_end
    if start >= end:
        raise MediaError("AV1 tile group: ends before its last tile")
    ranges.append((start, end))
    return ranges, last + 1
