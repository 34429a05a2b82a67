"""The marked pictures of a segment: luma plus and minus a dithered offset.

``d = floor(G * w(k) * M * P + u)`` with strength G, window w, mask M, carrier P and a dither u from [0, 1). The
dither keeps an offset below one code value alive on average and breaks the contours that rounding would draw.
"""

from functools import lru_cache
from hashlib import shake_256

import cv2
import numpy as np
import numpy.typing as npt

from relay.watermark.picture.grid import Chips
from relay.watermark.picture.mask import mask_of
from relay.watermark.picture.planes import Luma, Plane

RAMP_FRAMES = 5
_TILE = 512
_STEP = (23, 37)  # how far the dither moves with each frame, rows and columns: coprime to the tile, so it seems to boil


def window(k: int, n: int) -> float:
    """The strength of frame ``k`` of ``n``, which fades in and out so that no border of segments shows as a step."""
    return min(1.0, (k + 1) / RAMP_FRAMES, (n - k) / RAMP_FRAMES)


def carrier(chips: Chips, width: int, height: int) -> Plane:
    """The chips at a picture's size, bicubic, so that no cell has an edge."""
    return np.asarray(cv2.resize(chips.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


class Marker:
    """Marks the pictures of one segment, of one size and bit depth (8 or 10). Not for use by several threads."""

    def __init__(self, chips: Chips, width: int, height: int, depth: int = 8) -> None:
        self._carrier = carrier(chips, width, height)
        self._dither = _dither(width, height)
        self._depth = depth

    def offset(self, luma: Luma, k: int, n: int, gain: float) -> npt.NDArray[np.int16]:
        """What is added to the luma of frame ``k`` of ``n`` in variant a, and taken off it in b, in its code values."""
        height, width = luma.shape
        # 10-bit luma counts in quarters of an 8-bit code value.
        scale = 1 << (self._depth - 8)
        eight = luma if scale == 1 else cv2.convertScaleAbs(luma, alpha=1 / scale)
        strength = cv2.multiply(
            mask_of(np.asarray(eight, np.uint8), width, height), self._carrier, scale=gain * window(k, n) * scale
        )
        rows, columns = k * _STEP[0] % _TILE, k * _STEP[1] % _TILE
        dither = self._dither[rows : rows + height, columns : columns + width]
        # The sum is rounded to the nearest whole number as it becomes 16-bit; the dither is half a step lower for that.
        return np.asarray(cv2.add(strength, dither, dtype=cv2.CV_16S), np.int16)

    def variants(self, luma: Luma, k: int, n: int, gain: float) -> tuple[Luma, Luma]:
        """Frame ``k`` of ``n`` as variant a and as variant b, clipped to the codec's range."""
        offset = self.offset(luma, k, n, gain)
        if self._depth == 8:
            return (
                np.asarray(cv2.add(luma, offset, dtype=cv2.CV_8U), np.uint8),
                np.asarray(cv2.subtract(luma, offset, dtype=cv2.CV_8U), np.uint8),
            )
        most = (1 << self._depth) - 1
        return (
            np.minimum(np.asarray(cv2.add(luma, offset, dtype=cv2.CV_16U), np.uint16), most),
            np.minimum(np.asarray(cv2.subtract(luma, offset, dtype=cv2.CV_16U), np.uint16), most),
        )


@lru_cache(maxsize=2)
def _dither(width: int, height: int) -> Plane:
    """Noise, uniform in [-0.5, 0.5), a tile repeated beyond the picture's size so that every shift of it is a view."""
    drawn = np.frombuffer(shake_256(b"segmentgate/1 watermark dither").digest(_TILE * _TILE), np.uint8)
    tile = ((drawn.astype(np.float32) + 0.5) / 256 - 0.5).reshape(_TILE, _TILE)
    repeats = (-(-height // _TILE) + 1, -(-width // _TILE) + 1)
    return np.tile(tile, repeats)
