import pytest

from keys.periods import Clock
from relay.errors import ManifestError, UnsupportedMediaError
from relay.manifest.hls import timeline
from relay.manifest.hls.mint import Mint
from relay.manifest.hls.playlist import parse
from relay.manifest.hls.timeline import Timeline
from relay.sources import ByteRange, Source
from tests.manifest.hls.world import context


def read(text: str, known: Clock | None = None) -> Timeline:
    playlist = parse(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n{text}".encode())
    return timeline.read(playlist, Mint(context(), Source("v.m3u8"), "m/hd/v.m3u8"), known)


DATE = "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:00Z\n"
END = "#EXT-X-ENDLIST\n"
SEQUENCE = "#EXT-X-MEDIA-SEQUENCE:5\n"
TWO = "#EXTINF:4,\n1.m4s\n#EXTINF:3.5,\n2.m4s\n"
VOD = "#EXT-X-PLAYLIST-TYPE:VOD\n"
EVENT = "#EXT-X-PLAYLIST-TYPE:EVENT\n"


@pytest.mark.parametrize(
    ("text", "clock", "starts", "final"),
    [
        (DATE + TWO, Clock.WALL, [60_000, 64_000], False),
        (DATE + TWO + END, Clock.WALL, [60_000, 64_000], True),
        (EVENT + DATE + TWO + END, Clock.WALL, [60_000, 64_000], True),
        (SEQUENCE + TWO, Clock.SEQUENCE, [20_000, 24_000], False),
        (SEQUENCE + TWO + END, Clock.SEQUENCE, [20_000, 24_000], True),
        (TWO, Clock.SEQUENCE, [0, 4_000], False),
        (TWO + END, Clock.MEDIA, [0, 4_000], True),
        (EVENT + TWO, Clock.SEQUENCE, [0, 4_000], False),
        (VOD + DATE + SEQUENCE + TWO + END, Clock.MEDIA, [0, 4_000], True),
        (VOD + TWO, Clock.MEDIA, [0, 4_000], True),
    ],
)
def test_the_clock(text: str, clock: Clock, starts: list[int], final: bool) -> None:
    found = read(text)
    assert (found.clock, found.final) == (clock, final)
    assert [segment.start_ms for segment in found.segments] == starts


def test_a_known_clock_stays_when_the_stream_ends() -> None:
    live = read(TWO)
    ended = read(TWO + END, live.clock)
    assert [segment.start for segment in ended.segments] == [segment.start for segment in live.segments]
    assert ended.final


def test_a_known_wall_clock_cannot_stay_without_dates() -> None:
    assert read(SEQUENCE + TWO, Clock.WALL).clock is Clock.SEQUENCE
    assert read(SEQUENCE + DATE + TWO, Clock.SEQUENCE).clock is Clock.SEQUENCE


def test_dates_hold_forwards_backwards_and_until_the_next() -> None:
    found = read(
        "#EXTINF:2,\n1.m4s\n#EXTINF:3,\n2.m4s\n"
        + DATE
        + "#EXTINF:2.0004,\n3.m4s\n#EXTINF:2.0004,\n4.m4s\n#EXT-X-DISCONTINUITY\n"
        "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:02:00Z\n#EXTINF:2,\n5.m4s\n#EXTINF:2,\n6.m4s\n"
    )
    assert [segment.start for segment in found.segments] == [
        55_000_000,
        57_000_000,
        60_000_000,
        62_000_400,
        120_000_000,
        122_000_000,
    ]


def test_a_date_of_the_growing_segment_counts_for_those_before() -> None:
    part = '#EXT-X-PART:DURATION=0.5,URI="3.0.m4s"\n'
    found = read(TWO + DATE + part)
    assert [segment.start_ms for segment in found.segments] == [52_500, 56_500, 60_000]
    assert [segment.start_ms for segment in read(TWO + DATE).segments] == [52_500, 56_500]


def test_sums_do_not_drift() -> None:
    found = read(VOD + "#EXTINF:0.1,\nx.m4s\n" * 50_001)
    assert found.segments[-1].start == 5_000 * timeline.SECOND


def test_parts_and_hints_make_a_growing_segment() -> None:
    inf = "#EXT-X-PART-INF:PART-TARGET=0.5\n"
    part = '#EXT-X-PART:DURATION=0.48,URI="3.0.m4s"\n'
    hint = '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="3.1.m4s"\n'
    assert [segment.duration for segment in read(inf + TWO + part + hint).segments] == [4_000_000, 3_500_000, 980_000]
    assert len(read(inf + TWO + hint).segments) == 3
    assert len(read(inf + TWO + '#EXT-X-PRELOAD-HINT:TYPE=MAP,URI="i.mp4"\n').segments) == 2
    assert read(inf + part + "#EXTINF:4,\n1.m4s\n").segments[0].duration == 4_000_000


def test_maps_hold_until_the_next() -> None:
    found = read('#EXTINF:4,\n1.ts\n#EXT-X-MAP:URI="i.mp4",BYTERANGE="9"\n' + TWO + '#EXT-X-MAP:URI="j.mp4"\n' + TWO)
    first = timeline.Map(Source("i.mp4"), ByteRange(0, 9))
    second = timeline.Map(Source("j.mp4"), None)
    assert [segment.map for segment in found.segments] == [None, first, first, second, second]
    assert [segment.sequence for segment in found.segments] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#EXT-X-TARGETDURATION:4\n", "line 3: EXT-X-TARGETDURATION: given twice"),
        ("#EXT-X-MEDIA-SEQUENCE:-1\n", "line 3: EXT-X-MEDIA-SEQUENCE: not a decimal integer"),
        ("#EXT-X-MEDIA-SEQUENCE:9223372036854775808\n", "line 3: .* below 2\\^63"),
        ("#EXT-X-MEDIA-SEQUENCE:9223372036854775807\n" + TWO, "count past 2\\^63 ms"),
        ("#EXTINF:,\n1.m4s\n", "line 3: EXTINF: not a duration"),
        ("#EXTINF:4,\n#EXTINF:4,\n1.m4s\n", "line 3: EXTINF: no URI follows"),
        (TWO + "#EXTINF:4,\n", "line 7: EXTINF: no URI follows"),
        ("1.m4s\n", "line 3: no EXTINF stands before it"),
        ("#EXT-X-PROGRAM-DATE-TIME:yesterday\n", "line 3: EXT-X-PROGRAM-DATE-TIME: not a date"),
        ("#EXT-X-MAP:BYTERANGE=1@0\n", "line 3: EXT-X-MAP: attribute URI is missing"),
        ('#EXT-X-MAP:URI="i.mp4",BYTERANGE="x"\n', "line 3: EXT-X-MAP: not a decimal integer"),
        ('#EXT-X-PART:URI="i.mp4"\n', "line 3: EXT-X-PART: attribute DURATION is missing"),
        ("#EXT-X-PART-INF:PART-TARGET=x\n", "line 3: EXT-X-PART-INF: not a duration"),
        ("#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n", "line 3: EXT-X-SKIP: a delta update"),
    ],
)
def test_malformed(text: str, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        read(text)


@pytest.mark.parametrize("target", ["86401", "-1", "1.5", ""])
def test_hostile_target_durations(target: str) -> None:
    with pytest.raises(ManifestError, match="line 2: EXT-X-TARGETDURATION"):
        timeline.read(
            parse(f"#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n".encode()), Mint(context(), Source("v.m3u8"), "")
        )


def test_a_target_duration_is_required() -> None:
    with pytest.raises(ManifestError, match="without EXT-X-TARGETDURATION"):
        timeline.read(parse(b"#EXTM3U\n#EXTINF:1,\na\n"), Mint(context(), Source("v.m3u8"), ""))


def test_playlists_of_i_frames_are_refused() -> None:
    with pytest.raises(UnsupportedMediaError, match="line 3: a playlist of I-frames only"):
        read("#EXT-X-I-FRAMES-ONLY\n")
