"""Who leaked, if that can be said: the decision, with the probability that it is wrong.

No session is named alone whose bound is above the probability asked for, and no pair whose bound, that both are
innocent, is. The bound counts every candidate, every alignment that was tried, and everything that is tried here:
sessions on their own, over the whole leak or a window of it, and pairs. It holds for whatever was done to the picture.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import log2
from typing import Final

import numpy as np
import numpy.typing as npt

from relay.watermark.accuse.candidates import Candidates
from relay.watermark.accuse.evidence import ERASURES, Mixture, scan
from relay.watermark.accuse.further import further_segments
from relay.watermark.accuse.pairs import PARTNER_BOUND, PairEvidence, score_pairs
from relay.watermark.accuse.readings import Floats, Integers, Readings

CLOSER: Final = 200
"""Sessions with most evidence, which are looked at again, exactly and in pairs."""


class Status(StrEnum):
    """What was found."""

    IDENTIFIED = "identified"
    PAIR_IDENTIFIED = "pair_identified"
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"


@dataclass(frozen=True, slots=True)
class Match:
    """A session that is named. ``candidate`` is its place among the candidates.

    Of one who mixed copies with a session named alone, the evidence is what is against him given that other's guilt.
    Of a pair, it is what is against both together; the bound is each one's own, and may be well above that of the pair
    (see :mod:`relay.watermark.accuse.pairs`).
    """

    candidate: int
    evidence_bits: float
    false_accusation_bound: float


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer. ``matches`` is empty unless the evidence is enough; the first one has the most."""

    status: Status
    matches: tuple[Match, ...]
    pair_bound: float | None
    """Of a pair, the probability that both are innocent."""
    needed_bits: float
    """What one session must have against it to be named."""
    best_bits: float
    """The most that is against any session, named or not."""
    runner_up_bits: float
    """The most that is against any session besides those named; besides the best one where nobody is."""
    candidates: int
    """Sessions that were served anything of the leak: what the bound counts."""
    segments_used: int
    """Positions that told something of their variant."""
    segments_erased: int
    """Positions of the leak that did not."""
    estimated_further_seconds: float | None
    """Of a leak of the same quality, until somebody can be expected to be named; 0 where that is so. ``None`` where
    it cannot be said: no mark is seen, or a single leaker would have been found and nothing points to any candidate."""
    quality: float
    """The median strength of the scores: 0.7 is unmarked, 48 the most there is."""


def accuse(
    readings: Readings,
    candidates: Candidates,
    *,
    false_accusation: float = 1e-9,
    hypotheses: int = 1,
    segment_s: float = 2.0,
) -> Finding:
    """Find out who leaked.

    ``false_accusation`` is how likely naming any innocent session may be. ``hypotheses`` is how many alignments of the
    leak were tried with the code (1 where pictures alone decided it). ``segment_s`` is the length of a position.
    """
    if not 0 < false_accusation < 1:
        raise ValueError(f"a probability of false accusation of {false_accusation}")
    if hypotheses < 1:
        raise ValueError(f"{hypotheses} alignments tried")
    rough, eligible = scan(readings, candidates)
    closer = _highest(rough)
    suspects = candidates.take(closer)
    evidence = _exact(readings, suspects)
    needed = log2(max(eligible, 1)) + log2(hypotheses) - log2(false_accusation)
    count = _Count(closer, eligible, hypotheses, false_accusation)
    matches = count.alone(evidence, needed)
    pair_bound: float | None = None
    status = Status.IDENTIFIED if matches else Status.INSUFFICIENT_EVIDENCE
    if len(suspects) > 1:
        pairs = score_pairs(readings, suspects)
        if matches:
            matches += count.partners(pairs, matches)
        elif found := count.pair(pairs):
            status, pair_bound, matches = Status.PAIR_IDENTIFIED, *found
    named = {match.candidate for match in matches}
    ranked = sorted(evidence[[who not in named for who in closer]], reverse=True)
    best = float(evidence.max(initial=0.0))
    used = readings.telling(ERASURES[0])
    further: int | None = 0
    if not matches:
        further = further_segments(readings, candidates.shares(readings.positions), best, needed, eligible)
    return Finding(
        status=status,
        matches=tuple(sorted(matches, key=lambda match: match.false_accusation_bound)),
        pair_bound=pair_bound,
        needed_bits=needed,
        best_bits=best,
        runner_up_bits=float(next(iter(ranked[0 if named else 1 :]), 0.0)),
        candidates=eligible,
        segments_used=used,
        segments_erased=readings.segments - used,
        estimated_further_seconds=None if further is None else further * segment_s,
        quality=readings.quality,
    )


def _highest(evidence: npt.NDArray[np.float32]) -> Integers:
    best = np.argpartition(-evidence, CLOSER)[:CLOSER] if evidence.size > CLOSER else np.arange(evidence.size)
    return np.asarray(best[np.isfinite(evidence[best])], dtype=np.int64)


def _exact(readings: Readings, suspects: Candidates) -> Floats:
    positions = readings.positions
    bits, known = suspects.bits(0, len(suspects), positions), suspects.known(0, len(suspects), positions)
    return np.asarray(Mixture.of(readings, suspects.shares(positions)).evidence(bits, known), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Count:
    """What bounds count, for the sessions looked at closer; ``places`` are theirs among all candidates."""

    places: Integers
    candidates: int
    hypotheses: int
    false_accusation: float

    def alone(self, evidence: Floats, needed: float) -> list[Match]:
        tries = self.candidates * self.hypotheses
        return [
            Match(int(place), bits, min(1.0, tries * 2.0**-bits))
            for place, bits in zip(self.places, evidence.tolist(), strict=True)
            if bits >= needed
        ]

    def partners(self, pairs: PairEvidence, named: list[Match]) -> list[Match]:
        bounds = pairs.added_bounds(self.candidates, self.hypotheses)
        rows = {int(np.flatnonzero(self.places == match.candidate)[0]): match for match in named}
        found = []
        for column in range(self.places.size):
            row = min(rows, key=lambda row: float(bounds[row, column]))
            if column not in rows and bounds[row, column] <= self.false_accusation:
                bound = rows[row].false_accusation_bound + float(bounds[row, column])
                found.append(Match(int(self.places[column]), float(pairs.added[row, column]), bound))
        return found

    def pair(self, pairs: PairEvidence) -> tuple[float, list[Match]] | None:
        joint = pairs.joint_bounds(self.candidates, self.hypotheses)
        own = pairs.bounds(self.candidates, self.hypotheses)
        worse = np.where(joint <= self.false_accusation, np.maximum(own, own.T), np.inf)
        one, other = divmod(int(np.argmin(worse)), self.places.size)
        if worse[one, other] > PARTNER_BOUND:
            return None
        bits = float(pairs.joint[one, other])
        return float(joint[one, other]), [
            Match(int(self.places[one]), bits, float(own[other, one])),
            Match(int(self.places[other]), bits, float(own[one, other])),
        ]
