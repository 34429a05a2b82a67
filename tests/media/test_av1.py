from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.model import Scheme
from relay.errors import MediaError, UnsupportedMediaError
from relay.media.av1 import MAX_OBUS, Av1Codec, obus
from relay.media.av1_frame import Frame, _derived_references, read_frame_header
from relay.media.av1_sequence import parse_sequence_header
from relay.media.av1_tiles import TileLayout, read_ns, read_tile_layout, tile_ranges
from relay.media.bits import BitReader
from relay.media.subsamples import SampleMapper
from tests.media.bits_for_tests import Bits
from tests.media.boxes_for_tests import sample_entry, samples
from tests.media.peers_for_tests import Clip

CONFIG = b"\x81\x00\x0c\x00"
DATA = bytes(range(40))
ORDER_HINT_BITS = 4


def sequence_header(reduced: str = "0") -> bytes:
    """64x64, order hints of 4 bits, no tools; a reduced one is for still pictures."""
    bits = Bits().u(3, 0)
    if reduced == "1":
        bits.flags("11").u(5, 0)
    else:
        bits.flags("00").flags("0").flags("0").u(5, 0).u(12, 0).u(5, 0)
    bits.u(4, 5).u(4, 5).u(6, 63).u(6, 63)
    if reduced == "0":
        bits.flags("0")
    bits.flags("0").flags("00")
    if reduced == "0":
        bits.flags("00").flags("0").flags("0").flags("1").flags("00").flags("0").flags("0").u(3, ORDER_HINT_BITS - 1)
    return (
        bits.flags("000").flags("0").flags("0").flags("0").flags("0").u(2, 0).flags("0").flags("0").flags("1").bytes()
    )


def obu(kind: int, payload: bytes) -> bytes:
    assert len(payload) < 128
    return bytes([kind << 3 | 2, len(payload)]) + payload


# Tiles: uniform. Quantiser 100 without changes, no segments, no delta; loop filter off; largest transforms.
COMMON = "1" + "01100100" + "000" + "0" + "0" + "0" + "0" * 12 + "000" + "0" + "0"
REDUCED_KEY = Bits().flags("0").flags("0").flags("0").flags(COMMON).flags("0")


def key_frame(order_hint: int) -> Bits:
    bits = Bits().flags("0").u(2, 0).flags("1").flags("0").flags("0").u(4, order_hint)
    return bits.flags("0").flags("0").flags(COMMON).flags("0")


def inter_frame(order_hint: int, refresh: int, references: str, skip_mode: str) -> Bits:
    """Shown, error resilient off, compound references allowed; ``skip_mode`` is its flag where there is one."""
    bits = Bits().flags("0").u(2, 1).flags("1").flags("0").flags("0").flags("0").u(4, order_hint).u(3, 7)
    bits.u(8, refresh).flags(references).flags("0").flags("0").flags("1").flags("0").flags("0")
    return bits.flags(COMMON).flags("1").flags(skip_mode).flags("0").flags("0" * 7)


def mapper(*config_obus: bytes) -> SampleMapper:
    return Av1Codec.parse(CONFIG + b"".join(config_obus)).mapper(Scheme.CBCS)


def header_bytes(track: SampleMapper, frame: Bits, *before: bytes) -> int:
    """The clear bytes of a frame OBU's payload."""
    header = frame.bytes()
    prefix = b"".join(before)
    ((clear, protected),) = track.map(memoryview(prefix + obu(6, header + DATA)))
    assert clear + protected == len(prefix) + 2 + len(header) + len(DATA)
    return clear - len(prefix) - 2


