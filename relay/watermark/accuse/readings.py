"""What was read from a leak: a score for each position, and how likely it makes either variant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_ndtr

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SYMBOL_ERROR: Final = 0.005
"""No score, however strong, is trusted further than this: something other than noise may have gone wrong."""
TELLING_BITS: Final = 0.1
"""A position that tells less than this of its variant counts as erased."""
_LOG_PHI_0: Final = -0.5 * float(np.log(2 * np.pi))


@dataclass(frozen=True, slots=True)
class Readings:
    """Positions of the code, ascending and each once, and the score ``z`` of each, all finite.

    ``z`` is standard normal where there is no mark, positive for variant a (0), negative for variant b (1).
    ``segments`` is how many positions of the leak there were, unreadable ones included.
    """

    positions: Integers
    z: Floats
    segments: int

    @classmethod
    def of(
        cls, positions: Sequence[int] | npt.ArrayLike, z: npt.ArrayLike, pattern_length: int | None = None
    ) -> "Readings":
        """Take scores as they were measured, in any order; those that are not finite were unreadable.

        Scores of one position, seen twice or spread over several segments, are summed: taken for independent evidence,
        they would count one bit of the code twice. So are those of positions that share a bit since a pattern of
        ``pattern_length`` bits repeats (ETSI TS 104 002 ``wmpatlen``).

        Raises :class:`ValueError` where the two do not belong together or a position is negative.
        """
        places = np.asarray(positions, dtype=np.int64)
        scores = np.asarray(z, dtype=np.float64)
        if places.ndim != 1 or places.shape != scores.shape:
            raise ValueError(f"positions of shape {places.shape} with scores of shape {scores.shape}")
        if places.size and places.min() < 0:
            raise ValueError(f"position {places.min()} is negative")
        if pattern_length is not None:
            if pattern_length < 1:
                raise ValueError(f"a pattern of {pattern_length} bits")
            places = places % pattern_length
        readable = np.isfinite(scores)
        distinct, where, count = np.unique(places[readable], return_inverse=True, return_counts=True)
        summed = np.bincount(where, scores[readable], minlength=distinct.size)
        return cls(distinct, summed / np.sqrt(count), int(np.unique(places).size))

    @property
    def quality(self) -> float:
        """The median strength of the scores; 0.8 and less is what unmarked pictures give."""
        return float(np.median(np.abs(self.z))) if self.z.size else 0.0

    def likelihoods(self, erasure: float) -> Floats:
        """How likely each score makes variant b, against variant a: between the symbol error and one minus it.

        The strength of the mark is unknown, uniform up to twice the mean of the scores; with probability ``erasure``
        there is none. Made from the leak alone, so whatever it is, it favours no session over another. (The mean, as
        half of the scores and more are noise where copies were averaged; by their median, that takes 134 segments
        instead of 118.)
        """
        strongest = max(2 * float(np.abs(self.z).mean()), 1.0) if self.z.size else 1.0
        marked = np.log((1 - erasure) / strongest)
        erased = np.log(erasure) + _LOG_PHI_0 - self.z**2 / 2
        b = np.logaddexp(marked + log_ndtr(-self.z), erased)
        a = np.logaddexp(marked + log_ndtr(self.z), erased)
        limit = np.log((1 - SYMBOL_ERROR) / SYMBOL_ERROR)
        return np.asarray(expit(np.clip(b - a, -limit, limit)), dtype=np.float64)

    def telling(self, erasure: float) -> int:
        """How many positions tell their variant at all."""
        b = self.likelihoods(erasure)
        return int(np.sum(1 + b * np.log2(b) + (1 - b) * np.log2(1 - b) >= TELLING_BITS))
