"""Evidence against one session: how much better the leak is explained with its bits than without.

For "this session supplied a share theta of the positions" against "it is innocent", position i gives the ratio

    LR_i(x) = [b (theta x + (1-theta) p) + a (1 - theta x - (1-theta) p)] / [b p + a (1-p)]

with x the session's bit, p how often bits are 1 there, and b, a the likelihoods of the two variants. Its mean over x
is exactly 1, so the product over positions is an e-value: its expectation is 1 for every innocent session, whatever
was done to the leak, and it reaches 2^T with probability at most 2^-T (Markov). So is any average of such products,
with weights that sum to at most 1: over theta, over how often the mark is erased, and over windows of the leak, for
leaks cut together from different sessions. Positions that the session was not served, or that nobody could read,
have the ratio 1. Evidence is the logarithm to base 2 of that average.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from relay.watermark.accuse.candidates import Bits, Candidates
from relay.watermark.accuse.readings import Floats, Readings

Array = npt.NDArray[np.floating]
Real = TypeVar("Real", np.float32, np.float64)

THETAS: Final = {1.0: 0.5, 0.8: 0.1, 1 / 2: 0.15, 1 / 3: 0.1, 1 / 4: 0.08, 0.15: 0.07}
"""Shares of the leak that one session supplied, and the weight of each. One leaker is by far the most frequent case."""
ERASURES: Final = (0.03, 0.4)
"""Equally weighted: a plain copy, and two copies averaged, which erases the mark wherever they differ."""
WINDOW_ERASURE: Final = 0.1

SINGLE_WEIGHT: Final = 0.6
"""Of all that may be tried on a leak, for sessions on their own; the rest is for pairs."""
WINDOW_WEIGHT: Final = 0.1
"""Of the former, what windows get where there are any."""
PART: Final = 24
"""The least number of positions of a part; windows have two parts and more."""

CELLS: Final = 1 << 20
"""Sessions times positions looked at in one go: some 10 MB, which the processor's caches still help with."""


def log_ratios(b: Floats, shares: Floats, mixed: Floats) -> Floats:
    """The logarithm of the ratio at each position, where the hypothesis gives a 1 with probability ``mixed``."""
    return np.asarray(np.log((b * mixed + (1 - b) * (1 - mixed)) / (b * shares + (1 - b) * (1 - shares))))


@dataclass(frozen=True, slots=True)
class Mixture:
    """The weighted average of products of ratios, ready to be taken for many sessions.

    Tables are by position and hypothesis: the logarithm of the ratio for a 0, and what a 1 adds to it.
    """

    zero: Array
    step: Array
    log_weights: Array
    parts: tuple[slice, ...]
    windows: Array
    """Which parts (rows) each window (columns) is made of; they are scored by the tables' last column."""

    @classmethod
    def of(cls, readings: Readings, shares: Floats, dtype: npt.DTypeLike = np.float64) -> "Mixture":
        """The mixture for one leak; ``shares`` are how often bits are 1 at each of its positions."""
        parts, windows, window_weights = _windows(readings.positions.size)
        whole = SINGLE_WEIGHT - window_weights.sum()
        weights = [whole * weight / len(ERASURES) for weight in THETAS.values() for _ in ERASURES]
        hypotheses = [(theta, erasure) for theta in THETAS for erasure in ERASURES] + [(1.0, WINDOW_ERASURE)]
        likelihoods = {erasure: readings.likelihoods(erasure) for erasure in (*ERASURES, WINDOW_ERASURE)}
        zero, one = (
            np.stack(
                [
                    log_ratios(likelihoods[erasure], shares, theta * bit + (1 - theta) * shares)
                    for theta, erasure in hypotheses
                ],
                axis=1,
            )
            for bit in (0, 1)
        )
        log_weights = np.log(np.concatenate([weights, window_weights]))
        tables = [table.astype(dtype) for table in (zero, one - zero, log_weights, windows)]
        return cls(tables[0], tables[1], tables[2], parts, tables[3])

    def evidence(self, bits: Bits, known: Bits | None = None) -> Array:
        """The evidence in bits against each session (row)."""
        ones = (bits if known is None else bits & known).astype(self.step.dtype)
        sums = ones @ self.step[:, :-1]
        parts = np.stack([ones[:, part] @ self.step[part, -1] for part in self.parts], axis=1)
        if known is None:
            sums += self.zero[:, :-1].sum(axis=0)
            parts += np.array([self.zero[part, -1].sum() for part in self.parts])
        else:
            seen = known.astype(self.zero.dtype)
            sums += seen @ self.zero[:, :-1]
            parts += np.stack([seen[:, part] @ self.zero[part, -1] for part in self.parts], axis=1)
        return log_sum_bits(np.concatenate([sums, parts @ self.windows], axis=1) + self.log_weights)


def log_sum_bits(logs: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """The logarithm to base 2 of the sum of each row, given natural logarithms."""
    highest = logs.max(axis=-1)
    nats: npt.NDArray[Real] = highest + np.log(np.exp(logs - highest[..., None]).sum(axis=-1))
    return nats / logs.dtype.type(np.log(2))


def scan(readings: Readings, candidates: Candidates) -> tuple[npt.NDArray[np.float32], int]:
    """The evidence in bits against every candidate, and how many were served any of the positions at all.

    Those that were not are no candidates; their evidence is minus infinity. Memory stays bounded, 4 bytes a session
    apart. Evidence is good to a few hundredths of a bit: enough to tell who is worth a closer look.
    """
    mixture = Mixture.of(readings, candidates.shares(readings.positions), np.float32)
    evidence = np.full(len(candidates), -np.inf, dtype=np.float32)
    eligible = 0
    rows = max(CELLS // max(readings.positions.size, 1), 1)
    for start in range(0, len(candidates), rows):
        stop = min(start + rows, len(candidates))
        bits = candidates.bits(start, stop, readings.positions)
        known = candidates.known(start, stop, readings.positions)
        served = np.ones(stop - start, dtype=np.bool_) if known is None else known.any(axis=1)
        evidence[start:stop] = np.where(served, mixture.evidence(bits, known), -np.inf)
        eligible += int(served.sum())
    return evidence, eligible


def _windows(size: int) -> tuple[tuple[slice, ...], Floats, Floats]:
    """Parts of equal length, the windows made of 2, 4, 8, ... of them, each half over the next, and their weights."""
    levels = max((max(size // PART, 1)).bit_length() - 2, 0)
    count = 2 << levels if levels else 1
    edges = np.linspace(0, size, count + 1).round().astype(int)
    parts = tuple(slice(int(low), int(high)) for low, high in pairwise(edges))
    columns, weights = [], []
    for level in range(levels):
        length = 2 << level
        starts = range(0, count - length + 1, length // 2)
        for start in starts:
            columns.append([float(start <= part < start + length) for part in range(count)])
            weights.append(WINDOW_WEIGHT / levels / len(starts))
    return parts, np.array(columns).reshape(-1, count).T, np.array(weights)
