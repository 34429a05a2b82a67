"""Crypto periods: the grid, the guard, extra boundaries, and that no jitter moves a segment."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.periods import GUARD_MS, WHOLE, CryptoPeriod, RotationPolicy, Schedule, first_segment_at

TEN_MINUTES = RotationPolicy()
NO_ROTATION = RotationPolicy(interval_ms=0)
EPOCH_2026 = 1_767_225_600_000

times = st.integers(-GUARD_MS, 2**42)
boundaries = st.lists(st.integers(0, 2**42), max_size=6).map(lambda found: tuple(sorted(found)))
intervals = st.sampled_from([0, 2000, 10_000, 599_999, 600_000]) | st.integers(2 * GUARD_MS, 2**42)


def policy_of(interval: int) -> RotationPolicy:
    return RotationPolicy(interval_ms=interval, pre_delivery_ms=0)


schedules = st.builds(Schedule, intervals.map(policy_of), boundaries)


def spread(period: CryptoPeriod) -> int:
    return 2**43 if period.end is None else period.end


@pytest.mark.parametrize(
    ("segment_start", "expected"),
    [
        (0, CryptoPeriod(0, 600_000)),
        (598_999, CryptoPeriod(0, 600_000)),
        (599_000, CryptoPeriod(600_000, 1_200_000)),
        (600_000, CryptoPeriod(600_000, 1_200_000)),
        (1_198_999, CryptoPeriod(600_000, 1_200_000)),
        (EPOCH_2026, CryptoPeriod(EPOCH_2026, EPOCH_2026 + 600_000)),
    ],
)
def test_periods_lie_on_the_grid_one_guard_early(segment_start: int, expected: CryptoPeriod) -> None:
    assert Schedule(TEN_MINUTES).period_of(segment_start) == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (649_999, CryptoPeriod(600_000, 650_000)),
        (650_000, CryptoPeriod(650_000, 700_001)),
        (700_001, CryptoPeriod(700_001, 1_200_000)),
        (1_200_000, CryptoPeriod(1_200_000, 1_800_000)),
    ],
)
def test_extra_boundaries_cut_the_grid_without_moving_it(time: int, expected: CryptoPeriod) -> None:
    assert Schedule(TEN_MINUTES, (650_000, 700_001)).period_at(time) == expected


def test_without_rotation_there_is_one_endless_period() -> None:
    assert Schedule(NO_ROTATION).period_of(10**12) == CryptoPeriod(WHOLE, None)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (4999, CryptoPeriod(WHOLE, 5000)),
        (5000, CryptoPeriod(5000, 9000)),
        (9000, CryptoPeriod(9000, None)),
    ],
)
def test_without_rotation_only_extra_boundaries_count(time: int, expected: CryptoPeriod) -> None:
    assert Schedule(NO_ROTATION, (5000, 9000)).period_at(time) == expected


@pytest.mark.parametrize("extra", [(), (0,), (0, 0)])
@pytest.mark.parametrize("policy", [TEN_MINUTES, NO_ROTATION])
def test_what_starts_before_stream_time_lies_in_the_first_period(
    policy: RotationPolicy, extra: tuple[int, ...]
) -> None:
    schedule = Schedule(policy, extra)
    assert schedule.period_of(-4000) == schedule.period_of(0)


@given(schedules, times)
def test_a_period_holds_its_segments(schedule: Schedule, segment_start: int) -> None:
    period = schedule.period_of(segment_start)
    assert period.start <= segment_start + GUARD_MS < spread(period)
    assert segment_start >= first_segment_at(period.start)
    assert schedule.period_of(first_segment_at(period.start)) == period


@given(schedules, times)
def test_segments_of_a_period_start_until_the_next_one_takes_over(schedule: Schedule, segment_start: int) -> None:
    period = schedule.period_of(segment_start)
    if period.segments_until is None:
        assert period.end is None
    else:
        assert schedule.period_of(period.segments_until - 1) == period
        assert schedule.period_of(period.segments_until).start == period.end


@given(schedules, times, times)
def test_a_name_means_one_span(schedule: Schedule, one: int, other: int) -> None:
    first, second = schedule.period_of(one), schedule.period_of(other)
    if first.start == second.start:
        assert first == second
    else:
        early, late = sorted((first, second), key=lambda period: period.start)
        assert spread(early) <= late.start


@given(
    st.integers(2000, 20_000).map(policy_of),
    st.lists(st.integers(0, 100_000), max_size=6).map(lambda found: tuple(sorted(found))),
    st.integers(-GUARD_MS, 100_000),
    st.integers(0, 60_000),
)
def test_between_lists_exactly_the_periods_of_a_window(
    policy: RotationPolicy, extra: tuple[int, ...], first: int, length: int
) -> None:
    schedule = Schedule(policy, extra)
    listed = list(schedule.between(first, first + length))
    assert listed[0] == schedule.period_of(first)
    assert listed[-1] == schedule.period_of(first + length)
    assert all(one.end == other.start for one, other in pairwise(listed))


def test_between_of_a_stream_that_does_not_rotate() -> None:
    assert list(Schedule(NO_ROTATION).between(0, 10**12)) == [CryptoPeriod(WHOLE, None)]


def test_between_of_one_instant_is_its_period() -> None:
    assert list(Schedule(TEN_MINUTES).between(598_999, 598_999)) == [CryptoPeriod(0, 600_000)]
    assert [period.start for period in Schedule(TEN_MINUTES).between(598_999, 599_000)] == [0, 600_000]


@given(
    st.integers(1, 2**42 // 600_000).map(lambda count: count * 600_000),
    st.integers(-400, 400),
)
def test_jitter_moves_no_segment_across_a_boundary(boundary: int, jitter: int) -> None:
    """Rounded EXTINF moves computed starts by milliseconds; segments of 2 s are cut on the boundary."""
    schedule = Schedule(TEN_MINUTES)
    for offset, period_start in ((-2000, boundary - 600_000), (0, boundary), (2000, boundary)):
        assert schedule.period_of(boundary + offset + jitter).start == period_start


def test_a_finished_title_rotates_only_where_the_policy_says_so() -> None:
    vod = Schedule(TEN_MINUTES.for_vod(), (5000,))
    assert [vod.period_at(time) for time in (0, 10**12)] == [CryptoPeriod(WHOLE, 5000), CryptoPeriod(5000, None)]
    assert vod.releasable_until(0) == 0
    rotating = RotationPolicy(vod=True)
    assert rotating.for_vod() == rotating


def test_keys_may_be_handed_out_one_lead_ahead() -> None:
    assert Schedule(RotationPolicy(pre_delivery_ms=30_000)).releasable_until(1_000_000) == 1_030_000


@pytest.mark.parametrize(
    ("interval", "pre_delivery", "message"),
    [
        (-1, 0, "must not be negative"),
        (600_000, -1, "must not be negative"),
        (1999, 0, "at least 2000 ms"),
        (10_000, 10_000, "shorter than interval"),
    ],
)
def test_impossible_policies_are_refused(interval: int, pre_delivery: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RotationPolicy(interval, pre_delivery)


@pytest.mark.parametrize("extra", [(2, 1), (-1,), (-1, 5)])
def test_boundaries_out_of_order_are_refused(extra: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="sorted and not negative"):
        Schedule(TEN_MINUTES, extra)
