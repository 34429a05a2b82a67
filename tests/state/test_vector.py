"""Vectors: whatever the order, what was seen is known, and what another lacks is found."""

from hypothesis import given
from hypothesis import strategies as st

from relay.state.vector import MAX_BEYOND, Extent, Vector


@given(st.permutations(range(1, 12)), st.integers(0, 11))
def test_any_order_comes_to_the_same(numbers: list[int], seen: int) -> None:
    vector = Vector()
    for seq in numbers[:seen]:
        vector.add("a", seq, seq)
    held = set(numbers[:seen])
    assert {seq for seq in range(1, 13) if vector.has("a", seq)} == held
    whole = next(seq for seq in range(13) if seq + 1 not in held)
    assert vector.whole_of("a") == whole
    assert vector.extent.tops.get("a", whole) == max(held, default=0)
    for seq in numbers[seen:]:
        vector.add("a", seq, seq)
    assert vector.extent == Extent({"a": 11}, {})


def test_a_span_closes_what_it_reaches() -> None:
    vector = Vector({"a": 3})
    vector.add("a", 10, 12)
    vector.add("a", 20, 20)
    assert vector.covers([("a", 1, 3)])
    assert not vector.covers([("a", 10, 12)])  # not whole: the message is looked into, which is harmless
    vector.add("a", 2, 11)
    assert vector.extent == Extent({"a": 12}, {"a": 20})
    vector.add("a", 1, 5)
    assert vector.whole_of("a") == 12


def test_what_another_lacks() -> None:
    mine = Extent({"a": 5, "b": 2, "c": 1}, {"c": 9})
    assert mine.beyond(mine) == []
    assert mine.beyond(Extent({"a": 5, "b": 2, "c": 1}, {"c": 9, "d": 4})) == []
    assert mine.beyond(Extent({"a": 3, "b": 4}, {})) == [("a", 4, 5), ("c", 1, 9)]
    # A gap of its own is what another lacks if this one has it filled.
    assert mine.beyond(Extent({"a": 2, "b": 2, "c": 1}, {"a": 5, "c": 9})) == [("a", 3, 5)]


def test_what_lies_beyond_gaps_is_bounded() -> None:
    vector = Vector()
    vector.add("a", 2, 2 + MAX_BEYOND * 2)
    assert not vector.has("a", 2)
    vector.add("b", 2, MAX_BEYOND - 10)
    vector.add("c", 5, 5)
    vector.add("c", 7, 7 + 100)
    assert vector.has("b", MAX_BEYOND - 10)
    assert vector.has("c", 5)
    assert not vector.has("c", 7)
    vector.add("b", 1, 1)
    assert vector.whole_of("b") == MAX_BEYOND - 10
    vector.add("c", 7, 7 + 100)
    assert vector.has("c", 7)
