import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import MediaError
from relay.media.box import (
    MAX_BOXES,
    Box,
    Budget,
    children,
    encode_box,
    encode_full_box,
    grow,
    is_open_ended,
    name_of,
    only,
    read_header,
)
from tests.media.build import box, large_box


def header(data: bytes, start: int = 0) -> Box:
    found = read_header(memoryview(data), start)
    assert found is not None
    return found


def inside(data: bytes, skip: int = 0) -> list[Box]:
    return list(children(header(data), Budget(), skip))


def test_header_with_32_bit_size() -> None:
    found = header(b"--" + box(b"free", b"abc"), 2)
    assert (found.kind, found.start, found.body, found.end) == (b"free", 2, 10, 13)
    assert bytes(found.payload) == b"abc"
    assert found.where == "free@2"


def test_header_with_64_bit_size() -> None:
    found = header(large_box(b"mdat", b"abc"))
    assert (found.body, found.size, bytes(found.payload)) == (16, 19, b"abc")


def test_size_0_reaches_to_the_end() -> None:
    found = header(b"\0\0\0\0mdat" + b"abc")
    assert is_open_ended(found)
    assert bytes(found.payload) == b"abc"


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x08fre", b"\0\0\0\1mdat\0\0\0\0\0\0\0"])
def test_header_cut_short_asks_for_more(data: bytes) -> None:
    assert read_header(memoryview(data), 0) is None


@pytest.mark.parametrize("data", [b"\0\0\0\7free", b"\0\0\0\2free", b"\0\0\0\1mdat" + (15).to_bytes(8, "big")])
def test_size_below_that_of_the_header_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError, match="less than its header"):
        header(data)


def test_children_in_order() -> None:
    found = inside(box(b"moof", box(b"mfhd", b"1"), large_box(b"uuid", b"2"), box(b"free")))
    assert [child.kind for child in found] == [b"mfhd", b"uuid", b"free"]
    assert found[0].where == "moof@0/mfhd@8"


def test_children_behind_fields() -> None:
    assert [child.kind for child in inside(box(b"stsd", bytes(8), box(b"mp4a")), 8)] == [b"mp4a"]


@pytest.mark.parametrize(
    ("data", "skip", "message"),
    [
        (box(b"moof", b"1234567"), 0, "7 stray bytes"),
        (box(b"moof", b"\0\0\0\x09free"), 0, "1 bytes past its parent"),
        (box(b"moof", b"\0\0\0\0free"), 0, "top level"),
        (box(b"stsd", b"1234567"), 8, "too short for its 8 bytes of fields"),
        (box(b"moof", bytes.fromhex("00000001 6d646174 ffffffffffffffff")), 0, "past its parent"),
    ],
)
def test_bad_children_are_refused(data: bytes, skip: int, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        inside(data, skip)


def test_too_many_boxes_are_refused() -> None:
    with pytest.raises(MediaError, match=f"more than {MAX_BOXES} boxes"):
        inside(box(b"moof", box(b"free") * (MAX_BOXES + 1)))
    assert len(inside(box(b"moof", box(b"free") * MAX_BOXES))) == MAX_BOXES


def test_only_wants_exactly_one() -> None:
    found = inside(box(b"moof", box(b"mfhd"), box(b"traf"), box(b"traf")))
    assert only(found, b"mfhd", "moof").kind == b"mfhd"
    for kind in (b"traf", b"tfdt"):
        with pytest.raises(MediaError, match="expected one"):
            only(found, kind, "moof")


def test_encoding() -> None:
    assert encode_box(b"free", b"a", b"bc") == box(b"free", b"abc")
    assert encode_full_box(b"senc", 1, 2, b"x") == box(b"senc", b"\1\0\0\2x")


def test_growing_keeps_the_width_of_the_size() -> None:
    for make in (box, large_box):
        buffer = bytearray(b"--" + make(b"moof", b"abc"))
        grow(buffer, 2, 4, "moof")
        assert buffer + b"defg" == b"--" + make(b"moof", b"abcdefg")
    buffer = bytearray(b"\xff\xff\xff\xfffree")
    with pytest.raises(MediaError, match="too large to grow"):
        grow(buffer, 0, 1, "free")
    open_ended = bytearray(b"\0\0\0\0mdat")
    grow(open_ended, 0, 1, "mdat")
    assert open_ended == b"\0\0\0\0mdat"


def test_names_are_printable() -> None:
    assert name_of(b"\xa9too") == "\\xa9too"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_media_errors_only(data: bytes) -> None:
    try:
        inside(box(b"moof", data))
        read_header(memoryview(data), 0)
    except MediaError:
        pass
