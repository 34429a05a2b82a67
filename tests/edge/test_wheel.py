import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.edge.wheel import TICK_S, Wheel


@given(st.lists(st.floats(0, 5)), st.lists(st.floats(0, 0.3)))
def test_nothing_is_due_early_lost_or_late(times: list[float], steps: list[float]) -> None:
    wheel: Wheel[int] = Wheel()
    for number, at in enumerate(times):
        wheel.add(number, at)
    now = before = 0.0
    taken: list[int] = []
    for step in [*steps, 10.0]:
        before, now = now, now + step
        for _, number in wheel.turn(now):
            assert times[number] <= now
            assert times[number] > before - 2 * TICK_S
            taken.append(number)
    assert sorted(taken) == list(range(len(times)))


def test_the_tick_tells_a_stale_place_from_the_last_one() -> None:
    wheel: Wheel[str] = Wheel()
    first = wheel.add("a", 1.0)
    second = wheel.add("a", 2.0)
    assert [tick for tick, _ in wheel.turn(1.5)] == [first]
    assert [tick for tick, _ in wheel.turn(2.5)] == [second]


@pytest.mark.parametrize("at", [-5.0, 0.0, 9.99])
def test_what_is_overdue_comes_with_the_next_turn(at: float) -> None:
    wheel: Wheel[str] = Wheel()
    list(wheel.turn(10.0))
    wheel.add("late", at)
    assert [item for _, item in wheel.turn(10.0 + TICK_S)] == ["late"]


def test_what_is_put_on_while_it_turns_waits_for_the_next_turn() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.add("a", 0.0)
    seen = []
    for _, item in wheel.turn(1.0):
        seen.append(item)
        assert len(seen) < 3
        wheel.add(item, 1.0)
    assert seen == ["a"]