def test_a_reduced_still_picture() -> None:
    size = -(-len(REDUCED_KEY.text) // 8)
    assert header_bytes(mapper(obu(1, sequence_header("1"))), REDUCED_KEY) == size


def test_a_sequence_header_in_the_sample_is_enough() -> None:
    size = -(-len(key_frame(0).text) // 8)
    assert header_bytes(mapper(), key_frame(0), obu(2, b""), obu(1, sequence_header())) == size


# Explicit: seven times slot 0. Short: LAST is slot 1 and GOLDEN slot 0; ALTREF becomes the latest one ahead.
EXPLICIT = "0" + "000" * 7
SHORT = "1" + "001" + "000"


def test_skip_mode_needs_references_at_two_distances() -> None:
    sequence = parse_sequence_header(sequence_header())
    slots: list[Frame | None] = [None] * 8
    frames = [
        key_frame(0),
        inter_frame(4, 0b10, EXPLICIT, ""),  # all references at one distance
        inter_frame(2, 0b100, SHORT, "1"),  # slot 1 lies ahead, the others behind
        inter_frame(8, 0, "0" + "001" + "000" * 6, "1"),  # two distances behind
        inter_frame(8, 0, "0" + "001" * 7, ""),
        inter_frame(6, 0, SHORT, "0"),
    ]
    for frame in frames:
        header = read_frame_header(BitReader(frame.bytes()), sequence, slots, 0, 0)
        assert header.bits == len(frame.text)
        slots = [header.frame if header.refreshed >> i & 1 else slots[i] for i in range(8)]


def test_short_reference_signalling_follows_the_order_hints() -> None:
    hints = [0, 4, 2, 6, 12, 10, 9, 15]
    slots = [Frame(1, 64, 64, hint, (0,) * 8) for hint in hints]
    sequence = parse_sequence_header(sequence_header())
    # LAST, LAST2, LAST3, GOLDEN, BWDREF, ALTREF2, ALTREF
    assert _derived_references(sequence, slots, 8, 3, 0) == [3, 1, 2, 0, 6, 5, 7]
    # Nothing ahead: the three later names take frames behind, the latest first, until only the earliest is left.
    slots = [Frame(1, 64, 64, hint, (0,) * 8) for hint in (7, 6, 5, 5, 4, 4, 4, 4)]
    assert _derived_references(sequence, slots, 8, 0, 1) == [0, 3, 2, 1, 7, 6, 5]
    slots = [Frame(1, 64, 64, hint, (0,) * 8) for hint in (7, 9, 9, 9, 9, 9, 9, 3)]
    assert _derived_references(sequence, slots, 8, 0, 7) == [0, 7, 7, 7, 1, 2, 6]


def test_a_frame_in_several_tile_groups_and_a_repeated_header() -> None:
    track = mapper(obu(1, sequence_header()))
    header = key_frame(0).bytes()
    sample = obu(3, header) + obu(7, header) + obu(4, DATA) + obu(15, b"\x80") + obu(5, b"\x01\x80")
    tiles_at = 2 * (2 + len(header)) + 2
    assert track.map(memoryview(sample)) == [(tiles_at, 40), (len(sample) - tiles_at - 40, 0)]


def test_showing_a_key_frame_again_fills_every_slot() -> None:
    track = mapper(obu(1, sequence_header()))
    track.map(memoryview(obu(6, key_frame(3).bytes() + DATA)))
    show = obu(3, Bits().flags("1").u(3, 5).flags("1").bytes())
    assert track.map(memoryview(show)) == [(len(show), 0)]


@pytest.mark.parametrize("name", ["av1", "av1-tiles", "av1-grain"])
def test_a_segment_must_start_at_a_key_frame(clips: Callable[[str], Clip], name: str) -> None:
    clear = clips(name).clear
    track = Av1Codec.parse(sample_entry(clear)[1][b"av1C"]).mapper(Scheme.CENC)
    with pytest.raises(UnsupportedMediaError, match="does not start at a key frame"):
        track.map(memoryview(samples(clear)[1].data))


def test_a_frame_before_any_sequence_header_is_refused() -> None:
    with pytest.raises(UnsupportedMediaError, match="sequence header"):
        mapper().map(memoryview(obu(6, key_frame(0).bytes() + DATA)))


KEY = key_frame(0).bytes()


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (b"\x80", "forbidden"),
        (b"\x34", "truncated header"),
        (b"\x32", "bad size field"),
        (b"\x32" + b"\xff" * 9, "bad size field"),
        (b"\x32\x05\x00", "overrun"),
        (obu(6, KEY), "ends before its last tile"),
        (obu(6, KEY[:3]), "header runs past"),
        (obu(4, DATA), "without a frame header"),
        (obu(3, KEY), "before the last tile of a frame"),
        (obu(3, KEY) + obu(6, KEY + DATA), "before the last tile of another"),
        (obu(6, Bits().flags("1").u(3, 0).bytes() + DATA), "key frame"),
        (obu(8, DATA), "large scale"),
        (obu(1, bytes(127)) * 2 + b"\x0a\x80\x09" + bytes(1152), "over the limit"),
        (obu(2, b"") * (MAX_OBUS + 1), "more than"),
    ],
)
def test_broken_samples_are_refused(sample: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        mapper(obu(1, sequence_header())).map(memoryview(sample))


def test_the_last_obu_may_have_no_size() -> None:
    found = list(obus(memoryview(obu(2, b"") + b"\x36\x48\x03abc" + b"\x78" + DATA)))
    assert [(unit.type, unit.layers, unit.end - unit.start) for unit in found] == [
        (2, None, 0),
        (6, (2, 1), 3),
        (15, None, 40),
    ]


@pytest.mark.parametrize(
    ("wide", "size", "bits", "expected"),
    [
        (False, (64, 64), "1", TileLayout(1, 0, 0)),
        (False, (640, 192), "1" + "110" + "0" + "00" + "01", TileLayout(4, 2, 2)),
        (False, (640, 192), "1" + "1111" + "11" + "0" * 6 + "11", TileLayout(30, 6, 4)),
        (True, (8192, 4320), "1" + "0" + "0" + "0" * 2 + "11", TileLayout(4, 2, 4)),
        # Columns of 1, 2 and 7 superblocks out of 10, rows of 1 and 2 out of 3.
        (False, (640, 192), "0" + "000" + "001" + "111" + "0" + "1" + "000" + "10", TileLayout(6, 3, 3)),
    ],
)
def test_tile_layouts(wide: bool, size: tuple[int, int], bits: str, expected: TileLayout) -> None:
    reader = BitReader(Bits().flags(bits).bytes())
    assert read_tile_layout(reader, wide, *size) == expected
    assert reader.position == len(bits)


@pytest.mark.parametrize(
    ("symbols", "bits", "value"), [(1, "", 0), (5, "10", 2), (5, "110", 3), (5, "111", 4), (4, "11", 3)]
)
def test_non_symmetric_numbers(symbols: int, bits: str, value: int) -> None:
    reader = BitReader(Bits().flags(bits).bytes())
    assert read_ns(reader, symbols) == value
    assert reader.position == len(bits)


def test_tiles_of_a_group_have_their_sizes_before_them() -> None:
    layout = TileLayout(4, 2, 1)
    group = b"\x00" + b"\x02abc" + b"\x00d" + b"\x01ef" + b"ghi"
    ranges, following = tile_ranges(memoryview(group), 0, len(group), layout, 0)
    assert [group[start:end] for start, end in ranges] == [b"abc", b"d", b"ef", b"ghi"]
    assert following == 4
    some = bytes([0b10110000]) + b"\x00a" + b"bc"
    assert tile_ranges(memoryview(some), 0, len(some), layout, 1) == ([(2, 3), (3, 5)], 3)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (b"", "overruns"),
        (b"\x00\x05abc", "overruns"),
        (b"\x00\x02abc", "overruns"),
        (bytes([0b10110000]) + b"abcd", "not the next tile"),
        (bytes([0b10000000]), "ends before"),
    ],
)
def test_broken_tile_groups_are_refused(group: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        tile_ranges(memoryview(group), 0, len(group), TileLayout(4, 2, 1), 0)


def test_a_layer_outside_the_operating_point_is_refused() -> None:
    bits = Bits().u(3, 0).flags("00").flags("00").u(5, 0).u(12, 0x101).u(5, 0).text
    whole = "".join(f"{byte:08b}" for byte in sequence_header())
    layered = Bits().flags(bits + whole[len(bits) :]).bytes()
    assert parse_sequence_header(layered).operating_points[0].idc == 0x101
    frame = key_frame(0).bytes() + DATA
    with pytest.raises(UnsupportedMediaError, match="operating point"):
        mapper(obu(1, layered)).map(memoryview(bytes([0x36, 0x08, len(frame)]) + frame))


@pytest.mark.parametrize("config", [b"", b"\x01\x00\x0c\x00", b"\x81\x00\x0c\x00\x0a\x09"])
def test_bad_configurations_are_refused(config: bytes) -> None:
    with pytest.raises(MediaError):
        Av1Codec.parse(config)


@given(st.binary(max_size=60))
def test_any_sequence_header_is_read_or_refused(payload: bytes) -> None:
    try:
        parse_sequence_header(payload)
    except MediaError:
        return


@given(st.binary(max_size=90), st.binary(max_size=60))
def test_any_frames_are_mapped_or_refused(first: bytes, second: bytes) -> None:
    track = mapper(obu(1, sequence_header()))
    for sample in (obu(6, KEY + DATA), obu(6, first), obu(6, second + DATA), first):
        try:
            subsamples = track.map(memoryview(sample))
        except MediaError:
            continue
        assert sum(map(sum, subsamples)) == len(sample)
