"""How much a film moves, ten times a second: a curve by which a passage of it is found, whatever was done to its look.

Pictures are reduced to 48 x 27 and normalised; of the change between two of them, 0.2 s apart, what a change of light
and a small move of the whole picture explain is taken off (a camera in a hand moves all of it), and the logarithm
of the rest is the curve. Crops, mirrors, tone and borders barely change it.
"""

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from relay.watermark.picture.planes import BytePlane, Plane

RATE = 10.0
"""Values of the curve a second."""
FILE = "activity.npy"
"""Its name in the folder of an asset."""
COLUMNS, ROWS = 48, 27
_LAG = 2
_STILL = 0.003
_BATCH = 256

Curve = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]


def thumb_of(luma: BytePlane) -> BytePlane:
    """The picture at 48 x 27, which is all the curve needs of it."""
    # Five rows in each of the thumb's are as good as all of them, at a fifth of the cost.
    rows = luma[:: max(1, luma.shape[0] // (5 * ROWS))]
    return np.asarray(cv2.resize(rows, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.uint8)


def activity(frames: Iterable[tuple[float, BytePlane]]) -> Curve:
    """The curve of a whole film, from its luma (any size) and the time of each frame in seconds, ascending.

    The embedder stores it as :data:`FILE`, with :func:`numpy.save`, beside the proxy.
    """
    times: list[float] = []
    thumbs: list[BytePlane] = []
    for time, luma in frames:
        # Frames between two ticks are never looked at.
        if times and int(time * RATE * 4) == int(times[-1] * RATE * 4):
            continue
        times.append(time)
        thumbs.append(thumb_of(luma))
    if not times:
        return np.zeros(0, np.float32)
    ticks = np.arange(0, times[-1] + 0.5 / RATE, 1 / RATE)
    return curve(np.stack(thumbs), np.asarray(times), ticks)


def curve(thumbs: npt.NDArray[np.uint8], times: Times, ticks: Times) -> Curve:
    """The curve at ``ticks`` of thumbs shown from ``times`` on, both ascending seconds."""
    shown = np.clip(np.searchsorted(times, ticks + 1e-3, side="right") - 1, 0, len(times) - 1)
    values = np.empty(len(ticks), np.float32)
    for start in range(0, len(ticks), _BATCH):
        some = shown[start : start + _BATCH]
        earlier = shown[np.maximum(np.arange(start, start + len(some)) - _LAG, 0)]
        values[start : start + len(some)] = _changes(_normal(thumbs[earlier]), _normal(thumbs[some]))
    return values


def _normal(thumbs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    real = thumbs.astype(np.float32)
    real -= real.mean(axis=(1, 2), keepdims=True)
    real /= np.maximum(real.std(axis=(1, 2), keepdims=True), 1.0)
    return real


def _changes(earlier: npt.NDArray[np.float32], later: npt.NDArray[np.float32]) -> Curve:
    """The logarithm of what an affine move and a change of contrast do not explain, for each pair."""
    middle = (earlier + later) / 2
    down, across = np.gradient(middle, axis=(1, 2))
    y, x = _places()
    terms = (middle, across, down, x * across, y * across, x * down, y * down)
    columns = np.stack(terms, axis=1).reshape(len(earlier), len(terms), -1)
    change = (later - earlier).reshape(len(earlier), -1, 1)
    normal = columns @ columns.transpose(0, 2, 1)
    normal += np.eye(len(terms), dtype=np.float32) * (1e-2 * ROWS * COLUMNS)
    explained = np.linalg.solve(normal, columns @ change)
    left = np.abs(change - columns.transpose(0, 2, 1) @ explained).mean(axis=(1, 2))
    return np.asarray(np.log(left + _STILL), np.float32)


def _places() -> tuple[Plane, Plane]:
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    return y / (ROWS / 2) - 1, x / (COLUMNS / 2) - 1
