"""Who is named, and who is not, for all the ways in which sessions leak."""

from dataclasses import FrozenInstanceError
from math import log2, nan
from typing import TypedDict, Unpack

import numpy as np
import pytest

from bench.accuse import Strategy, averaging, majority, switching
from relay.watermark.accuse.candidates import DerivedCandidates, GivenCandidates, Served
from relay.watermark.accuse.finding import Finding, Status, accuse
from relay.watermark.accuse.pairs import PARTNER_BOUND, score_pairs
from relay.watermark.accuse.readings import Floats, Integers, Readings
from relay.watermark.code import AssetCode

SESSIONS = 3000
RANDOM = np.random.default_rng(7)
NUMBERS = RANDOM.integers(2**64, size=SESSIONS, dtype=np.uint64)
NOISE = RANDOM.normal(size=4000)
CODES = {profile: AssetCode(bytes(range(32)), profile) for profile in (2, 4)}
GUILTY = [1234, 42, 2999]
NEEDED = log2(SESSIONS) + log2(1e9)


class Options(TypedDict, total=False):
    false_accusation: float
    hypotheses: int
    segment_s: float


def scores(positions: Integers, guilty: list[int], strategy: Strategy = switching, profile: int = 2) -> Floats:
    """What is read from copies of the first sessions, mixed."""
    bits = DerivedCandidates(CODES[profile], NUMBERS[guilty]).bits(0, len(guilty), positions)
    share = strategy(bits, np.random.default_rng(positions.size))
    return 40 * (1 - 2 * share) + NOISE[: positions.size]


def found(
    positions: Integers, z: Floats, profile: int = 2, served: Served | None = None, **options: Unpack[Options]
) -> Finding:
    candidates = DerivedCandidates(CODES[profile], NUMBERS, served)
    return accuse(Readings.of(positions, z), candidates, **options)


def named(finding: Finding) -> list[int]:
    return [match.candidate for match in finding.matches]


def test_one_leaker_is_named_from_a_minute_and_a_half() -> None:
    positions = np.arange(700, 745)
    finding = found(positions, scores(positions, GUILTY[:1]))
    assert finding.status is Status.IDENTIFIED
    assert named(finding) == [1234]
    match = finding.matches[0]
    assert finding.needed_bits == pytest.approx(NEEDED)
    assert match.evidence_bits >= NEEDED
    assert match.false_accusation_bound == pytest.approx(SESSIONS * 2**-match.evidence_bits)
    assert match.false_accusation_bound <= 1e-9
    assert finding.best_bits == match.evidence_bits
    assert finding.runner_up_bits < 15
    assert (finding.candidates, finding.segments_used, finding.segments_erased) == (SESSIONS, 45, 0)
    assert finding.estimated_further_seconds == 0
    assert finding.pair_bound is None
    assert 35 < finding.quality < 45


def test_below_what_is_needed_nobody_is_named_but_what_is_missing_is_told() -> None:
    positions = np.arange(30)
    finding = found(positions, scores(positions, GUILTY[:1]), segment_s=4.0)
    assert finding.status is Status.INSUFFICIENT_EVIDENCE
    assert finding.matches == ()
    assert 26 < finding.best_bits < 30
    assert finding.runner_up_bits < 15
    # As many more as bits are missing, at nearly a bit for each.
    further = finding.estimated_further_seconds
    assert further is not None
    assert 4 * (NEEDED - 30) < further < 4 * (NEEDED - 30 + 5)
    enough = np.arange(30 + round(further / 4))
    assert named(found(enough, scores(enough, GUILTY[:1]))) == [1234]


@pytest.mark.parametrize(
    ("profile", "strategy", "colluders", "segments"),
    [
        (2, switching, 2, 330),
        (2, averaging, 2, 150),
        (4, switching, 2, 400),
        (4, averaging, 2, 220),
        (4, majority, 3, 700),
    ],
)
def test_colluders_are_named_and_nobody_else(profile: int, strategy: Strategy, colluders: int, segments: int) -> None:
    positions = np.arange(segments)
    guilty = GUILTY[:colluders]
    finding = found(positions, scores(positions, guilty, strategy, profile), profile)
    assert finding.status is Status.IDENTIFIED
    assert set(named(finding)) <= set(guilty)
    bounds = [match.false_accusation_bound for match in finding.matches]
    assert bounds == sorted(bounds)


def test_averaged_copies_are_erasures_where_they_differ() -> None:
    positions = np.arange(150)
    finding = found(positions, scores(positions, GUILTY[:2], averaging))
    assert 50 < finding.segments_erased < 100
    assert finding.segments_used + finding.segments_erased == 150


