"""Following the picture from frame to frame: small moves of a camera, found from all of the picture at once.

A frame of the copy is explained by the original's tone, and by the original's gradients times a homography's eight
small parameters (Lucas and Kanade 1981, inverse composition); solved robustly and repeated. Only every seventh pixel
is looked at.
"""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from relay.watermark.analyse.warp import Warp, normalised
from relay.watermark.least_squares import combined, solved
from relay.watermark.picture.planes import BytePlane, Plane

_SAMPLED = 7
_DETAIL = 15
_AROUND = 31
_FAINT = 1.5
_CAUCHY = 2.385
_GEOMETRY = 8
_RIDGE = 1e-7
_LONGEST_STEP = 0.06  # of half the width: beyond, the gradients say nothing
LEAST_AGREEMENT = 0.25
"""Correlation of fine detail below which two pictures are not the same: 0 +- 0.03 between different ones."""
FLAT = 0.8
"""Deviation of fine detail, in code values, below which a picture has nothing to align."""

Samples = npt.NDArray[np.float32]


_SMOOTHING = (1.0, 3.5)


class Original:
    """A frame of the original, at sampled pixels, smoothed as far as it is asked for."""

    def __init__(self, luma: BytePlane) -> None:
        self.luma = luma
        self._real = luma.astype(np.float32)
        self._taken = _taken(*luma.shape)
        detail, even = _detail(self._real)
        self.detail: Samples = even.reshape(-1)[self._taken]
        self.flat = float(detail.std()) < FLAT
        """Whether it shows nothing that could be aligned."""
        self._levels: dict[int, tuple[Samples, Samples, Samples]] = {}

    def level(self, index: int) -> tuple[Samples, Samples, Samples]:
        """Luma at one level of smoothing, fine (0) or coarse (1), and its gradients per half width."""
        if index not in self._levels:
            smooth = cv2.GaussianBlur(self._real, (0, 0), _SMOOTHING[index])
            scale = 0.25 * self._real.shape[1]
            planes = (
                smooth,
                cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1, scale=scale),
                cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1, scale=scale),
            )
            luma, across, down = (np.asarray(plane, np.float32).reshape(-1)[self._taken] for plane in planes)
            self._levels[index] = luma, across, down
        return self._levels[index]


class Copy:
    """A frame of the copy, smoothed as far as it is asked for."""

    def __init__(self, luma: BytePlane) -> None:
        self.luma = luma
        real = luma.astype(np.float32)
        _, self._detail = _detail(real)
        self._real = real
        self._smooth: dict[int, Plane] = {}

    def agreement(self, original: Original, warp: Warp) -> float:
        """The correlation of fine detail where both are seen; 0 where too little is."""
        seen, inside = _sampled(self._detail, warp)
        if inside.sum() < 500:
            return 0.0
        a, b = original.detail[inside], seen[inside]
        norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
        return float((a * b).sum()) / norm if norm > 0 else 0.0

    def level(self, index: int) -> Plane:
        """The luma smoothed like that level of the original."""
        if index not in self._smooth:
            self._smooth[index] = np.asarray(cv2.GaussianBlur(self._real, (0, 0), _SMOOTHING[index]), np.float32)
        return self._smooth[index]


def refined(original: Original, copy: Copy, warp: Warp, level: int, rounds: int) -> Warp:
    """The warp after ``rounds`` of small corrections at one level of smoothing; as it was where nothing can be said."""
    o, across, down = original.level(level)
    x, y = _normal_places(*warp.shape)
    scaled = np.asarray(o / 128 - 1, np.float32)
    terms_of_tone = (np.ones_like(o), scaled, scaled**2, x, y, x * scaled, y * scaled, (x * x + y * y) * scaled)
    tone = np.stack(terms_of_tone).astype(np.float32)
    picture = copy.level(level)
    slope: Samples | None = None
    for _ in range(rounds):
        seen, inside = _sampled(picture, warp)
        if inside.sum() < 1000:
            return warp
        if slope is None:
            slope = _slope(
                solved(tone[:, inside], seen[inside], np.ones(int(inside.sum()), np.float32), _RIDGE), scaled, x, y
            )
        gx, gy = across * slope, down * slope
        moves = np.stack((gx, gx * x, gx * y, gy, gy * x, gy * y, gx * x * x + gy * x * y, gx * x * y + gy * y * y))
        columns = np.concatenate((tone, moves))[:, inside]
        target = seen[inside]
        terms = solved(columns, target, np.ones_like(target), _RIDGE)
        left = target - combined(terms, columns)
        spread = max(1.4826 * float(np.median(np.abs(left))), 1e-3)
        weights = 1 / (1 + np.square(left / np.float32(_CAUCHY * spread)))
        terms = solved(columns, target, weights, _RIDGE)
        slope = _slope(terms[:-_GEOMETRY], scaled, x, y)
        p = terms[-_GEOMETRY:].astype(np.float64)
        if not np.isfinite(p).all():
            return warp
        largest = float(np.abs(p).max())
        p = p * min(1.0, _LONGEST_STEP / max(largest, 1e-9))
        moved = np.array([[1 + p[1], p[2], p[0]], [p[4], 1 + p[5], p[3]], [-p[6], -p[7], 1.0]], np.float64)
        warp = warp.after(np.asarray(np.linalg.inv(moved), np.float64))
        if largest < 2e-5:
            break
    return warp


def _slope(terms: Samples, scaled: Samples, x: Samples, y: Samples) -> Samples:
    """How much the copy's luma changes with the original's, at each sample."""
    _, one, two, _, _, ox, oy, around = terms
    slope = (one + 2 * two * scaled + ox * x + oy * y + around * (x * x + y * y)) / 128
    return np.asarray(np.maximum(slope, 0.05), np.float32)


def _sampled(picture: Plane, warp: Warp) -> tuple[Samples, npt.NDArray[np.bool_]]:
    x, y = _pixels(*warp.shape)
    u, v = warp.places(x, y)
    height, width = picture.shape
    inside = (u >= 2) & (u <= width - 3) & (v >= 2) & (v <= height - 3)
    seen = cv2.remap(picture, u.reshape(-1, 1), v.reshape(-1, 1), cv2.INTER_LINEAR)
    return np.asarray(seen, np.float32).reshape(-1), inside


def _detail(plane: Plane) -> tuple[Plane, Plane]:
    """Fine detail in code values, and the same with all neighbourhoods at one contrast.

    A caption then counts for the area that it covers, and not for how it stands out.
    """
    detail = np.asarray(cv2.GaussianBlur(plane, (0, 0), 1.0) - cv2.blur(plane, (_DETAIL, _DETAIL)), np.float32)
    around = np.sqrt(np.maximum(cv2.blur(detail * detail, (_AROUND, _AROUND)), 0))
    return detail, np.asarray(detail / (around + _FAINT), np.float32)


@lru_cache(maxsize=4)
def _taken(rows: int, columns: int) -> npt.NDArray[np.intp]:
    # OpenCV takes at most 32767 places at a time.
    return np.arange(0, rows * columns, max(_SAMPLED, -(-rows * columns // 30_000)))


@lru_cache(maxsize=4)
def _pixels(rows: int, columns: int) -> tuple[Samples, Samples]:
    y, x = np.divmod(_taken(rows, columns), columns)
    return x.astype(np.float32), y.astype(np.float32)


@lru_cache(maxsize=4)
def _normal_places(rows: int, columns: int) -> tuple[Samples, Samples]:
    return normalised(*_pixels(rows, columns), (rows, columns))
