"""The hybrid clock: always forward, after whatever it has seen, and not to be dragged away."""

from hypothesis import given
from hypothesis import strategies as st

from relay.state.clock import COUNTER_BITS, MAX_LEAD_MS, MAX_STAMP, HybridClock

NOW = 1_790_000_000.0
HOUR = 3600.0
stamps = st.integers(0, MAX_STAMP)
times = st.floats(-1e6, 1e11)


def at(seconds: float) -> int:
    return int(seconds * 1000) << COUNTER_BITS


def test_a_stamp_is_the_time_and_then_a_counter() -> None:
    clock = HybridClock()
    assert [clock.stamp(NOW), clock.stamp(NOW), clock.stamp(NOW + 1)] == [at(NOW), at(NOW) + 1, at(NOW + 1)]


def test_a_clock_set_back_goes_on_forward() -> None:
    clock = HybridClock()
    first = clock.stamp(NOW)
    assert clock.stamp(NOW - 300) == first + 1


def test_the_counter_runs_over_into_the_next_millisecond() -> None:
    clock = HybridClock()
    given_out = [clock.stamp(NOW) for _ in range((1 << COUNTER_BITS) + 10)]
    assert given_out == sorted(set(given_out))
    assert clock.stamp(NOW + 0.002) == at(NOW + 0.002)


def test_what_was_seen_lies_behind() -> None:
    clock = HybridClock()
    clock.observe(at(NOW + 300) + 5, NOW)
    assert clock.stamp(NOW) == at(NOW + 300) + 6


def test_a_stamp_from_far_ahead_moves_the_clock_an_hour_at_most() -> None:
    clock = HybridClock()
    clock.observe(MAX_STAMP, NOW)
    assert clock.stamp(NOW) == at(NOW + MAX_LEAD_MS / 1000) + 1
    assert clock.stamp(NOW + 2 * HOUR) == at(NOW + 2 * HOUR)


@given(st.lists(st.tuples(times, st.none() | stamps)))
def test_stamps_only_grow_and_stay_in_63_bits(steps: list[tuple[float, int | None]]) -> None:
    clock, last = HybridClock(), -1
    for now, seen in steps:
        if seen is None:
            stamp = clock.stamp(now)
            assert last < stamp <= MAX_STAMP
            last = stamp
        else:
            clock.observe(seen, now)
