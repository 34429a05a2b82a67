"""Cursors: what was given out is read back, and nothing else does harm."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.control.pages import POSITIONS, cursor_of, place_of
from relay.errors import RequestError

NAMES: msgspec.msgpack.Decoder[str] = msgspec.msgpack.Decoder(str)


@given(st.integers(0, 2**63 - 1))
def test_positions_come_back(position: int) -> None:
    assert place_of(cursor_of(position), POSITIONS) == position


@given(st.text())
def test_names_come_back(name: str) -> None:
    assert place_of(cursor_of(name), NAMES) == name


def test_without_one_reading_begins() -> None:
    assert place_of("", POSITIONS) is None


@given(st.text())
def test_anything_else_is_refused_or_a_place(cursor: str) -> None:
    try:
        place = place_of(cursor, POSITIONS)
    except RequestError:
        return
    assert place is None or 0 <= place < 2**63


@pytest.mark.parametrize("place", [-1, 2**63, "name"])
def test_places_that_no_list_has_are_refused(place: int | str) -> None:
    with pytest.raises(RequestError, match="cursor: not one that was given out here"):
        place_of(cursor_of(place), POSITIONS)
