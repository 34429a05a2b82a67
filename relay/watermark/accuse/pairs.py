"""Two sessions that leaked together, when the evidence against neither is enough on its own.

Where both have the same bit, the leak must have it; where they differ it has either. So of a pair (i, j) the ratio of
:mod:`relay.watermark.accuse.evidence` takes ``(x_i + x_j) / 2`` for the probability of a 1. Two things must be shown:

- *One of them is guilty*: for two innocent sessions the product has expectation 1, and there are N(N-1)/2 pairs.
- *And so is the other.* Beside a guilty session the evidence of the pair grows whoever the second one is. Given
  ``x_i``, its expectation over an innocent ``x_j`` is the evidence against i alone for half of the leak. What the
  pair has above that is an e-value against j, of N sessions for each that did contribute.

The bound of one member is the sum of the two. The second grows slower (for two that switched, by 0.31 bits a position
instead of 0.5), so a pair is named once the first thing is certain enough, each with a bound of its own that is far
above the pair's. Where one is named alone already, only the second thing is left to show. Choosing which pairs to
score costs nothing: all of them are counted.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from relay.watermark.accuse.candidates import Candidates
from relay.watermark.accuse.evidence import ERASURES, log_ratios, log_sum_bits
from relay.watermark.accuse.readings import Floats, Readings

PAIR_WEIGHT: Final = 0.2
"""Of all that may be tried on a leak, for each of the two things to be shown."""
PARTNER_BOUND: Final = 1e-4
"""The bound that each one's own may not pass for a pair to be named."""
CONTRIBUTORS: Final = 6
"""The most sessions that a leak is taken to be made of."""


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """By pair of the sessions scored, in bits, weighed by :data:`PAIR_WEIGHT`."""

    joint: Floats
    """Against the pair, symmetrical; minus infinity on the diagonal."""
    added: Floats
    """Against the second (column), given that the first (row) is guilty."""

    def joint_bounds(self, candidates: int, hypotheses: int) -> Floats:
        """The probability that a pair is named though both are innocent."""
        return _bounds(self.joint, hypotheses * candidates * (candidates - 1) / 2)

    def added_bounds(self, candidates: int, hypotheses: int) -> Floats:
        """The probability that the second (column) is named though innocent, beside one who is guilty."""
        return _bounds(self.added, hypotheses * CONTRIBUTORS * candidates)

    def bounds(self, candidates: int, hypotheses: int) -> Floats:
        """The probability that the second (column) is named though innocent, where the pair is named."""
        both = self.joint_bounds(candidates, hypotheses) + self.added_bounds(candidates, hypotheses)
        return np.minimum(both, 1.0)


def score_pairs(readings: Readings, candidates: Candidates) -> PairEvidence:
    """Score all pairs of a few hundred sessions. Positions that one of the two was not served say nothing."""
    positions = readings.positions
    shares = candidates.shares(positions)
    bits = candidates.bits(0, len(candidates), positions)
    known = candidates.known(0, len(candidates), positions)
    seen = np.ones(bits.shape) if known is None else known.astype(np.float64)
    ones = seen * bits
    joint, alone = [], []
    for erasure in ERASURES:
        b = readings.likelihoods(erasure)
        none, half, both = (log_ratios(b, shares, np.full(shares.size, ones / 2)) for ones in (0, 1, 2))
        joint.append(_bilinear(seen, ones, none, half, half, both))
        low, high = (log_ratios(b, shares, (bit + shares) / 2) for bit in (0, 1))
        alone.append(_bilinear(seen, ones, low, low, high, high))
    weight = np.log(PAIR_WEIGHT / len(ERASURES))
    together = log_sum_bits(np.stack(joint, axis=-1) + weight)
    added = together - log_sum_bits(np.stack(alone, axis=-1) + np.log(1 / len(ERASURES)))
    np.fill_diagonal(together, -np.inf)
    np.fill_diagonal(added, -np.inf)
    return PairEvidence(together, added)


def _bilinear(seen: Floats, ones: Floats, f00: Floats, f01: Floats, f10: Floats, f11: Floats) -> Floats:
    """For all pairs, the sum of f[first's bit, second's bit] over the positions that both were served."""
    return np.asarray(
        (seen * f00) @ seen.T
        + (ones * (f10 - f00)) @ seen.T
        + (seen * (f01 - f00)) @ ones.T
        + (ones * (f11 - f10 - f01 + f00)) @ ones.T
    )


def _bounds(evidence: Floats, tries: float) -> Floats:
    return np.asarray(np.exp2(np.minimum(np.log2(tries) - evidence, 0)))
