"""Bits of many sessions at once: those of the code, of patterns given, and where they were served at all."""

import numpy as np
import pytest

from relay.watermark.accuse.candidates import DerivedCandidates, GivenCandidates, Served
from relay.watermark.code import BLOCK, PROFILES, SCALE, AssetCode

KEY = bytes(range(32))
NUMBERS = np.array([0, 1, 2**63, 2**64 - 1, 0x0123456789ABCDEF], dtype=np.uint64)


def integers(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "positions", [range(300), range(1003, 1050), [0, 5, 9, 127, 128, 4000, 2**31 - 1], [77], []], ids=str
)
def test_bits_in_bulk_are_those_that_were_served(profile: int, positions: list[int]) -> None:
    code, places = AssetCode(KEY, profile), integers(*positions)
    candidates = DerivedCandidates(code, NUMBERS)
    assert len(candidates) == 5
    for start, stop in ((0, 5), (1, 3)):
        assert candidates.bits(start, stop, places).tolist() == [
            [bool(code.bit(int(number), place)) for place in positions] for number in NUMBERS[start:stop]
        ]
    assert candidates.shares(places).tolist() == [
        code.thresholds(place // BLOCK)[place % BLOCK] / SCALE for place in positions
    ]


def test_intervals_say_what_sessions_were_served() -> None:
    served = Served(integers(1, 1, 3, 4), integers(0, 10, 5, 100), integers(4, 11, 10, 200))
    candidates = DerivedCandidates(AssetCode(KEY), NUMBERS, served)
    positions = integers(3, 4, 5, 10, 12)
    known = [[0, 0, 0, 0, 0], [1, 1, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]]
    found = candidates.known(0, 5, positions)
    assert found is not None
    assert found.astype(int).tolist() == known
    part = candidates.known(2, 4, positions)
    assert part is not None
    assert part.astype(int).tolist() == known[2:4]


def test_overlapping_intervals_count_once() -> None:
    served = Served(integers(0, 0, 0), integers(0, 2, 2), integers(5, 3, 9))
    assert served.known(0, 1, integers(0, 2, 4, 6, 9, 10)).tolist() == [[True, True, True, True, True, False]]


def test_some_sessions_are_taken_with_their_intervals() -> None:
    served = Served(integers(1, 1, 3), integers(0, 10, 5), integers(4, 11, 10))
    candidates = DerivedCandidates(AssetCode(KEY), NUMBERS, served)
    some, positions, order = candidates.take(integers(3, 0, 1)), integers(3, 4, 5, 10, 12), [3, 0, 1]
    known, all_known = some.known(0, 3, positions), candidates.known(0, 5, positions)
    assert known is not None
    assert all_known is not None
    assert known.tolist() == all_known[order].tolist()
    assert some.bits(0, 3, positions).tolist() == candidates.bits(0, 5, positions)[order].tolist()


def test_patterns_of_others_are_read_as_tokens_carry_them() -> None:
    code = AssetCode(KEY, 4)
    patterns = np.array([list(code.pattern(int(number), 100)) for number in NUMBERS], dtype=np.uint8)
    given, positions = GivenCandidates(patterns, 100), integers(0, 3, 50, 99)
    assert given.bits(1, 4, positions).tolist() == DerivedCandidates(code, NUMBERS).bits(1, 4, positions).tolist()
    assert given.shares(positions).tolist() == [0.5] * 4
    assert given.known(0, 5, positions) is None
    assert given.take(integers(4)).bits(0, 1, positions).tolist() == given.bits(4, 5, positions).tolist()
    with pytest.raises(ValueError, match="position 100 of patterns of 100 bits"):
        given.bits(0, 1, integers(100))


def test_candidates_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="in the order of the sessions"):
        Served(integers(2, 1), integers(0, 0), integers(1, 1))
    with pytest.raises(ValueError, match="a session, a first and a last"):
        Served(integers(2), integers(0, 0), integers(1, 1))
    for row in (-1, 5):
        with pytest.raises(ValueError, match="of no session: there are 5"):
            DerivedCandidates(AssetCode(KEY), NUMBERS, Served(integers(row), integers(0), integers(1)))
    with pytest.raises(ValueError, match="numbers repeat"):
        DerivedCandidates(AssetCode(KEY), NUMBERS[[0, 1, 0]])
    with pytest.raises(ValueError, match="do not hold 9 bits"):
        GivenCandidates(np.zeros((3, 1), dtype=np.uint8), 9)
    with pytest.raises(ValueError, match=r"a share of ones of 1\.0"):
        GivenCandidates(np.zeros((3, 1), dtype=np.uint8), 8, 1.0)