def test_two_who_switched_are_named_as_a_pair_before_either_is_alone() -> None:
    positions = np.arange(160)
    finding = found(positions, scores(positions, GUILTY[:2]))
    assert finding.status is Status.PAIR_IDENTIFIED
    assert set(named(finding)) == set(GUILTY[:2])
    assert finding.best_bits < finding.needed_bits
    assert finding.pair_bound is not None
    assert finding.pair_bound <= 1e-9
    pairs = SESSIONS * (SESSIONS - 1) / 2
    for match in finding.matches:
        assert finding.pair_bound == pytest.approx(pairs * 2**-match.evidence_bits)
        assert finding.pair_bound < match.false_accusation_bound <= 1e-4
    assert finding.runner_up_bits < 15


def test_a_pair_is_not_named_while_one_of_the_two_may_be_innocent() -> None:
    """One gave three eighths of the leak: that one of them is guilty is certain enough, that he is, is not yet."""
    positions = np.arange(142)
    two = DerivedCandidates(CODES[2], NUMBERS[GUILTY[:2]])
    bits = two.bits(0, 2, positions)
    z = 40 * (1 - 2 * np.where(positions % 8 < 3, bits[1], bits[0])) + NOISE[:142]
    pairs = score_pairs(Readings.of(positions, z), two)
    assert pairs.joint_bounds(SESSIONS, 1)[0, 1] < 1e-9
    assert PARTNER_BOUND < pairs.bounds(SESSIONS, 1)[0, 1] < 0.01
    finding = found(positions, z)
    assert finding.status is Status.INSUFFICIENT_EVIDENCE
    assert finding.pair_bound is None


def test_beside_one_named_alone_less_is_needed_for_the_other() -> None:
    positions = np.arange(240)
    finding = found(positions, scores(positions, GUILTY[:2]))
    assert finding.status is Status.IDENTIFIED
    assert named(finding) == [1234, 42]
    alone, beside = finding.matches
    assert finding.best_bits == alone.evidence_bits >= NEEDED
    assert beside.false_accusation_bound <= alone.false_accusation_bound + 1e-9
    assert finding.pair_bound is None
    assert finding.runner_up_bits < 15


def test_one_leaker_and_somebody_unknown_make_no_pair() -> None:
    """Half of the leak comes from a session that is no candidate: the best candidate beside the one is innocent."""
    positions = np.arange(160)
    bits = DerivedCandidates(CODES[2], np.array([NUMBERS[1234], 99], dtype=np.uint64)).bits(0, 2, positions)
    finding = found(positions, 40 * (1 - 2 * switching(bits, np.random.default_rng(1))))
    assert finding.status is Status.INSUFFICIENT_EVIDENCE
    assert named(finding) == []


def test_gaps_and_unreadable_segments_are_left_out() -> None:
    positions = np.concatenate([np.arange(10, 30), np.arange(500, 520), np.arange(3000, 3030)])
    z = scores(positions, GUILTY[:1])
    z[::7] = nan
    finding = found(positions, z)
    assert named(finding) == [1234]
    assert (finding.segments_used, finding.segments_erased) == (60, 10)


def test_repeated_footage_counts_once() -> None:
    positions = np.arange(25)
    once = found(positions, scores(positions, GUILTY[:1]))
    looped = found(np.tile(positions, 8), np.tile(scores(positions, GUILTY[:1]), 8))
    assert looped.status is Status.INSUFFICIENT_EVIDENCE
    assert looped.best_bits == pytest.approx(once.best_bits, abs=0.1)
    assert looped.segments_used == 25


def test_a_pattern_that_wraps_is_merged_before_it_is_weighed() -> None:
    length, positions = 60, np.arange(1000, 1200)
    z = scores(positions % length, GUILTY[:1])
    wrapped = accuse(Readings.of(positions, z, length), DerivedCandidates(CODES[2], NUMBERS))
    assert named(wrapped) == [1234]
    assert wrapped.segments_used == 60
    assert wrapped.best_bits < 60


