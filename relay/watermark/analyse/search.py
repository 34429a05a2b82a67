"""Where a passage of the copy may lie in the assets: normalised correlation of curves of activity."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from relay.watermark.analyse.activity import RATE, Curve, Times, curve

CANDIDATES = 6
OTHER_SPEEDS = tuple(round(1 + percent / 1000, 4) for percent in range(-62, 63, 2))
_LEAST = 0.3
_APART = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a passage may come from: ``asset`` by its index, and how well the curves agree (up to 1)."""

    asset: int
    start_s: float
    """In the asset, of the passage's beginning."""
    speed: float
    agreement: float


def candidates(
    thumbs: npt.NDArray[np.uint8],
    times: Times,
    start_s: float,
    end_s: float,
    curves: Sequence[Curve],
    speeds: Sequence[float],
) -> list[Candidate]:
    """The places that agree best with the copy between two of its times, best first, over all assets and speeds."""
    found: list[Candidate] = []
    for speed in speeds:
        ticks = np.arange(start_s, end_s, 1 / (RATE * speed))
        passage = curve(thumbs, times, ticks)
        # The first values compare a frame with itself.
        passage = passage[2:]
        if len(passage) < 2 * RATE or passage.std() < 0.05:
            continue
        for asset, whole in enumerate(curves):
            agreement = _correlation(whole, passage)
            # Short passages agree by chance: three deviations of curves whose neighbouring values are alike.
            least = max(_LEAST, 3 * (2 / len(passage)) ** 0.5)
            for index in _peaks(agreement, least):
                start = (index - len(passage) + 1 - 2) / RATE
                found.append(Candidate(asset, start, speed, float(agreement[index])))
    found.sort(key=lambda candidate: -candidate.agreement)
    return found[:CANDIDATES]


def _correlation(whole: Curve, passage: Curve) -> npt.NDArray[np.float64]:
    """For each place, also such that only half the passage lies in the asset: index is where the passage ends."""
    margin = len(passage) - 1
    padded = np.concatenate((np.full(margin, whole.mean()), whole.astype(np.float64), np.full(margin, whole.mean())))
    pattern = passage.astype(np.float64) - passage.mean()
    pattern /= np.sqrt((pattern**2).sum())
    size = fft.next_fast_len(len(padded) + len(pattern), real=True)
    product = fft.irfft(fft.rfft(padded, size) * np.conj(fft.rfft(pattern, size)), size)[: len(padded) - margin]
    sums = np.concatenate(([0.0], np.cumsum(padded)))
    squares = np.concatenate(([0.0], np.cumsum(padded**2)))
    n = len(pattern)
    spread = squares[n:] - squares[:-n] - (sums[n:] - sums[:-n]) ** 2 / n
    # Where hardly anything moves, noise would agree with anything.
    least = 0.1 * n * float(whole.var()) + 1e-9
    return np.asarray(product / np.sqrt(np.maximum(spread, least)), np.float64)


def _peaks(agreement: npt.NDArray[np.float64], least: float) -> list[int]:
    left = agreement.copy()
    peaks = []
    for _ in range(CANDIDATES):
        best = int(left.argmax())
        if left[best] < least:
            break
        peaks.append(best)
        left[max(0, best - _APART) : best + _APART + 1] = -1
    return peaks
