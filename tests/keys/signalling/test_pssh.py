"""The ``pssh`` box against an independent packager's, and against everything that is none."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SignallingError
from keys.model import Scheme
from keys.signalling.pssh import MAX_BOX_BYTES, Pssh
from keys.signalling.systems import COMMON, PLAYREADY, WIDEVINE
from tests.keys.signalling.vectors import KIDS, MP4_SCHEMES, init_boxes, mpd_boxes

KID = bytes(range(16))
V0 = Pssh(WIDEVINE, b"data").encode()
V1 = Pssh(COMMON, kids=(KID,)).encode()

kids = st.binary(min_size=16, max_size=16)
boxes = st.builds(Pssh, st.uuids(), st.binary(max_size=60), st.lists(kids, max_size=4).map(tuple))


@pytest.mark.parametrize("scheme", MP4_SCHEMES)
def test_a_packagers_boxes_read_and_write_unchanged(scheme: Scheme) -> None:
    found = init_boxes(scheme) + mpd_boxes(scheme)
    assert {Pssh.decode(box).system for box in found} == {COMMON, PLAYREADY, WIDEVINE}
    for box in found:
        assert Pssh.decode(box).encode() == box


def test_a_box_with_key_ids_is_version_1() -> None:
    assert Pssh(COMMON, kids=KIDS).encode().hex() == (
        "00000044" + b"pssh".hex() + "01000000" + "1077efecc0b24d02ace33c1e52e2fb4b"
        "00000002" + KIDS[0].hex() + KIDS[1].hex() + "00000000"
    )


def test_a_box_without_key_ids_is_version_0() -> None:
    assert V0.hex() == "00000024" + b"pssh".hex() + "00000000" + WIDEVINE.hex + "00000004" + b"data".hex()


@given(boxes)
def test_boxes_read_as_they_were_written(box: Pssh) -> None:
    assert Pssh.decode(box.encode()) == box


def test_a_version_1_box_may_name_no_key() -> None:
    box = V1[:28] + bytes(4) + bytes(4)
    box = len(box).to_bytes(4, "big") + box[4:]
    assert Pssh.decode(box) == Pssh(COMMON)


def edited(box: bytes, at: int, value: int) -> bytes:
    return box[:at] + value.to_bytes(4, "big") + box[at + 4 :]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (b"", "0 bytes, expected 32"),
        (V0[:31], "31 bytes, expected 32"),
        (V0 + bytes(MAX_BOX_BYTES), "expected 32 to 65536"),
        (edited(V0, 4, int.from_bytes(b"moov", "big")), "the box is b'moov'"),
        (edited(V0, 0, 1), "says it has 1 bytes, has 36"),
        (edited(V0, 0, 0), "says it has 0 bytes, has 36"),
        (V0 + b"\0", "says it has 36 bytes, has 37"),
        (edited(V0, 8, 2 << 24), "version and flags are 0x02000000"),
        (edited(V0, 8, 1), "version and flags are 0x00000001"),
        (edited(V0, 28, 3), "says it has 3 bytes of data, has 4"),
        (edited(V0, 28, 2**32 - 1), "says it has 4294967295 bytes of data, has 4"),
        (edited(V1, 28, 2), "too short for its 2 key IDs"),
        (edited(V1, 28, 2**32 - 1), "too short for its 4294967295 key IDs"),
        (edited(V1, 28, 0), "bytes of data, has 16"),
        (edited(V0, 8, 1 << 24), "too short for its 4 key IDs"),
    ],
)
def test_broken_boxes_are_refused(box: bytes, message: str) -> None:
    with pytest.raises(SignallingError, match=message):
        Pssh.decode(box)


@given(st.binary(max_size=100) | boxes.flatmap(lambda box: spoiled(box.encode())))
def test_reading_raises_only_its_own_error(box: bytes) -> None:
    try:
        found = Pssh.decode(box)
    except SignallingError:
        return
    assert Pssh.decode(found.encode()) == found


def spoiled(box: bytes) -> st.SearchStrategy[bytes]:
    """A box with one byte changed."""
    return st.tuples(st.integers(0, len(box) - 1), st.integers(0, 255)).map(
        lambda change: box[: change[0]] + bytes([change[1]]) + box[change[0] + 1 :]
    )


@pytest.mark.parametrize("kid", [b"", bytes(15), bytes(17)])
def test_key_ids_of_another_length_are_refused(kid: bytes) -> None:
    with pytest.raises(SignallingError, match=f"{len(kid)} bytes, expected 16"):
        Pssh(COMMON, kids=(KID, kid))


def test_a_box_over_the_limit_is_refused() -> None:
    assert len(Pssh(UUID(int=0), bytes(MAX_BOX_BYTES - 32)).encode()) == MAX_BOX_BYTES
    with pytest.raises(SignallingError, match="65537 bytes, more than 65536"):
        Pssh(UUID(int=0), bytes(MAX_BOX_BYTES - 31))
