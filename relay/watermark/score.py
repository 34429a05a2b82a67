"""How strongly a segment of a copy carries one variant: a number that is standard normal where there is no mark.

The original explains the copy, together with whatever re-encoding, tone curves, uneven light, blur and small errors
of alignment add; what stays unexplained is weighed, gathered in the cells of the grid and compared with the chips.
Embedder and analyser score alike. All pictures here are luma in 8-bit code values, the copy already laid over the
original, as a rule 480 wide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from relay.watermark.least_squares import combined, solved
from relay.watermark.picture.grid import Chips, Grid
from relay.watermark.picture.mask import mask_of
from relay.watermark.picture.planes import BytePlane, Plane

WIDTH = 480
FRAMES = 6
_EDGE_FRAMES = 2  # at either end of a segment, where the window leaves little
_TERMS = 21
_SAMPLED = 7  # every so many pixels are fitted: prime, so no column is missed
_ROUNDS = 2
_RIDGE = 1e-6  # far below any term that matters: flat pictures leave most terms undetermined
_CAUCHY = 2.385  # 95 % efficient on normal residuals
_NORMAL_MAD = 1.4826
_RESIDUAL_CLIP = 6.0
_CELL_CLIP = 4.0
_NOISE_FLOOR = 0.15
_LEAST_SCALE = 0.5  # code values: of a clean copy most residuals are zero, and their median would clip the mark away

Inside = npt.NDArray[np.bool_]
"""Where the copy shows the original: False where it was cropped away."""


@dataclass(frozen=True, slots=True)
class Residual:
    """What the original does not explain of a copy, and its robust standard deviation."""

    plane: Plane
    scale: float


def scored_frames(n: int) -> list[int]:
    """Which frames of a segment of ``n`` are scored: up to six, evenly spread, none of the first and last two."""
    first, last = min(_EDGE_FRAMES, (n - 1) // 2), max(n - 1 - _EDGE_FRAMES, n // 2)
    return sorted({round(k) for k in np.linspace(first, last, FRAMES)})


def unexplained(
    original: Plane, copy: Plane, inside: Inside | None = None, beside: Sequence[BytePlane] = ()
) -> Residual:
    """Fit the original and its nuisances to the copy, robustly, and return what is left (zero outside).

    ``beside`` are the frames before and after the original: a camera's exposure and a conversion of the frame rate
    blend them in.

    Raises :class:`ValueError` where fewer pixels are inside than a fit needs.
    """
    height, width = original.shape
    columns = _columns(original, beside)
    target = np.ascontiguousarray(copy, np.float32).reshape(-1)
    taken = np.arange(0, target.size, _SAMPLED)
    if inside is not None:
        taken = taken[inside.reshape(-1)[taken]]
    if taken.size < 4 * _TERMS:
        raise ValueError(f"{taken.size} pixels in common are too few to compare")
    sample, wanted = columns[:, taken], target[taken]
    weights = np.ones_like(wanted)
    for left in range(_ROUNDS, -1, -1):
        terms = solved(sample, wanted, weights, _RIDGE)
        residual = wanted - combined(terms, sample)
        if left:
            weights = 1 / (1 + np.square(residual / np.float32(_CAUCHY * _noise(residual))))
    plane = (target - combined(terms, columns)).reshape(height, width)
    if inside is not None:
        plane *= inside
    return Residual(plane, _noise(residual))


def evidence(residual: Residual, original: Plane, strength: float, grid: Grid, inside: Inside | None = None) -> Plane:
    """What one frame says of each cell of the grid. ``strength`` is the embedder's window at that frame.

    The sum of this over the frames of a segment goes to :func:`score`.
    """
    height, width = original.shape
    cell = height / grid.rows
    known = None if inside is None else inside.astype(np.float32)
    plane = residual.plane - _mean(residual.plane, _odd(2 * cell), known)
    if known is not None:
        plane *= known
    limit = _RESIDUAL_CLIP * residual.scale
    plane = np.clip(plane, -limit, limit)
    # What the original cannot explain by far (logos, captions, noise) is large here and so weighs little.
    noise = _mean(np.square(plane), _odd(cell / 2), known)
    weighed = plane * mask_of(original, width, height) * np.float32(strength) / (noise + np.float32(_NOISE_FLOOR))
    return np.asarray(cv2.resize(weighed, (grid.columns, grid.rows), interpolation=cv2.INTER_AREA), np.float32)


def score(chips: Chips, gathered: Plane) -> float:
    """How a segment's evidence agrees with its chips: above zero is variant a, below is b; N(0, 1) without a mark."""
    seen = gathered[gathered != 0]
    if not seen.size:
        return 0.0
    limit = _CELL_CLIP * _deviation(seen)
    clipped = np.clip(gathered, -limit, limit).astype(np.float64)
    return float((chips * clipped).sum() / np.sqrt(np.square(clipped).sum()))


def _columns(original: Plane, beside: Sequence[BytePlane]) -> Plane:
    """The 21 terms that may explain a copy, each a row, of a picture of any size.

    Tone curve (1, o, o^2, o^3), light that varies over the picture (blur times position, position), errors of shift,
    zoom, turn and shear (gradients, alone and times position), blur or sharpening (the Laplacian).
    """
    height, width = original.shape
    columns = np.empty((_TERMS + len(beside), height * width), np.float32)
    x, y = _places(height, width)
    o = np.asarray(original, np.float32) / 128 - 1
    blurred = np.asarray(cv2.GaussianBlur(o, (0, 0), 1.0), np.float32)
    across = np.asarray(cv2.Sobel(o, cv2.CV_32F, 1, 0, ksize=1), np.float32)
    down = np.asarray(cv2.Sobel(o, cv2.CV_32F, 0, 1, ksize=1), np.float32)
    bend = np.asarray(cv2.Laplacian(o, cv2.CV_32F), np.float32)
    rows = (
        1, o, o * o, o * o * o,
        blurred, blurred * x, blurred * y, blurred * x * x, blurred * y * y,
        x, y, x * x, x * y, y * y,
        across, down, x * across, y * across, x * down, y * down,
        bend,
        *((np.asarray(other, np.float32) / 128 - 1 - o) for other in beside),
    )  # fmt: skip
    for column, term in zip(columns.reshape(-1, height, width), rows, strict=True):
        column[...] = term
    return columns


@lru_cache(maxsize=4)
def _places(height: int, width: int) -> tuple[Plane, Plane]:
    x, y = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32))
    return x, y


def _noise(residuals: npt.NDArray[np.floating]) -> float:
    return max(_deviation(residuals), _LEAST_SCALE)


def _deviation(values: npt.NDArray[np.floating]) -> float:
    """The standard deviation that the median of absolute values tells."""
    return _NORMAL_MAD * float(np.median(np.abs(values)))


def _mean(plane: Plane, size: int, known: Plane | None) -> Plane:
    """The mean of what is known about each pixel."""
    summed = np.asarray(cv2.blur(plane, (size, size)), np.float32)
    if known is None:
        return summed
    return np.asarray(summed / np.maximum(cv2.blur(known, (size, size)), 1e-3), np.float32)


def _odd(size: float) -> int:
    return max(1, 2 * round((size - 1) / 2) + 1)
