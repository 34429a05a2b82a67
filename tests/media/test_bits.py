import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import MediaError
from relay.media.bits import HEAD_WINDOWS, BitReader, OutOfBitsError, read_head
from tests.media.bits_for_tests import Bits


@given(st.lists(st.integers(0, 2**32 - 2), max_size=20), st.lists(st.integers(-(2**30), 2**30), max_size=20))
def test_exp_golomb_codes_are_read_as_written(unsigned: list[int], signed: list[int]) -> None:
    reader = BitReader(Bits().ue(*unsigned).u(5, 19).se(*signed).bytes())
    assert [reader.ue() for _ in unsigned] == unsigned
    assert reader.u(5) == 19
    assert [reader.se() for _ in signed] == signed


def test_position_counts_bits_read() -> None:
    reader = BitReader(b"\xa5\x0f")
    assert (reader.flag(), reader.u(3), reader.u(0), reader.u(4)) == (1, 2, 0, 5)
    assert reader.position == 8


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x01"])
def test_a_field_past_the_end_is_refused(data: bytes) -> None:
    reader = BitReader(data)
    with pytest.raises(OutOfBitsError):
        reader.u(9)
    with pytest.raises(OutOfBitsError):
        reader.ue()


def test_the_bit_after_the_last_is_no_code() -> None:
    reader = BitReader(b"\xff")
    reader.u(8)
    with pytest.raises(OutOfBitsError):
        reader.ue()
    with pytest.raises(OutOfBitsError):
        reader.flag()


def test_a_code_over_32_bits_is_refused() -> None:
    with pytest.raises(MediaError, match="32 bits"):
        BitReader(bytes(4) + b"\xff" * 8).ue()


def test_read_head_looks_further_when_it_must() -> None:
    data = memoryview(bytes(HEAD_WINDOWS[0]) + b"\x01")
    assert read_head(data, lambda r: r.u(8 * len(data))) == 1
    with pytest.raises(MediaError, match="65 bytes"):
        read_head(data, lambda r: r.u(8 * len(data) + 1))
