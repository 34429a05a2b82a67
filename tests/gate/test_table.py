"""The compact table: a dict of digests whose entries expire, in a third of the memory."""

from collections.abc import Iterator
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from relay.gate.table import FOR_EVER, ROWS, Table

SHELVES = 65_536
# Few first bytes, so that shelves fill up; few of the others, so that one digest stands in another's bytes.
close_digests = st.tuples(st.sampled_from([0, 1]), st.sampled_from([0, 7]), st.binary(min_size=14, max_size=14)).map(
    lambda parts: bytes(parts[:2]) + parts[2]
)
same_bytes = st.lists(st.sampled_from([0, 1]), min_size=16, max_size=16).map(bytes)
digests = st.one_of(close_digests, same_bytes, st.binary(min_size=16, max_size=16))
values = st.one_of(st.binary(min_size=3, max_size=3), st.just(bytes(3)))


def digest(number: int) -> bytes:
    return blake2b(number.to_bytes(8), digest_size=16).digest()


def filled(count: int, keep: int = 100) -> Table:
    table = Table(3)
    for number in range(count):
        table.put(digest(number), keep, number.to_bytes(3))
    return table


def copied(table: Table) -> Table:
    copy = Table(3)
    for row in range(ROWS):
        if data := table.dump(row):
            copy.load(row, data)
    return copy


class AgainstDict(RuleBasedStateMachine):
    """Whatever is put in, replaced, swept and dumped: a dict does the same."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(3)
        self.model: dict[bytes, tuple[int, bytes]] = {}

    @rule(key=digests, keep=st.integers(0, 20), value=values)
    def put(self, key: bytes, keep: int, value: bytes) -> None:
        self.table.put(key, keep, value)
        self.model[key] = keep, value

    @rule(now=st.integers(0, 20))
    def sweep(self, now: int) -> None:
        dropped = self.table.sweep(now, SHELVES)
        assert dict(dropped) == {key: value for key, (keep, value) in self.model.items() if keep <= now}
        assert len(dict(dropped)) == len(dropped)
        self.model = {key: entry for key, entry in self.model.items() if entry[0] > now}

    @rule()
    def restart(self) -> None:
        self.table = copied(self.table)

    @rule(key=digests)
    def look_for_another(self, key: bytes) -> None:
        assert self.table.get(key) == self.model.get(key)

    @invariant()
    def is_the_same(self) -> None:
        assert len(self.table) == len(self.model)
        assert all(self.table.get(key) == entry for key, entry in self.model.items())
        assert sorted(self.table.found(list(self.model))) == sorted(
            (key, entry[1]) for key, entry in self.model.items()
        )


TestAgainstDict = AgainstDict.TestCase


def test_tens_of_thousands_are_found_and_no_others() -> None:
    table = filled(50_000)
    everyone = [digest(number) for number in range(50_000)]
    assert len(table) == 50_000
    assert table.found(everyone) == [(key, number.to_bytes(3)) for number, key in enumerate(everyone)]
    assert table.found([digest(number) for number in range(50_000, 100_000)]) == []


def test_a_digest_across_two_records_is_not_found() -> None:
    """The last bytes of one record and the first of the next may spell a digest that is not there."""
    table = Table(3)
    table.put(bytes(15) + b"\x01", 5, b"\0\0a")
    table.put(bytes(15) + b"\x02", 5, b"\0\0b")
    straddling = b"\0\0a" + bytes(13)
    assert table.get(straddling) is None
    assert table.found([straddling]) == []
    table.put(straddling, 6, b"own")
    assert table.get(straddling) == (6, b"own")


def test_what_has_expired_is_swept_shelf_by_shelf() -> None:
    table = filled(20_000)
    assert table.sweep(99.9, SHELVES) == []
    left, calls = 20_000, 0
    while left:
        dropped = table.sweep(100, 64)
        assert len(dropped) <= 64 * 8
        left -= len(dropped)
        calls += 1
    assert calls <= SHELVES // 64
    assert len(table) == 0
    assert table.found([digest(number) for number in range(20_000)]) == []


def test_a_sweep_leaves_what_has_not_expired() -> None:
    table = filled(50_000)
    for number in range(0, 50_000, 3):
        table.put(digest(number), 200, b"new")
    table.sweep(150, SHELVES)
    left = [digest(number) for number in range(0, 50_000, 3)]
    assert table.found([digest(number) for number in range(50_000)]) == [(key, b"new") for key in left]
    assert len(table) == len(left)


def test_an_entry_may_be_kept_for_ever() -> None:
    table = filled(1, FOR_EVER)
    assert table.sweep(FOR_EVER - 1, SHELVES) == []
    assert table.get(digest(0)) is not None


def test_a_table_swept_after_loading_drops_what_expired_meanwhile() -> None:
    table = copied(filled(20_000))
    table.put(digest(20_000), 200, b"new")
    assert len(table.sweep(150, SHELVES)) == 20_000
    assert table.found([digest(number) for number in range(20_001)]) == [(digest(20_000), b"new")]


def test_a_column_is_the_same_byte_of_every_value() -> None:
    table = filled(1000)
    last = b"".join(table.column(row, 2) for row in range(ROWS))
    assert sorted(last) == sorted(number & 255 for number in range(1000))


def bad_rows() -> Iterator[bytes]:
    good = filled(1000).dump(7)
    assert good
    yield good[:-1]
    yield good + b"\0"
    yield good[:1000]
    yield b"\x01" + good[1:]
    yield b"\xff" * len(good)
    yield b""


@pytest.mark.parametrize("data", list(bad_rows()), ids=len)
def test_a_damaged_row_is_refused(data: bytes) -> None:
    table = Table(3)
    with pytest.raises(ValueError, match="a row"):
        table.load(7, data)
    assert len(table) == 0


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_row_or_a_value_error(data: bytes) -> None:
    table = Table(3)
    try:
        table.load(0, data)
    except ValueError:
        assert len(table) == 0
