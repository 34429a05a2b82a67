"""Forgetting a little with each that comes."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from relay.gate.turns import Turns


@given(limit=st.integers(1, 20), lives=st.lists(st.integers(0, 50), max_size=200))
def test_nothing_is_lost_or_kept_beyond_the_limit(limit: int, lives: list[int]) -> None:
    turns: Turns[tuple[int, int]] = Turns(limit)
    held: set[tuple[int, int]] = set()
    for now, life in enumerate(lives):
        held.add((now, now + life))
        forgotten = turns.add((now, now + life), partial(_over, now))
        assert len(set(forgotten)) == len(forgotten) <= 2
        assert held.issuperset(forgotten)
        held.difference_update(forgotten)
        assert len(held) == len(turns) <= limit


def _over(now: int, item: tuple[int, int]) -> bool:
    return item[1] <= now


def test_only_what_has_gone_is_forgotten_while_there_is_room() -> None:
    turns: Turns[int] = Turns(10)
    assert [turns.add(number, lambda _: False) for number in range(10)] == [[]] * 10
    # One that is still there has to go for each that comes; what has gone goes as well.
    assert len(turns.add(10, lambda _: False)) == 1
    assert len(turns) == 10
    assert len(turns.add(11, lambda _: True)) == 2
    assert len(turns) == 9
