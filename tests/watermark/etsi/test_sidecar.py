import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url
from relay.errors import MediaError
from relay.watermark.etsi.sidecar import (
    MAX_BYTES,
    MAX_TRIED,
    ByteRanges,
    Discrete,
    Segment,
    encode_egress,
    read_egress,
    read_sidecar,
)

POSITIONS = st.integers(-1, 32767)
PARTS = st.sampled_from([None, True, False])
# The examples of ETSI TS 104 002 V1.1.1 §5.5.3.2, the second shortened to the segments it shows.
TWO_NAMES = Discrete(Segment(21, "video_segment_.*?_123.mp4"), Segment(22, "video_segment_.*?_124.mp4"))
ONE_FILE = ByteRanges(262_445_216, (0, 1118, 1_701_212, 261_083_393, 262_073_936), (-1, 0, 1, 118, 119))


def test_names_of_the_standard() -> None:
    names = [f"video_segment_.*?_{number}.mp4".encode().hex() for number in (123, 124)]
    assert TWO_NAMES.encode().hex() == f"a201010282a2057819{names[0]}0615a2057819{names[1]}0616"
    assert TWO_NAMES.position_of("video_segment_5_124.mp4") == 22
    assert TWO_NAMES.position_of("video_segment_5_125.mp4") is None
    assert read_sidecar(TWO_NAMES.encode()).encode() == TWO_NAMES.encode()


def test_ranges_of_the_standard() -> None:
    ranges = "a204000620 a20419045e0600 a2041a0019f55c0601 a2041a0f8fd101061876 a2041a0f9eee50061877"
    assert ONE_FILE.encode() == bytes.fromhex(f"a30101 0285 {ranges} 031a0fa498a0")
    assert read_sidecar(ONE_FILE.encode()) == ONE_FILE
    assert ONE_FILE.position_of(0, 1117) == -1
    assert ONE_FILE.position_of(1118, 1_701_211) == 0
    assert ONE_FILE.position_of(1200, 1300) == 0
    assert ONE_FILE.position_of(262_073_936, 262_445_215) == 119


@pytest.mark.parametrize(
    ("first", "last"), [(0, 1118), (1118, 1_701_212), (5, 4), (262_445_215, 262_445_216), (-1, 5), (10**9, 10**9)]
)
def test_ranges_of_no_one_position(first: int, last: int) -> None:
    assert ONE_FILE.position_of(first, last) is None


def test_a_range_may_span_segments_of_one_position() -> None:
    assert ByteRanges(30, (0, 10, 20), (4, 4, 5)).position_of(5, 15) == 4


@given(st.lists(st.tuples(POSITIONS, PARTS, PARTS), min_size=1, max_size=20))
def test_discrete_round_trip(given: list[tuple[int, bool | None, bool | None]]) -> None:
    sidecar = Discrete(*(Segment(position, "", first, last) for position, first, last in given))
    read = read_sidecar(sidecar.encode())
    assert isinstance(read, Discrete)
    assert read.segments == sidecar.segments


@given(st.dictionaries(st.integers(0, 2**40), POSITIONS, min_size=1, max_size=20))
def test_ranges_round_trip(given: dict[int, int]) -> None:
    starts = tuple(sorted(given))
    sidecar = ByteRanges(starts[-1] + 1, starts, tuple(given[start] for start in starts))
    assert read_sidecar(sidecar.encode()) == sidecar


@given(POSITIONS)
def test_egress_round_trip(position: int) -> None:
    assert read_egress(encode_egress(position)) == position


def test_egress_header() -> None:
    assert base64url.decode(encode_egress(33)) == bytes.fromhex("a201010281a1061821")
    # Padded, and with what an origin should have left out.
    assert read_egress("ogEBAoGjBhghB_UI9Q==") == 33


@pytest.mark.parametrize(
    "text",
    ["", "=", "%%", "a" * 2000, base64url.encode(TWO_NAMES.encode()), base64url.encode(ONE_FILE.encode())],
)
def test_egress_headers_that_are_refused(text: str) -> None:
    with pytest.raises(MediaError, match="WMPaceInfoEgress: "):
        read_egress(text)


@pytest.mark.parametrize(
    ("regex", "fits", "fits_not"),
    [
        ("_12\\.mp4$", ["a_12.mp4"], ["a_12.mp4a", "a_13.mp4"]),
        ("^seg", ["seg1", "seg"], ["aseg"]),
        ("12", ["12", "a12b"], ["1"]),
        ("^12$", ["12"], ["123", "012"]),
        ("price\\$", ["price$", "price$1"], ["price"]),
        ("end\\\\$", ["the end\\"], ["end\\x"]),
        ("a_1|b_2", ["xa_1x", "b_2"], ["a_2"]),
        ("^(a|b)[0-9]+$", ["a1", "b22"], ["c1", "a1x"]),
    ],
)
def test_patterns_are_sought_anywhere_in_the_name(regex: str, fits: list[str], fits_not: list[str]) -> None:
    sidecar = Discrete(Segment(7, regex))
    assert [sidecar.position_of(name) for name in fits] == [7] * len(fits)
    assert [sidecar.position_of(name) for name in fits_not] == [None] * len(fits_not)


