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
from relay.watermark.picture.planes import BytePlane, Plane

VARIANTS = ("a", "b")
"""Names of the variants; a symbol of a session's code is the place in here."""
RAMP_FRAMES = 5
Offset = npt.NDArray[np.int8]
"""What variant a has more than the original and b has less, in 8-bit code values."""

_TILE = 512
_STEP = (23, 37)  # how far the dither moves with each frame, rows and columns: coprime to the tile, so it seems to boil
_LIFT = 64  # keeps sums positive, where cutting off the fraction is rounding down


def window(k: int, n: int) -> float:
    """The strength of frame ``k`` of ``n``, which fades in and out so that no border of segments shows as a step."""
    return min(1.0, (k + 1) / RAMP_FRAMES, (n - k) / RAMP_FRAMES)


def carrier(chips: Chips, width: int, height: int) -> Plane:
    """The chips at a picture's size, bicubic, so that no cell has an edge."""
    return np.asarray(cv2.resize(chips.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


class Marker:
    """What one segment adds to pictures of one size."""

    def __init__(self, chips: Chips, width: int, height: int) -> None:
        self._carrier = carrier(chips, width, height)
        self._dither = _dither(width, height)

    def offset(self, luma: BytePlane, k: int, n: int, gain: float) -> Offset:
        """The offset of frame ``k`` of ``n``, whose luma this is, at strength ``gain``."""
        height, width = luma.shape
        marked = cv2.multiply(mask_of(luma, width, height), self._carrier, scale=gain * window(k, n))
        rows, columns = k * _STEP[0] % _TILE, k * _STEP[1] % _TILE
        dithered = cv2.add(marked, self._dither[rows : rows + height, columns : columns + width])
        return (dithered.astype(np.uint8) - np.uint8(_LIFT)).view(np.int8)


def variant_of(luma: BytePlane, offset: Offset, variant: int) -> BytePlane:
    """The luma of variant 0 (a) or 1 (b), clipped to what 8 bits hold."""
    shifted = np.negative(offset) if variant else offset
    more, less = np.maximum(shifted, 0).view(np.uint8), np.maximum(np.negative(shifted), 0).view(np.uint8)
    # OpenCV's sums of bytes saturate. Three of them take a tenth of the time of one sum of mixed types.
    return np.asarray(cv2.subtract(cv2.add(luma, more), less), np.uint8)


@lru_cache(maxsize=2)
def _dither(width: int, height: int) -> Plane:
    """Noise, uniform in [0, 1), lifted; a tile repeated beyond the picture's size, so that all its shifts are views."""
    drawn = np.frombuffer(shake_256(b"segmentgate/1 watermark dither").digest(_TILE * _TILE), np.uint8)
    tile = ((drawn.astype(np.float32) + 0.5) / 256 + _LIFT).reshape(_TILE, _TILE)
    return np.tile(tile, (-(-height // _TILE) + 1, -(-width // _TILE) + 1))
