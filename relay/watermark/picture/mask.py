"""How much of the mark each place of a picture may take: more in texture, less near black and white.

Local means and deviations are taken on luma 320 wide, so that all renditions of a picture have the same mask.
"""

import cv2
import numpy as np

from relay.watermark.picture.planes import BytePlane, Plane, height_at, shrunk

WIDTH = 320
_AROUND = (9, 9)
_BESIDE_EDGES = np.ones((5, 5), np.uint8)
_SMOOTH = (7, 7)
_ACTIVITY_GAIN = 0.12
_MOST = 3.0
# Dark and very bright zones show less texture of their own to hide a pattern in.
_LEVELS = (16.0, 40.0, 70.0, 200.0, 235.0)
_SHARES = (0.6, 0.8, 1.0, 1.0, 0.85)


def mask_of(luma: BytePlane | Plane, width: int, height: int) -> Plane:
    """The mask at ``width`` by ``height``, from 0.6 to 3, of luma of any size in 8-bit code values."""
    small = _small_mask(shrunk(luma, WIDTH, height_at(WIDTH, luma.shape[1], luma.shape[0])))
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _small_mask(luma: Plane) -> Plane:
    mean = cv2.blur(luma, _AROUND)
    variance = cv2.subtract(cv2.blur(cv2.multiply(luma, luma), _AROUND), cv2.multiply(mean, mean))
    deviation = np.sqrt(np.maximum(variance, 0.0))
    # The least activity nearby: smooth zones beside an edge stay smooth.
    activity = cv2.blur(cv2.erode(deviation, _BESIDE_EDGES), _SMOOTH)
    texture = np.minimum(1.0 + _ACTIVITY_GAIN * activity, _MOST)
    return np.asarray(texture * np.interp(mean, _LEVELS, _SHARES), np.float32)
