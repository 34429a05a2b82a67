"""How much more of a leak would be needed before somebody can be named."""

from math import ceil, log2
from typing import Final

import numpy as np

from relay.watermark.accuse.evidence import ERASURES, SINGLE_WEIGHT, THETAS, WINDOW_WEIGHT, log_ratios
from relay.watermark.accuse.readings import Floats, Readings

LUCK_BITS: Final = 5.0
"""The best of innocent candidates comes this far above the logarithm of their number once in 32 leaks."""
SIGN_OF_MARK: Final = 2.0
"""Standard deviations by which scores must be stronger than those of unmarked pictures."""


def further_segments(readings: Readings, shares: Floats, best: float, needed: float, candidates: int) -> int | None:
    """How many more segments of the same quality to expect, where ``best`` bits of those ``needed`` are there.

    For one leaker it follows from what the readings told so far, as long as the best candidate has about what he
    should have by now, or luck alone could give. Else several mixed their copies, and what is against the best tells
    how fast evidence grows, if it is more than luck. ``None`` where neither says anything: no mark is seen, or
    nothing points to any candidate.
    """
    size = readings.z.size
    if not candidates or not size or np.mean(readings.z**2) - 1 < SIGN_OF_MARK * np.sqrt(2 / size):
        return None
    told = information(readings, shares)
    weight = log2((SINGLE_WEIGHT - WINDOW_WEIGHT) * THETAS[1.0])
    missing = ceil((needed - weight) * readings.segments / told) - readings.segments
    luck = log2(candidates) + LUCK_BITS
    if missing > 0 and (told + weight < luck or best > (told + weight) / 2):
        return missing
    if best > luck:
        return max(ceil((needed - best) * readings.segments / best), 1)
    return None


def information(readings: Readings, shares: Floats) -> float:
    """The bits of evidence to expect against a single leaker from these readings."""
    b = readings.likelihoods(ERASURES[0])
    ones = b * shares / (b * shares + (1 - b) * (1 - shares))
    gain = ones * log_ratios(b, shares, np.ones(b.size)) + (1 - ones) * log_ratios(b, shares, np.zeros(b.size))
    return float(gain.sum() / np.log(2))