def test_patterns_that_another_vendor_gave_out_are_enough() -> None:
    length, positions = 80, np.arange(400, 480)
    patterns = np.random.default_rng(2).integers(256, size=(500, length // 8), dtype=np.uint8)
    bits = np.unpackbits(patterns[77])[positions % length]
    finding = accuse(Readings.of(positions, 30.0 - 60 * bits, length), GivenCandidates(patterns, length))
    assert named(finding) == [77]


def test_a_leak_cut_together_names_both_sessions() -> None:
    positions = np.arange(180)
    one, other = scores(positions, GUILTY[:1]), scores(positions, GUILTY[1:2])
    finding = found(positions, np.where(positions < 90, one, other))
    assert finding.status is Status.IDENTIFIED
    assert set(named(finding)) == {1234, 42}


def test_only_sessions_that_were_served_are_candidates() -> None:
    positions = np.arange(100, 138)
    z = scores(positions, GUILTY[:1])
    everybody = found(positions, z)
    assert everybody.status is Status.INSUFFICIENT_EVIDENCE
    rows = np.array([5, 42, 900, 1234, 2500])
    served = Served(rows, np.array([0, 100, 0, 90, 110]), np.array([50, 140, 99, 150, 120]))
    few = found(positions, z, served=served)
    assert few.candidates == 3  # two of the five fetched nothing of it
    assert few.needed_bits == pytest.approx(log2(3e9))
    assert named(few) == [1234]


def test_what_a_session_was_not_served_says_nothing_about_it() -> None:
    positions = np.arange(90)
    z = np.where(positions < 45, scores(positions, GUILTY[:1]), -scores(positions, GUILTY[:1]))  # another's from there
    rows = np.arange(SESSIONS)
    last = np.full(SESSIONS, 89)
    assert found(positions, z).status is Status.INSUFFICIENT_EVIDENCE
    last[1234] = 44
    assert named(found(positions, z, served=Served(rows, np.zeros_like(rows), last))) == [1234]


def test_alignments_that_were_tried_cost_their_logarithm() -> None:
    positions = np.arange(45)
    z = scores(positions, GUILTY[:1])
    one, many = found(positions, z), found(positions, z, hypotheses=4, false_accusation=1e-8)
    assert many.needed_bits == pytest.approx(one.needed_bits + 2 - log2(10))
    assert many.matches[0].false_accusation_bound == pytest.approx(4 * one.matches[0].false_accusation_bound)


def test_unmarked_pictures_name_nobody_and_promise_nothing() -> None:
    positions = np.arange(600)
    finding = found(positions, np.random.default_rng(3).normal(size=600))
    assert finding.status is Status.INSUFFICIENT_EVIDENCE
    assert finding.best_bits < 20
    assert finding.estimated_further_seconds is None
    assert finding.quality == pytest.approx(0.67, abs=0.1)


def test_marks_of_another_asset_name_nobody() -> None:
    positions = np.arange(600)
    finding = found(positions, scores(positions, GUILTY[:1], profile=4), profile=2)
    assert finding.status is Status.INSUFFICIENT_EVIDENCE
    assert finding.estimated_further_seconds is None  # a single leaker among the candidates would have been found


def test_evidence_that_grows_slowly_tells_how_long_it_will_take() -> None:
    """Two who switched: more than luck points to them, and less than would to one who leaked alone."""
    positions = np.arange(150)
    finding = found(positions, scores(positions, GUILTY[:2], profile=4), profile=4)
    assert finding.status is Status.INSUFFICIENT_EVIDENCE
    rate = finding.best_bits / 150
    assert finding.estimated_further_seconds == pytest.approx(2 * (NEEDED - finding.best_bits) / rate, abs=2)


def test_what_cannot_be_one_leaker_promises_nothing_in_a_few_seconds() -> None:
    positions = np.arange(80)  # nearly enough, had one candidate leaked
    finding = found(positions, scores(positions, GUILTY[:2], profile=4), profile=4)
    assert finding.status is Status.INSUFFICIENT_EVIDENCE
    assert finding.best_bits < 20
    assert finding.estimated_further_seconds is None


@pytest.mark.parametrize("sessions", [0, 1, 2])
@pytest.mark.parametrize("segments", [0, 1, 50])
def test_few_candidates_and_short_leaks_are_answered(sessions: int, segments: int) -> None:
    positions = np.arange(segments)
    readings = Readings.of(positions, scores(positions, GUILTY[:1]))
    finding = accuse(readings, DerivedCandidates(CODES[2], NUMBERS[1234 : 1234 + sessions]))
    assert named(finding) == ([0] if sessions and segments == 50 else [])
    assert finding.candidates == sessions


def test_long_leaks_do_not_overflow() -> None:
    positions = np.arange(4000)
    assert named(found(positions, scores(positions, GUILTY[:1]))) == [1234]


def test_findings_stay_as_they_are() -> None:
    with pytest.raises(FrozenInstanceError):
        found(np.arange(3), np.ones(3)).status = Status.IDENTIFIED  # type: ignore[misc]  # that is the test


@pytest.mark.parametrize(
    ("options", "message"), [({"false_accusation": 0.0}, r"of 0\.0"), ({"hypotheses": 0}, "0 alignments")]
)
def test_questions_that_make_no_sense_are_refused(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        found(np.arange(3), np.ones(3), **options)
