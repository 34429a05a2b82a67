"""What it takes to name a leaker of the watermark: length of the leak, honesty of the bound, time.

``python -m bench.accuse [--trials N] [--sessions N] [--only needed|noisy|honest|speed]``

Leaks are simulated at the level of scores: a clean copy scores 40, and what colluders do to it is what averaging and
cutting did to real pictures. Everything else is the code that runs on real leaks.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log2

import numpy as np

from relay.watermark.accuse.candidates import Bits, Candidates, DerivedCandidates
from relay.watermark.accuse.evidence import Mixture, scan
from relay.watermark.accuse.finding import Status, accuse
from relay.watermark.accuse.further import further_segments
from relay.watermark.accuse.pairs import score_pairs
from relay.watermark.accuse.readings import Floats, Readings
from relay.watermark.code import PROFILES, AssetCode, Selector

SESSIONS = 1_000_000
FALSE_ACCUSATION = 1e-9
NEEDED_BITS = log2(SESSIONS / FALSE_ACCUSATION)
STRENGTH = 40.0
SEGMENT_S = 2
SHARE = 0.9
"""Of the trials that must succeed for a length to be enough."""
LONGEST = 2400

Generator = np.random.Generator
Strategy = Callable[[Bits, Generator], Floats]
"""From the bits of the colluders (rows), the part of the leak that is variant b: 0, 1, or between where they mix."""


def switching(bits: Bits, random: Generator) -> Floats:
    who = random.integers(bits.shape[0], size=bits.shape[1])
    return bits[who, np.arange(bits.shape[1])].astype(np.float64)


def averaging(bits: Bits, random: Generator) -> Floats:
    return np.asarray(bits.mean(axis=0))


def majority(bits: Bits, random: Generator) -> Floats:
    return np.asarray(bits.mean(axis=0).round())


def minority(bits: Bits, random: Generator) -> Floats:
    mean = bits.mean(axis=0)
    return np.where((mean == 0) | (mean == 1), mean, 1 - mean.round())


@dataclass(frozen=True)
class Attack:
    name: str
    colluders: int
    strategy: Strategy


ATTACKS = (
    Attack("1 leaker", 1, switching),
    Attack("2 switching", 2, switching),
    Attack("2 averaging", 2, averaging),
    Attack("3 switching", 3, switching),
    Attack("3 majority", 3, majority),
    Attack("3 minority", 3, minority),
    Attack("4 switching", 4, switching),
    Attack("4 minority", 4, minority),
)


def leak(
    profile: int, attack: Attack, segments: int, random: Generator, strength: float = STRENGTH, flipped: float = 0.0
) -> tuple[Readings, Candidates]:
    """One leak, and those who made it."""
    code = AssetCode(random.bytes(32), profile)
    guilty = DerivedCandidates(code, random.integers(2**64, size=attack.colluders, dtype=np.uint64))
    positions = np.arange(segments)
    share = attack.strategy(guilty.bits(0, attack.colluders, positions), random)
    share = np.where(random.random(segments) < flipped, 1 - share, share)
    return Readings.of(positions, strength * (1 - 2 * share) + random.normal(size=segments)), guilty


def named_alone(readings: Readings, guilty: Candidates) -> bool:
    mixture = Mixture.of(readings, guilty.shares(readings.positions))
    return bool(mixture.evidence(guilty.bits(0, len(guilty), readings.positions)).max() >= NEEDED_BITS)


def named_as_pair(readings: Readings, guilty: Candidates) -> bool:
    return bool(score_pairs(readings, guilty).bounds(SESSIONS, 1)[[0, 1], [1, 0]].max() <= FALSE_ACCUSATION)


def one_of_a_pair(readings: Readings, guilty: Candidates) -> bool:
    """That one of the two is guilty, without saying that both are."""
    pairs = SESSIONS * (SESSIONS - 1) / 2
    return bool(pairs * 2.0 ** -score_pairs(readings, guilty).joint.max() <= FALSE_ACCUSATION)


def needed(
    named: Callable[[Readings, Candidates], bool],
    make: Callable[[int, Generator], tuple[Readings, Candidates]],
    trials: int,
) -> int | None:
    """The least number of segments at which nine of ten leaks are named, to a hundredth."""

    def enough(segments: int) -> bool:
        random = np.random.default_rng(segments)
        return sum(named(*make(segments, random)) for _ in range(trials)) >= SHARE * trials

    low, high = 20, LONGEST
    if not enough(high):
        return None
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def innocents_reaching(
    thresholds: Sequence[float],
    profile: int,
    make: Callable[[Floats, Generator], Floats],
    *,
    leaks: int,
    sessions: int,
    segments: int,
    seed: int,
) -> tuple[int, list[int]]:
    """Score innocent sessions on leaks; how many were scored, and how many had evidence for each probability.

    ``make`` gives the scores of a leak, of the bits of three sessions that are not among the innocent ones.
    """
    random = np.random.default_rng(seed)
    positions = np.arange(segments)
    reached = [0] * len(thresholds)
    for _ in range(leaks):
        code = AssetCode(random.bytes(32), profile)
        guilty = DerivedCandidates(code, random.integers(2**64, size=3, dtype=np.uint64)).bits(0, 3, positions)
        innocent = DerivedCandidates(code, random.integers(2**64, size=sessions, dtype=np.uint64))
        evidence, _ = scan(Readings.of(positions, make(guilty.astype(np.float64), random)), innocent)
        reached = [
            count + int(np.sum(evidence >= -log2(stated))) for count, stated in zip(reached, thresholds, strict=True)
        ]
    return leaks * sessions, reached


def partners_named(
    thresholds: Sequence[float], profile: int, *, leaks: int, sessions: int, segments: int, seed: int
) -> tuple[int, list[int]]:
    """Leaks that one candidate switched with somebody unknown; in how many an innocent one's own bound was passed."""
    random = np.random.default_rng(seed)
    positions = np.arange(segments)
    named = [0] * len(thresholds)
    for _ in range(leaks):
        code = AssetCode(random.bytes(32), profile)
        numbers = random.integers(2**64, size=sessions + 1, dtype=np.uint64)
        share = switching(DerivedCandidates(code, numbers[:2]).bits(0, 2, positions), random)
        readings = Readings.of(positions, STRENGTH * (1 - 2 * share) + random.normal(size=segments))
        bounds = score_pairs(readings, DerivedCandidates(code, numbers[1:])).bounds(sessions, 1)
        least = bounds[:, 1:].min()  # the first candidate is the guilty one
        named = [count + int(least <= stated) for count, stated in zip(named, thresholds, strict=True)]
    return leaks, named
