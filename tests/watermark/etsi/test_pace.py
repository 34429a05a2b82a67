import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import MediaError
from relay.watermark.etsi.pace import MAX_POSITION, NOT_MARKED, PaceInfo, decode, read_ingest, wire_position

INFOS = st.builds(
    PaceInfo, st.integers(NOT_MARKED, MAX_POSITION - 1), st.integers(0, 255), st.booleans(), st.booleans()
)
STANDARD = '{ "version": 1, "variant": 0, "position": 33, "firstpart": true, "lastpart": true }'  # §5.5.3.3


def test_the_example_of_the_standard() -> None:
    assert read_ingest(STANDARD) == PaceInfo(33, 0, True, True)


@given(INFOS)
def test_round_trips(info: PaceInfo) -> None:
    assert read_ingest(info.encode_ingest()) == info
    assert decode(info.encode(), "here") == info


@pytest.mark.parametrize(
    ("info", "encoded"),
    [
        (PaceInfo(33), "01008021e0"),
        (PaceInfo(33, 1, False, True), "01018021a0"),
        (PaceInfo(32766, 1, True, False), "0101fffec0"),
        (PaceInfo(NOT_MARKED, 0, False, False), "0100ffff80"),
    ],
)
def test_five_bytes(info: PaceInfo, encoded: str) -> None:
    """Worked by hand from the class in §5.5.3.4."""
    assert info.encode().hex() == encoded


def test_the_last_position_is_not_written_in_band() -> None:
    with pytest.raises(ValueError, match="reads as not marked"):
        PaceInfo(MAX_POSITION).encode()
    assert read_ingest(PaceInfo(MAX_POSITION).encode_ingest()).position == MAX_POSITION


@pytest.mark.parametrize("position", [-2, 32768])
def test_positions_that_the_wire_cannot_carry(position: int) -> None:
    with pytest.raises(ValueError, match="is not -1 to 32767"):
        PaceInfo(position)


def test_our_positions_wrap() -> None:
    assert [wire_position(position) for position in (0, 32767, 32768, 2**31)] == [0, 32767, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2 is not known"),
        ({"position": 32768}, "position 32768"),
        ({"position": -2}, "position -2"),
        ({"position": True}, "position: a whole number"),
        ({"position": 1.0}, "position: a whole number"),
        ({"variant": 256}, "variant 256"),
        ({"variant": "a"}, "variant: a whole number"),
        ({"lastpart": 1}, "lastpart: true or false"),
        ({"more": 1}, "and no others"),
        ({"firstpart": None}, "firstpart: true or false"),
    ],
)
def test_headers_that_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(MediaError, match=message):
        read_ingest(json.dumps({**json.loads(STANDARD), **change}))


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "{", '{"version":1}', STANDARD.replace("}", ', "variant": 1}'), "[" * 500, " " * 501]
)
def test_headers_that_are_not_such_an_object(text: str) -> None:
    with pytest.raises(MediaError, match="WMPaceInfoIngest: "):
        read_ingest(text)


def test_what_was_overwritten_says_nothing() -> None:
    assert decode(b"\xff" * 5, "here") is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "0 bytes"),
        ("01008021", "4 bytes"),
        ("02008021e0", "version 2"),
        ("01000021e0", "marker"),
        ("0100802160", "marker"),
    ],
)
def test_bytes_that_are_none(data: str, message: str) -> None:
    with pytest.raises(MediaError, match=f"there: .*{message}"):
        decode(bytes.fromhex(data), "there")
