"""When a segment begins, as its first fragment of video says."""

from fractions import Fraction

import pytest

from relay.errors import MediaError
from relay.media.box import encode_box, encode_full_box
from relay.media.init_segment import parse_init
from relay.media.presentation import starts_at
from tests.edge.world import VECTORS

CLEAR = VECTORS / "clear"
INIT = parse_init((CLEAR / "v_init.mp4").read_bytes())
AUDIO = parse_init((CLEAR / "a_init.mp4").read_bytes())
VIDEO = INIT.tracks[0].id


def fragment(time: int, version: int = 1, offset: int | None = None, signed: bool = False, track: int = VIDEO) -> bytes:
    """A fragment of one sample at a time in ticks, shown ``offset`` ticks later."""
    tfdt = encode_full_box(b"tfdt", version, 0, time.to_bytes(8 if version else 4, "big"))
    tfhd = encode_full_box(b"tfhd", 0, 0x20000, track.to_bytes(4, "big"))
    flags = 0x701 | (0x800 if offset is not None else 0)
    # Data offset, then duration, size, flags, composition offset.
    fields = [(1).to_bytes(4, "big"), bytes(4), bytes(4), bytes(4), bytes(4)]
    if offset is not None:
        fields.append(offset.to_bytes(4, "big", signed=offset < 0))
    trun = encode_full_box(b"trun", int(signed), flags, *fields)
    return encode_box(b"moof", encode_full_box(b"mfhd", 0, 0, bytes(4)), encode_box(b"traf", tfhd, tfdt, trun))


@pytest.mark.parametrize("number", range(6))
def test_vectors_begin_where_their_playlist_says(number: int) -> None:
    """They were cut every two seconds; what is shown first comes two frames later, as an edit list says."""
    starts = starts_at((CLEAR / f"v_{number + 1}.m4s").read_bytes(), INIT)
    assert starts is not None
    assert 0 <= starts - 2 * number < Fraction(1, 2)


def test_times_and_offsets_of_either_version() -> None:
    scale = INIT.tracks[0].timescale
    assert starts_at(fragment(5 * scale), INIT) == 5
    assert starts_at(fragment(5 * scale, version=0), INIT) == 5
    assert starts_at(fragment(2**40, offset=7), INIT) == Fraction(2**40 + 7, scale)
    assert starts_at(fragment(10 * scale, offset=-scale, signed=True), INIT) == 9
    # An encoder that puts decode times back by what it reorders begins where it says.
    assert starts_at(fragment(4 * scale - 80, offset=80), INIT) == 4


def test_more_bytes_are_asked_for_until_there_are_enough() -> None:
    segment = (CLEAR / "v_2.m4s").read_bytes()
    end = segment.index(b"mdat") - 4
    assert [starts_at(segment[:at], INIT) for at in (0, 7, 60, end - 1)] == [None] * 4
    assert starts_at(segment[:end], INIT) == starts_at(segment, INIT) is not None


@pytest.mark.parametrize(
    "data",
    [
        fragment(0, track=VIDEO + 1),
        encode_box(b"moof", b"x"),
        encode_box(b"moof"),
        encode_box(b"free", bytes(0)) * 5000,
    ],
    ids=["another track", "stray bytes", "empty", "too many boxes"],
)
def test_what_does_not_say_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        starts_at(data, INIT)


def test_sound_does_not_count() -> None:
    with pytest.raises(MediaError, match="no fragment of video"):
        starts_at((CLEAR / "a_1.m4s").read_bytes(), AUDIO)
