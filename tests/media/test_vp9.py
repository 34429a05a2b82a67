from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.model import Scheme
from relay.errors import MediaError, UnsupportedMediaError
from relay.media.subsamples import SampleMapper
from relay.media.vp9 import Vp9Codec
from tests.media.bits_for_tests import Bits
from tests.media.boxes_for_tests import samples
from tests.media.peers_for_tests import Clip

DATA = bytes(range(64))


def mapper() -> SampleMapper:
    return Vp9Codec.parse(bytes.fromhex("01000000000a820202020000")).mapper(Scheme.CBCS)


def coded(bits: Bits) -> tuple[bytes, int]:
    """A frame of these header bits and 64 bytes of data, and the size of its header."""
    header = bits.bytes()
    return header + DATA, len(header)


def tail(tile_bits: str) -> str:
    """Loop filter deltas, quantiser deltas and segmentation, all present, and a compressed header of 5 bytes."""
    bits = Bits().u(9, 7).flags("11").flags("1").u(7, 3).flags("00000").u(8, 50).flags("1").u(5, 2).flags("00")
    bits.flags("11").flags("1").u(8, 9).flags("000000").flags("1").flags("1").u(8, 9).flags("00")
    bits.flags("1").flags("0").flags("1").u(9, 3).flags("1").u(7, 3).flags("1").u(2, 1).flags("1").flags("0" * 28)
    return bits.flags(tile_bits).u(16, 5).text


def key_frame(width: int, tile_bits: str) -> Bits:
    bits = Bits().flags("10").flags("00").flags("0").flags("0").flags("1").flags("0").u(24, 0x498342)
    bits.flags("001").flags("0").u(16, width - 1).u(16, 63).flags("1").u(32, 9).flags("00").u(2, 0)
    return bits.flags(tail(tile_bits))


def inter_frame(size: str, tile_bits: str) -> Bits:
    bits = Bits().flags("10").flags("00").flags("0").flags("1").flags("1").flags("0").flags("00").u(8, 1)
    bits.flags("0000" * 3).flags(size).flags("1").flags("0").flags("01").flags("11").u(2, 1)
    return bits.flags(tail(tile_bits))


@pytest.mark.parametrize(
    ("width", "tile_bits"), [(64, "0"), (511, "0"), (512, "0" + "11"), (1025, "110"), (4097, "1110")]
)
def test_the_header_depends_on_the_frame_width(width: int, tile_bits: str) -> None:
    sample, header = coded(key_frame(width, tile_bits))
    assert mapper().map(memoryview(sample)) == [(header, 64)]


def test_inter_frames_inherit_the_width_or_bring_their_own() -> None:
    track = mapper()
    track.map(memoryview(coded(key_frame(512, "00"))[0]))
    for size, tile_bits in [
        ("1" + "0", "11" + "1"),
        ("001" + "1" + "0" * 32, "0" + "0"),
        ("000" + Bits().u(16, 63).u(16, 63).text + "0", "0"),
        ("1" + "0", "0"),  # the frame before put its width of 64 into slot 0
    ]:
        sample, header = coded(inter_frame(size, tile_bits))
        assert track.map(memoryview(sample)) == [(header, 64)]


def test_an_intra_only_frame_fills_the_slots_it_names() -> None:
    track = mapper()
    track.map(memoryview(coded(key_frame(64, "0"))[0]))
    bits = Bits().flags("10").flags("00").flags("0").flags("1").flags("0").flags("0").flags("1").flags("00")
    bits.u(24, 0x498342).u(8, 1).u(16, 511).u(16, 63).flags("0").flags("00").u(2, 0).flags(tail("00"))
    sample, header = coded(bits)
    assert track.map(memoryview(sample)) == [(header, 64)]
    sample, header = coded(inter_frame("1" + "0", "00"))
    assert track.map(memoryview(sample)) == [(header, 64)]


def test_a_frame_shown_again_stays_clear() -> None:
    assert mapper().map(memoryview(Bits().flags("10").flags("00").flags("1").u(3, 4).bytes())) == [(1, 0)]


def test_a_superframe_has_a_subsample_for_each_frame() -> None:
    frame, header = coded(key_frame(64, "0"))
    index = bytes([0xCA]) + len(frame).to_bytes(2, "little") * 2 + b"\x01\x00" + bytes([0xCA])
    sample = frame * 2 + b"\x88" + index
    assert mapper().map(memoryview(sample)) == [(header, 64), (header, 64), (1 + len(index), 0)]


def test_a_segment_must_start_at_a_key_frame(clips: Callable[[str], Clip]) -> None:
    later = samples(clips("vp9-hidden-frames").clear)[1]
    with pytest.raises(UnsupportedMediaError, match="does not start at a key frame"):
        mapper().map(memoryview(later.data))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (b"\x00" * 40, "frame marker"),
        (b"\x82\x49\x83\x43" + bytes(60), "sync code"),
        (b"\xb8" + bytes(60), "reserved profile"),
        (b"\x82\x49\x83\x42" + b"\xe0" + bytes(60), "RGB"),
        (coded(key_frame(64, "0"))[0][:20], "header runs past"),
        (b"\x88\xc1\x09\x09\xc1", "overruns"),
        (coded(key_frame(64, "0"))[0][:-66] + bytes(66), "no bytes"),
    ],
)
def test_broken_frames_are_refused(sample: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        mapper().map(memoryview(sample))


def test_a_bad_configuration_is_refused() -> None:
    with pytest.raises(MediaError, match="version 1"):
        Vp9Codec.parse(bytes(12))


@given(st.binary(max_size=100))
def test_any_frame_is_mapped_or_refused(tail: bytes) -> None:
    try:
        subsamples = mapper().map(memoryview(b"\x82\x49\x83\x42" + tail))
    except MediaError:
        return
    assert sum(map(sum, subsamples)) == 4 + len(tail)
