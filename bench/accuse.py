"""What it takes to name a leaker of the watermark: length of the leak, honesty of the bound, time.

``python -m bench.accuse [--trials N] [--sessions N] [--only needed|noisy|honest|speed]``

Leaks are simulated at the level of scores: a clean copy scores 40, and what colluders do to it is what averaging and
cutting did to real pictures. Everything else is the code that runs on real leaks.
"""

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import log2

import numpy as np

from relay.watermark.accuse.candidates import Bits, Candidates, DerivedCandidates, Served
from relay.watermark.accuse.evidence import Mixture, scan
from relay.watermark.accuse.finding import Status, accuse
from relay.watermark.accuse.further import further_segments
from relay.watermark.accuse.pairs import PARTNER_BOUND, score_pairs
from relay.watermark.accuse.readings import Floats, Readings
from relay.watermark.code import PROFILES, AssetCode

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
    return np.asarray(bits[who, np.arange(bits.shape[1])], dtype=np.float64)


def averaging(bits: Bits, random: Generator) -> Floats:
    return np.asarray(bits.mean(axis=0))


def majority(bits: Bits, random: Generator) -> Floats:
    return np.asarray(bits.mean(axis=0).round())


def minority(bits: Bits, random: Generator) -> Floats:
    mean = bits.mean(axis=0)
    return np.asarray(np.where((mean == 0) | (mean == 1), mean, 1 - mean.round()))


