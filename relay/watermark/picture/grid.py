"""The chips: the keyed pattern of signs that one segment carries, on a grid that is laid over any picture size."""

from dataclasses import dataclass
from hashlib import shake_256

import numpy as np
import numpy.typing as npt

from keys.encoding import encode_fields

ROWS = 36
LABEL = b"segmentgate/1 watermark pattern"
Chips = npt.NDArray[np.int8]
"""+1 and -1, rows by columns of a grid."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How many cells of the pattern a picture has. One for all renditions of an asset, so that they share patterns."""

    rows: int
    columns: int


def grid_of(width: int, height: int) -> Grid:
    """The grid of a picture with square pixels: 36 rows of nearly square cells (64 columns at 16:9)."""
    return Grid(ROWS, max(1, round(ROWS * width / height)))


def chips(chip_key: bytes, asset: str, position: int, rows: int, columns: int) -> Chips:
    """The pattern of a segment: bits of SHAKE-256 over key, asset and position, most significant first; 1 is +1."""
    seed = encode_fields(LABEL, chip_key, asset.encode(), position.to_bytes(8, "big"))
    drawn = shake_256(seed).digest(-(-rows * columns // 8))
    bits = np.unpackbits(np.frombuffer(drawn, np.uint8), count=rows * columns)
    return (bits.astype(np.int8) * 2 - 1).reshape(rows, columns)
