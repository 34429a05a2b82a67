"""Served ranges: a few intervals a session, honest about what they hold."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relay.watermark.code as code_module
from relay.model import Session
from relay.watermark.code import AssetCode
from relay.watermark.serving.served import BLOCK, MAX_INTERVALS, PAUSE_S, REACH, Interval, Served, Viewing, bounded

NOW = 1_800_000_000.0
UNKNOWN = -2


def played(*positions: int, every_s: float = 2.0, served: Served | None = None, start: float = NOW) -> Served:
    """Positions served one after another."""
    served = served or Served()
    for number, position in enumerate(positions):
        served.note(position, True, start + number * every_s)
    return served


def spans(served: Served) -> list[tuple[int, int]]:
    return [(one.first, one.last) for one in served.intervals()]


def test_playing_on_is_one_interval_whose_time_goes_with_it() -> None:
    (one,) = played(*range(100, 400)).intervals()
    assert one == Interval(100, 399, NOW, NOW + 598)
    assert one.when(100) == NOW
    assert one.when(250) == pytest.approx(NOW + 300)
    assert Interval(7, 7, NOW, NOW + 2).when(7) == NOW


def test_nothing_served_is_no_interval() -> None:
    assert Served().intervals() == []


def test_retries_other_renditions_and_segments_out_of_order_are_no_seeks() -> None:
    assert spans(played(1, 2, 2, 1, 3, 3, 4)) == [(1, 4)]
    assert spans(played(10, 12, 11, 14, 13, 15)) == [(10, 15)]
    assert spans(played(5, 4, 3)) == [(3, 5)]


def test_a_seek_begins_another_interval() -> None:
    assert spans(played(1, 2, 3, 500, 501, 502)) == [(1, 3), (500, 502)]
    back = [*range(100), *range(20, 25)]
    assert spans(played(*back)) == [(0, 99), (20, 24)]
    assert spans(played(*range(10 + REACH), 10)) == [(0, 9 + REACH)]


def test_a_pause_begins_another_interval() -> None:
    served = played(1, 2, 3)
    played(4, 5, served=served, start=NOW + 4 + PAUSE_S + 1)
    assert served.intervals() == [
        Interval(1, 3, NOW, NOW + 4),
        Interval(4, 5, NOW + 5 + PAUSE_S, NOW + 7 + PAUSE_S),
    ]


def test_what_the_code_did_not_decide_stands_apart() -> None:
    served = played(1, 2)
    served.note(3, False, NOW + 4)
    served.note(UNKNOWN, False, NOW + 6)
    served.note(UNKNOWN, False, NOW + 8)
    served.note(5, True, NOW + 10)
    assert served.intervals() == [
        Interval(1, 2, NOW, NOW + 2),
        Interval(3, 3, NOW + 4, NOW + 4, marked=False),
        Interval(UNKNOWN, UNKNOWN, NOW + 6, NOW + 8, marked=False),
        Interval(5, 5, NOW + 10, NOW + 10),
    ]


def test_too_many_become_fewer_that_say_that_they_are_not_exact() -> None:
    served = played(*(1000 * number for number in range(MAX_INTERVALS + 40)))
    found = served.intervals()
    assert len(found) == MAX_INTERVALS
    assert not all(one.exact for one in found)
    for number in range(MAX_INTERVALS + 40):
        assert any(one.meets(1000 * number, 1000 * number) for one in found)


def test_the_nearest_are_joined_and_kinds_last() -> None:
    near = [
        Interval(0, 9, 1, 2),
        Interval(100, 109, 3, 4),
        Interval(112, 120, 5, 6),
        Interval(121, 121, 7, 8, marked=False),
    ]
    assert bounded(near, 3) == [near[0], Interval(100, 120, 3, 6, exact=False), near[3]]
    assert bounded(near, 1) == [Interval(0, 121, 1, 8, marked=True, exact=False)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.booleans(), st.integers(0, 40)), max_size=300))
def test_whatever_was_served_is_told(notes: list[tuple[int, bool, int]]) -> None:
    """Never too little: each position lies in an interval of its kind (or a merged one), within its time."""
    served, now, truth = Served(), NOW, []
    for position, marked, pause in notes:
        now += pause
        served.note(position, marked, now)
        truth.append((position, marked, now))
    found = served.intervals()
    assert len(found) <= MAX_INTERVALS
    assert found == sorted(found, key=lambda one: one.since)
    for position, marked, at in truth:
        assert any(
            one.meets(position, position) and one.since <= at <= one.until and (one.marked is marked or not one.exact)
            for one in found
        )
    assert _held([one for one in found if one.exact]) <= {position for position, _, _ in truth}


def _held(intervals: Iterable[Interval]) -> set[int]:
    """An exact interval holds nothing that was not served."""
    return {position for one in intervals for position in range(one.first, one.last + 1)}


def test_a_viewing_has_the_bits_of_its_code_whatever_it_asks_next() -> None:
    codes = [AssetCode(bytes(32), 2), AssetCode(bytes(31) + b"1", 4)]
    viewing = Viewing(Session("s", "a", "i", 0), "film", "asset", 0xABCDEF, 1)
    draw = random.Random(1)
    for position in [*range(300), *(draw.randrange(2**31) for _ in range(200))]:
        code = codes[draw.random() < 0.1]
        assert viewing.bit(code, position) == code.bit(0xABCDEF, position)
    assert BLOCK == code_module.BLOCK


def test_a_day_of_zapping_stays_small() -> None:
    draw = random.Random(7)
    served = Served()
    for number in range(20_000):
        served.note(draw.randrange(100_000), True, NOW + number)
    assert len(served.intervals()) <= MAX_INTERVALS
