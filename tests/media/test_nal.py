import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import MediaError
from relay.media.bits import BitReader
from relay.media.nal import MAX_NAL_UNITS, MAX_PARAMETER_SET, header_size, nal_units, parameter_set, unescaped


def escaped(rbsp: bytes) -> bytes:
    out = bytearray()
    for byte in rbsp:
        if out[-2:] == b"\0\0" and byte <= 3:
            out.append(3)
        out.append(byte)
    return bytes(out)


@given(st.lists(st.sampled_from([0, 0, 0, 1, 3, 200]), max_size=120).map(bytes))
def test_unescaping_undoes_escaping(rbsp: bytes) -> None:
    assert unescaped(escaped(rbsp)) == rbsp


@given(st.lists(st.sampled_from([0, 0, 0, 1, 3, 200]), min_size=1, max_size=120).map(bytes), st.data())
def test_header_size_counts_the_emulation_prevention_bytes_in_it(rbsp: bytes, data: st.DataObject) -> None:
    bits = data.draw(st.integers(0, 8 * len(rbsp)))
    size = (bits + 7) // 8
    nal = escaped(rbsp)

    found = header_size(memoryview(nal), lambda r, _: r.u(bits), None)

    assert unescaped(nal[:found]) == rbsp[:size]
    # No shorter prefix holds the header: an escape right after it belongs to the slice data.
    assert found == 0 or unescaped(nal[: found - 1]) != rbsp[:size]


def test_a_header_that_runs_past_its_nal_unit_is_refused() -> None:
    with pytest.raises(MediaError, match="runs past"):
        header_size(memoryview(b"\x01\x02"), lambda r, _: r.u(17), None)


@pytest.mark.parametrize("length_size", [1, 2, 4])
def test_nal_units_are_found_and_empty_ones_left_out(length_size: int) -> None:
    nals = [b"ab", b"", b"c" * 9]
    sample = b"".join(len(nal).to_bytes(length_size, "big") + nal for nal in nals)
    found = [sample[start:end] for start, end in nal_units(memoryview(sample), length_size)]
    assert found == [b"ab", b"c" * 9]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (b"\0\0\0\x02a", "overrun a sample"),
        (b"\xff\xff\xff\xffa", "overrun a sample"),
        (b"\0\0\0\x01a\0", "too few for a length field"),
        (b"\0", "too few for a length field"),
        (bytes(4 * MAX_NAL_UNITS + 4), "more than 4096"),
    ],
)
def test_bad_lengths_are_refused(sample: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        list(nal_units(memoryview(sample), 4))


def test_the_limit_of_nal_units_is_allowed() -> None:
    assert list(nal_units(memoryview(bytes(4 * MAX_NAL_UNITS)), 4)) == []


def test_an_oversized_parameter_set_is_refused() -> None:
    assert isinstance(parameter_set(bytes(MAX_PARAMETER_SET)), BitReader)
    with pytest.raises(MediaError, match="over the limit"):
        parameter_set(bytes(MAX_PARAMETER_SET + 1))