@pytest.mark.parametrize("regex", ["(a+)+$", "(a*)*b", "(a|aa)+$", "(.*a){20}"])
def test_hostile_patterns_do_not_hang(regex: str) -> None:
    """A backtracking engine would need longer than the universe has for these."""
    assert Discrete(Segment(1, regex)).position_of("a" * 200 + "!" * 40) in (None, 1)


@pytest.mark.parametrize(
    "regex",
    ["(", ".{2}" * 70, "(a{250}){250}", "(.)\\1", "(?=a)", "[[:digit:]]", "^a|b", "a|b$", "^(a)|(b)$", "*"],
)
def test_patterns_that_are_refused(regex: str) -> None:
    with pytest.raises(MediaError, match="segmentRegex: "):
        Discrete(Segment(1, regex)).position_of("abc 123")


def test_thousands_of_patterns_are_not_all_tried() -> None:
    sidecar = Discrete(*(Segment(at, f"^video_.*_{at}\\.mp4$") for at in range(5000)))
    assert [sidecar.position_of(f"video_1_{at}.mp4") for at in (0, 77, 4999, 5000)] == [0, 77, 4999, None]
    with pytest.raises(MediaError, match=f"more than {MAX_TRIED}"):
        Discrete(*[Segment(1, "a.*b")] * (MAX_TRIED + 1)).position_of("ba")


@pytest.mark.parametrize(
    ("regex", "name"),
    [("ab?c", "ac"), ("ab{0}c", "ac"), ("[xy]z", "yz"), ("x\\d{2}y", "x12y"), ("[ab]{0,2}c", "c"), ("a+b", "aab")],
)
def test_what_may_be_missing_is_not_asked_for(regex: str, name: str) -> None:
    assert Discrete(Segment(3, regex)).position_of(name) == 3


def test_long_names_are_nobodys() -> None:
    assert Discrete(Segment(7)).position_of("a" * 256) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "missing"),
        ({1: 1}, "missing"),
        ({1: 2, 2: [{6: 1}]}, "version"),
        ({1: True, 2: [{6: 1}]}, "version"),
        ({1: 1, 2: []}, "0 segments"),
        ({1: 1, 2: {}}, "array"),
        ({1: 1, 2: [{6: 1}], 9: 1}, "not known"),
        ({1: 1, 2: [{6: 1, 9: 1}]}, "not known"),
        ({1: 1, 2: [{5: "a"}]}, "missing"),
        ({1: 1, 2: [1]}, "missing"),
        ({1: 1, 2: [{6: "1"}]}, "position: a whole"),
        ({1: 1, 2: [{6: True}]}, "position: a whole"),
        ({1: 1, 2: [{6: 40000}]}, "position 40000"),
        ({1: 1, 2: [{6: -2}]}, "position: a whole"),
        ({1: 1, 2: [{5: 1, 6: 1}]}, "segmentRegex: text"),
        ({1: 1, 2: [{6: 1, 7: 1}]}, "firstpart"),
        ({1: 1, 2: [{6: 1, 8: None}]}, "firstpart"),
        ({1: 1, 2: [{6: 1}], 3: 9}, "a segment with a key"),
        ({1: 1, 2: [{4: 0, 6: 1}], 3: 0}, "not ascending"),
        ({1: 1, 2: [{4: 5, 6: 1}, {4: 5, 6: 2}], 3: 9}, "not ascending"),
        ({1: 1, 2: [{4: 5, 6: 1}], 3: "9"}, "fileSize"),
        ({1: 1, 2: [{4: -1, 6: 1}], 3: 9}, "not ascending"),
        ({1: 1, 2: [{4: 0, 6: 1}], 3: 2**63}, "fileSize"),
        ([], "not a CBOR map"),
        ({1: 1, 2: [[[[[[[[[[]]]]]]]]]]}, "nested deeper"),
    ],
)
def test_sidecars_that_are_refused(given: object, message: str) -> None:
    with pytest.raises(MediaError, match=f"sidecar: .*{message}"):
        read_sidecar(cbor2.dumps(given))


@pytest.mark.parametrize("data", [b"", b"\0" * (MAX_BYTES + 1), b"\xa2\x01", b"\xbf\xff", b"\x9b" + b"\xff" * 8])
def test_bytes_that_are_no_sidecar(data: bytes) -> None:
    with pytest.raises(MediaError, match="sidecar: "):
        read_sidecar(data)
