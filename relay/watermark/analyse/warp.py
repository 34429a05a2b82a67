"""Where each place of the original is seen in the copy: a homography, and the bend of the lens that saw it.

The homography moves with a hand that holds the camera; the bend is the lens's own, a displacement of places in the
copy, and stays. (A curved screen's bend goes with it while the camera stands still.)
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from relay.watermark.least_squares import Columns, combined
from relay.watermark.picture.planes import BytePlane, Plane

Matrix = npt.NDArray[np.float64]
TERMS = 10
"""Of a cubic polynomial in two variables."""


@dataclass(frozen=True, slots=True)
class Warp:
    """From pixels of the original, of ``shape``, to pixels of the copy (of the mirrored copy where ``mirrored``)."""

    homography: Matrix
    shape: tuple[int, int]
    """Rows and columns of the original."""
    copy_shape: tuple[int, int]
    mirrored: bool = False
    bend: Matrix = field(default_factory=lambda: np.zeros((TERMS, 2)))
    """Displacement in pixels of the copy, as a cubic polynomial of the place there from -1 to 1."""

    def places(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        """Where the pixels (x, y) of the original are in the copy."""
        u, v = self.straight_places(x, y)
        if not self.bend.any():
            return u, v
        terms = bend_terms(u, v, self.copy_shape)
        right, down = (combined(factors, terms) for factors in self.bend.T.astype(np.float32))
        return u + right.reshape(u.shape), v + down.reshape(v.shape)

    def straight_places(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        """Where they would be if the lens were perfect."""
        h = self.homography.astype(np.float32)
        w = h[2, 0] * x + h[2, 1] * y + h[2, 2]
        # What lies behind the camera is nowhere in the picture.
        w = np.where(w > 1e-3, w, np.float32(1e-3))
        return (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / w, (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / w

    def after(self, small: Matrix) -> "Warp":
        """This warp, where ``small`` (a homography of normalised places) goes before it."""
        rows, columns = self.shape
        to_normal = np.array(
            [[2 / columns, 0, (1 - columns) / columns], [0, 2 / columns, (1 - rows) / columns], [0, 0, 1.0]]
        )
        moved = self.homography @ np.linalg.inv(to_normal) @ small @ to_normal
        return replace(self, homography=moved / moved[2, 2])

    def laid_over(self, copy: BytePlane | Plane) -> tuple[Plane, npt.NDArray[np.bool_]]:
        """The copy (already mirrored where that is so) as the original's camera saw it, and where it shows anything."""
        rows, columns = self.shape
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
        u, v = self.places(x, y)
        inside = self.is_inside(u, v, copy.shape)
        seen = cv2.remap(copy, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(seen, np.float32), inside

    @staticmethod
    def is_inside(u: Plane, v: Plane, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Which places lie in a copy of that shape: half a pixel more, for a pixel is as wide to all sides."""
        return np.asarray((u >= -0.5) & (u <= shape[1] - 0.5) & (v >= -0.5) & (v <= shape[0] - 0.5))

    def corners(self) -> npt.NDArray[np.float32]:
        """Where the corners of the original are in the copy, clockwise from the upper left."""
        rows, columns = self.shape
        x = np.array([0, columns - 1, columns - 1, 0], np.float32)
        y = np.array([0, 0, rows - 1, rows - 1], np.float32)
        return np.stack(self.places(x, y), axis=1)


def normalised(x: Plane, y: Plane, shape: tuple[int, int]) -> tuple[Plane, Plane]:
    """Pixels of a picture in units of half its width from its middle, the same along both axes."""
    rows, columns = shape
    return (x - (columns - 1) / 2) * (2 / columns), (y - (rows - 1) / 2) * (2 / columns)


def bend_terms(u: Plane, v: Plane, shape: tuple[int, int]) -> Columns:
    """The ten terms of a cubic polynomial at places of a copy of that shape, each a row."""
    # Beyond the picture's rim a cubic grows without sense, and nothing is seen there.
    x, y = (np.clip(one, -1.1, 1.1).reshape(-1) for one in normalised(u, v, shape))
    one = np.ones_like(x)
    return np.stack((one, x, y, x * x, x * y, y * y, x * x * x, x * x * y, x * y * y, y * y * y))


def oriented(copy: BytePlane, mirrored: bool) -> BytePlane:
    """The copy, or its mirror image."""
    return np.ascontiguousarray(copy[:, ::-1]) if mirrored else copy