def pieces(bits: Bits, random: Generator) -> Floats:
    """One after the other, in pieces of equal length."""
    who = np.arange(bits.shape[1]) * bits.shape[0] // bits.shape[1]
    return np.asarray(bits[who, np.arange(bits.shape[1])], dtype=np.float64)


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
    Attack("2 pieces", 2, pieces),
    Attack("3 pieces", 3, pieces),
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
    pairs = score_pairs(readings, guilty)
    own = pairs.bounds(SESSIONS, 1)[[0, 1], [1, 0]]
    return bool(pairs.joint_bounds(SESSIONS, 1)[0, 1] <= FALSE_ACCUSATION and own.max() <= PARTNER_BOUND)


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
    together: int = 1,
) -> tuple[int, list[int]]:
    """Scan groups of innocent sessions; how many groups, and in how many one was accused at each probability.

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
        best = evidence.reshape(-1, together).max(axis=1)
        reached = [
            count + int(np.sum(together * np.exp2(-best) <= stated))
            for count, stated in zip(reached, thresholds, strict=True)
        ]
    return leaks * sessions // together, reached


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


def print_needed(trials: int) -> None:
    print(f"Segments until a leaker among {SESSIONS:,} is named at {FALSE_ACCUSATION:.0e}, in {SHARE:.0%} of {trials}")
    names = [*(attack.name for attack in ATTACKS), "pair: 2 switching", "pair: 2 averaging"]
    print(f"{'profile':10}" + "".join(f"{name:>19}" for name in names))
    for profile in PROFILES:
        print(f"c0={profile:<7}", end="", flush=True)
        cells = [(named_alone, attack) for attack in ATTACKS] + [(named_as_pair, attack) for attack in ATTACKS[1:3]]
        for named, attack in cells:
            found = needed(named, partial(leak, profile, attack), trials)
            print(f"{found or 'not found':>19}", end="", flush=True)
        print()


def print_noisy(trials: int) -> None:
    print(f"\nSeconds until one leaker is named where scores are weak or wrong, c0=2, segments of {SEGMENT_S} s")
    print(f"{'scores':>22} {'needed':>8} {'told from the first 40 segments':>34}")
    for name, strength, flipped in [
        *((f"z = {strength}", strength, 0.0) for strength in (40, 3, 2, 1.5, 1, 0.7)),
        *((f"{flipped:.0%} of bits flipped", STRENGTH, flipped) for flipped in (0.02, 0.05, 0.1, 0.2)),
    ]:
        make = partial(leak, 2, ATTACKS[0], strength=strength, flipped=flipped)
        found = needed(named_alone, make, trials)
        told = [_told(*make(40, np.random.default_rng(trial))) for trial in range(trials)]
        said = sorted(segments for segments in told if segments is not None)
        median = f"{SEGMENT_S * (40 + said[len(said) // 2])} s" if said else "-"
        print(f"{name:>22} {SEGMENT_S * (found or 0):>6} s {median:>15} ({len(said) / trials:>4.0%} of leaks)")


def _told(readings: Readings, guilty: Candidates) -> int | None:
    shares = guilty.shares(readings.positions)
    evidence = Mixture.of(readings, shares).evidence(guilty.bits(0, 1, readings.positions))
    return further_segments(readings, shares, float(evidence[0]), NEEDED_BITS, SESSIONS)


def _leaked(attack: Attack, strength: float) -> Callable[[Floats, Generator], Floats]:
    def make(bits: Floats, random: Generator) -> Floats:
        share = attack.strategy(bits[: attack.colluders] > 0, random)
        return strength * (1 - 2 * share) + random.normal(size=share.size)

    return make


def print_honest(leaks: int) -> None:
    stated = (0.1, 0.01, 0.001, 0.0001)
    print("\nHow often one of 20 innocent candidates is accused at a bound of", *(f"{bound:>9}" for bound in stated))
    kinds = [("unmarked or wrong key", _leaked(ATTACKS[0], 0.0)), ("weak", _leaked(ATTACKS[0], 1.0))]
    kinds += [(attack.name, _leaked(attack, STRENGTH)) for attack in ATTACKS if attack.colluders <= 3]
    for segments in (40, 150):
        for name, make in kinds:
            for profile in (2, 8):
                cases, reached = innocents_reaching(
                    stated, profile, make, leaks=leaks, sessions=50_000, segments=segments, seed=1, together=20
                )
                rates = " ".join(f"{count / cases:>9.1e}" for count in reached)
                print(f"{name:>24}, c0={profile}, {segments:>3} segments, {cases:,} cases {rates}", flush=True)
    print("How often an innocent one of 12 is a guilty one's partner, at a bound of its own of")
    for profile in (2, 4):
        cases, named = partners_named(stated, profile, leaks=100 * leaks, sessions=12, segments=60, seed=1)
        rates = " ".join(f"{count / cases:>9.1e}" for count in named)
        print(f"{f'c0={profile}, {cases:,} cases':>64} {rates}", flush=True)


def print_speed(sessions: int) -> None:
    random = np.random.default_rng(1)
    numbers = random.integers(2**64, size=sessions, dtype=np.uint64)
    rows = np.arange(sessions)
    served = Served(rows, random.integers(0, 60, sessions), random.integers(60, 200, sessions))
    print(f"\nScan of {sessions:,} sessions, one core")
    for name, profile, segments, intervals in [
        *((f"c0={profile}", profile, 150, None) for profile in PROFILES),
        ("c0=2, with what was served", 2, 150, served),
        ("c0=2, 20 min", 2, 600, None),
        ("c0=2, 2 h", 2, 3600, None),
    ]:
        code, positions = AssetCode(bytes(32), profile), np.arange(segments)
        candidates = DerivedCandidates(code, numbers, intervals)
        leaked = candidates.bits(777, 778, positions)[0]
        readings = Readings.of(positions, STRENGTH * (1 - 2 * leaked) + random.normal(size=segments))
        started = time.perf_counter()
        scan(readings, candidates)
        scanned = time.perf_counter() - started
        finding = accuse(readings, candidates)
        whole = time.perf_counter() - started - scanned
        assert finding.status is Status.IDENTIFIED
        print(f"{name:>28}, {segments:>4} segments: scan {scanned:6.2f} s, with the finding {whole:6.2f} s", flush=True)
    print(f"peak memory of all of it: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=100)
    options.add_argument("--sessions", type=int, default=SESSIONS)
    options.add_argument("--only", choices=["needed", "noisy", "honest", "speed"])
    chosen = options.parse_args()
    sections: dict[str, Callable[[], None]] = {
        "needed": lambda: print_needed(chosen.trials),
        "noisy": lambda: print_noisy(chosen.trials),
        "honest": lambda: print_honest(50),
        "speed": lambda: print_speed(chosen.sessions),
    }
    for name, section in sections.items():
        if chosen.only in (None, name):
            section()


if __name__ == "__main__":
    main()
