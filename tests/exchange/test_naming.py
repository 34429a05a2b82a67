"""Crypto periods by index, by time, and without a name."""

from dataclasses import replace

import pytest

from keys.errors import ExchangeError
from keys.exchange.model import KeyPeriod
from keys.periods import WHOLE, RotationPolicy, Schedule
from relay.exchange.naming import MAX_START, Periods

LIVE = Schedule(RotationPolicy(interval_ms=10_000, pre_delivery_ms=1000))
STILL = Schedule(RotationPolicy(interval_ms=0, pre_delivery_ms=0))
CHANNEL = Periods(LIVE, Schedule(LIVE.policy.for_vod()))
FILM = Periods(STILL, STILL)
TURNING = Periods(LIVE, LIVE)
CUT = Periods(replace(LIVE, boundaries=(25_000,)), Schedule(LIVE.policy.for_vod()))


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("start", [0, 10_000, 700_000])
def test_a_name_leads_back_to_its_period(start: int, timed: bool) -> None:
    for periods in (CHANNEL, TURNING):
        assert periods.start_of(periods.named(start, timed=timed)) == start


def test_the_only_period_has_no_name() -> None:
    assert FILM.named(WHOLE, timed=True) is None
    assert FILM.start_of(None) == CHANNEL.start_of(None) == WHOLE
    assert list(FILM.following(WHOLE, 5)) == []
    with pytest.raises(ExchangeError, match="rotates its keys"):
        TURNING.start_of(None)


def test_a_period_that_a_boundary_cuts_is_named_by_time() -> None:
    assert list(CUT.following(10_000, 3)) == [20_000, 25_000, 30_000]
    for start, end in ((20_000, 25_000), (25_000, 30_000)):
        named = CUT.named(start, timed=True)
        assert named
        assert (named.start, named.end) == (start, end)
        assert CUT.start_of(named) == start
    with pytest.raises(ExchangeError, match="cut by a boundary"):
        CUT.indexed(2, 10_000)
    assert CUT.indexed(3, 10_000) == 30_000


def test_no_two_periods_share_an_index() -> None:
    starts = [10_000 * number for number in range(100)] + [25_000]
    indices = {named.index for start in starts if (named := CUT.named(start, timed=False))}
    assert len(indices) == len(starts) - 1, "all but the one without a name"


@pytest.mark.parametrize(
    ("periods", "period", "why"),
    [
        (CHANNEL, KeyPeriod("p"), "neither index nor start"),
        (CHANNEL, KeyPeriod("p", index=-1), "out of range"),
        (CHANNEL, KeyPeriod("p", index=MAX_START), "out of range"),
        (CHANNEL, KeyPeriod("p", start=MAX_START + 1), "out of range"),
        (CHANNEL, KeyPeriod("p", start=5000), "no such crypto period"),
        (CHANNEL, KeyPeriod("p", start=10_000, end=30_000), "no such crypto period"),
        (FILM, KeyPeriod("p", index=1), "does not rotate"),
        (FILM, KeyPeriod("p", start=10_000), "no such crypto period"),
    ],
)
def test_names_of_no_period_are_refused(periods: Periods, period: KeyPeriod, why: str) -> None:
    with pytest.raises(ExchangeError, match=why):
        periods.start_of(period)


def test_an_interval_that_is_not_the_streams_is_refused() -> None:
    with pytest.raises(ExchangeError, match="5000 ms are asked for, this content has 10000 ms"):
        CHANNEL.indexed(1, 5000)
