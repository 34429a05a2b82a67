"""Live windows that slide: what was published once never changes."""

from fractions import Fraction
from itertools import pairwise

import pytest

from keys.model import TrackType
from keys.periods import Clock
from relay.manifest.dash.rewrite import rewrite_mpd
from relay.manifest.hls.rewrite import rewrite_playlist
from relay.model import ManifestClass, Signalling
from relay.sources import Source
from relay.urls import InitRef, SegmentRef
from tests.manifest.dash.world import MPD_AT, START_MS, Seen, live, play
from tests.manifest.hls.world import CENC, CENC_DRM, CENC_PERIOD, context, minted, served_at

EXPECTED_TRACKS = frozenset({TrackType.HD, TrackType.AUDIO})


def shown(cls: ManifestClass, data: bytes, now_ms: int = START_MS, boundaries: tuple[int, ...] = ()) -> list[Seen]:
    ctx = context(cls, boundaries=boundaries)
    return play(rewrite_mpd(data, ctx, MPD_AT, "index.mpd", now_ms).body, ctx, now_ms=now_ms)


def path_of(seen: Seen) -> str:
    return seen.ref.source.path


@pytest.mark.parametrize("identifier", ["$Number$", "$Time$", "$Number%05d$"])
def test_stable_signalling_gives_each_segment_the_period_of_its_start(identifier: str) -> None:
    ctx = context(CENC)
    found = shown(CENC, live(3, 40, identifier=identifier))

    assert {seen.period for seen in found} == {"live"}
    for seen in found:
        start_ms = START_MS + int(seen.start * 1000)
        assert seen.crypto == ctx.schedule_of(Clock.WALL).period_of(start_ms).start
        assert isinstance(seen.init, InitRef)
        assert seen.init.slot.period is None
    video = [path_of(seen) for seen in found if seen.representation == "hd"]
    spelled = {
        "$Number$": [f"{n}" for n in range(3, 41)],
        "$Time$": [f"{(n - 1) * 180000}" for n in range(3, 41)],
        "$Number%05d$": [f"{n:05d}" for n in range(3, 41)],
    }
    assert video == [f"show/v/hd/{name}.m4s" for name in spelled[identifier]]


@pytest.mark.parametrize("identifier", ["$Number$", "$Time$"])
@pytest.mark.parametrize("cls", [CENC, CENC_PERIOD], ids=str)
def test_a_published_segment_never_changes_its_keys(cls: ManifestClass, identifier: str) -> None:
    known: dict[tuple[str, str], tuple[Fraction, int]] = {}
    begun: dict[str, Fraction] = {}
    for first in range(1, 60):
        data = live(first, first + 20, identifier=identifier)
        for seen in shown(cls, data):
            key = (path_of(seen), seen.period)
            assert known.setdefault(key, (seen.start, seen.crypto)) == (seen.start, seen.crypto)
            begun.setdefault(seen.period, seen.start)
    straddling = {path for path, period in known if (path, period) in known and path.startswith("show/a/")}
    assert straddling
    assert len({period for _, period in known}) == (1 if cls is CENC else len({c for _, c in known.values()}))


def test_period_signalling_cuts_at_the_first_video_segment_of_a_crypto_period() -> None:
    ctx = context(CENC_PERIOD)
    found = shown(CENC_PERIOD, live(1, 30))

    periods = list(dict.fromkeys(seen.period for seen in found))
    assert len(periods) == 6
    for period in periods:
        mine = [seen for seen in found if seen.period == period]
        (crypto,) = {seen.crypto for seen in mine}
        assert period == f"live-{crypto}"
        assert {seen.init.slot.period for seen in mine if isinstance(seen.init, InitRef)} == {crypto}
        video = [seen for seen in mine if seen.representation == "hd"]
        for seen in video:
            assert ctx.schedule_of(Clock.WALL).period_of(START_MS + int(seen.start * 1000)).start == crypto
        audio = [seen for seen in mine if seen.representation == "aac"]
        # Audio covers the Period without a hole.
        assert audio[0].start <= video[0].start
        assert audio[-1].start + audio[-1].duration >= video[-1].start + video[-1].duration - Fraction(1, 40)
        assert all(a.start + a.duration == b.start for a, b in pairwise(audio))


def test_straddling_audio_is_listed_in_both_periods_under_either_key() -> None:
    found = [seen for seen in shown(CENC_PERIOD, live(1, 30)) if seen.representation == "aac"]
    by_path: dict[str, list[Seen]] = {}
    for seen in found:
        by_path.setdefault(path_of(seen), []).append(seen)
    twice = [pair for pair in by_path.values() if len(pair) == 2]

    assert twice
    for old, new in twice:
        assert old.start == new.start
        assert old.crypto < new.crypto
        assert isinstance(old.ref, SegmentRef)
        assert isinstance(new.ref, SegmentRef)
        assert old.ref.source == new.ref.source
    assert all(len(pair) <= 2 for pair in by_path.values())


def test_period_starts_and_ids_stay_while_the_window_slides() -> None:
    ctx = context(CENC_PERIOD)
    begins: dict[str, bytes] = {}
    for first in range(1, 40):
        body = rewrite_mpd(live(first, first + 15), ctx, MPD_AT, "index.mpd", START_MS).body
        for part in body.split(b"<Period ")[1:]:
            head = part.partition(b">")[0]
            name = head.partition(b'id="')[2].partition(b'"')[0].decode()
            offsets = b"".join(sorted(word for word in part.split() if word.startswith(b"presentationTimeOffset")))
            assert begins.setdefault(name, head + offsets) == head + offsets
    assert len(begins) > 5


def test_a_period_waits_until_audio_has_come_into_it() -> None:
    # The seventh crypto period begins with the video segment number 31 (the guard rounds 60 s down to 59 s).
    before, waiting, there = live(20, 30), live(20, 31, lag=1), live(20, 31)
    assert len({seen.period for seen in shown(CENC_PERIOD, before)}) == 3
    assert len({seen.period for seen in shown(CENC_PERIOD, there)}) == 4
    found = shown(CENC_PERIOD, waiting)
    assert {seen.period for seen in found} == {seen.period for seen in shown(CENC_PERIOD, before)}
    assert found[-1].start < 60


def test_an_emergency_boundary_cuts_like_any_other() -> None:
    boundary = START_MS + 15_000
    found = shown(CENC_PERIOD, live(1, 20), boundaries=(boundary,))
    mine = [seen for seen in found if seen.crypto == boundary and seen.representation == "hd"]
    assert [seen.start for seen in mine] == [14, 16, 18]


@pytest.mark.parametrize("signalling", list(Signalling))
def test_numbers_without_a_timeline(signalling: Signalling) -> None:
    cls = ManifestClass(signalling=signalling)
    data = (
        b'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" availabilityStartTime="2023-11-14T22:13:20Z"'
        b' timeShiftBufferDepth="PT30S" minimumUpdatePeriod="PT500S"><Period id="p" start="PT0S">'
        b'<AdaptationSet id="1" mimeType="video/mp4"><SegmentTemplate timescale="10" duration="20" startNumber="7"'
        b' media="$Number$.m4s" initialization="i.mp4"/><Representation id="v" width="1280" height="720"/>'
        b"</AdaptationSet></Period></MPD>"
    )
    known: dict[str, tuple[Fraction, int]] = {}
    for second in range(31, 200, 3):
        now = START_MS + second * 1000
        found = play_at(cls, data, now)
        assert len(found) >= 14
        for seen in found:
            number = int(path_of(seen).rpartition("/")[2].partition(".")[0])
            assert seen.start == (number - 7) * 2
            assert known.setdefault(path_of(seen), (seen.start, seen.crypto)) == (seen.start, seen.crypto)
            expected = context(cls).schedule_of(Clock.WALL).period_of(START_MS + int(seen.start * 1000)).start
            assert seen.crypto == expected


def play_at(cls: ManifestClass, data: bytes, now: int) -> list[Seen]:
    ctx = context(cls)
    rewritten = rewrite_mpd(data, ctx, MPD_AT, "index.mpd", now)
    assert rewritten.observed is not None
    assert rewritten.observed.edge == now
    assert not rewritten.observed.final
    if cls.signalling is Signalling.PERIOD:
        assert b'minimumUpdatePeriod="PT1.25S"' in rewritten.body
    return play(rewritten.body, ctx, now_ms=now, depth_s=30)


def test_the_next_period_is_announced_within_the_lead() -> None:
    cls = ManifestClass(signalling=Signalling.PERIOD)
    data = (
        b'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" availabilityStartTime="2023-11-14T22:13:20Z"'
        b' timeShiftBufferDepth="PT4S"><Period id="p" start="PT0S"><AdaptationSet id="1" mimeType="video/mp4">'
        b'<SegmentTemplate duration="2" media="$Number$.m4s" initialization="i.mp4"/>'
        b'<Representation id="v" width="1280" height="720"/></AdaptationSet></Period></MPD>'
    )
    ctx = context(cls)  # every 10 s, 2.5 s ahead; the origin starts on a multiple of 10 s
    early = rewrite_mpd(data, ctx, MPD_AT, "index.mpd", START_MS + 7_000).body
    late = rewrite_mpd(data, ctx, MPD_AT, "index.mpd", START_MS + 8_000).body
    assert early.count(b"<Period ") == 1
    assert late.count(b"<Period ") == 2
    assert b'start="PT10S"' in late


def test_endless_timelines_end_now() -> None:
    data = live(1, 30).replace(b'r="29"', b'r="-1"')
    now = START_MS + 41_000
    found = [seen for seen in shown(CENC, data, now) if seen.representation == "hd"]
    assert [seen.start for seen in found] == [2 * n for n in range(20)]


def test_observed_and_shelf_life() -> None:
    rewritten = rewrite_mpd(live(11, 30), context(CENC), MPD_AT, "index.mpd", START_MS + 60_000)
    observed = rewritten.observed
    assert observed is not None
    assert observed.clock is Clock.WALL
    assert observed.tracks == EXPECTED_TRACKS
    assert START_MS + 18_000 <= observed.first <= START_MS + 20_000
    assert START_MS + 60_000 <= observed.edge < START_MS + 60_050
    assert rewritten.shelf_life == 1.0
    unhurried = live(1, 5).replace(b' minimumUpdatePeriod="PT2S"', b"")
    assert rewrite_mpd(unhurried, context(CENC), MPD_AT, "index.mpd", START_MS).shelf_life == 1.0
    hurried = live(1, 5).replace(b'minimumUpdatePeriod="PT2S"', b'minimumUpdatePeriod="PT0S"')
    assert rewrite_mpd(hurried, context(CENC), MPD_AT, "index.mpd", START_MS).shelf_life == 0.5


def test_all_key_ids_of_the_window_stand_in_one_pssh() -> None:
    cls = ManifestClass(signalling=Signalling.PERIOD, systems=CENC_DRM.systems)
    ctx = context(cls)
    body = rewrite_mpd(live(1, 30), ctx, MPD_AT, "index.mpd", START_MS).body
    boxes = {part.partition(b"<")[0] for part in body.split(b"<cenc:pssh>")[1:]}
    assert len(boxes) == 2  # Widevine's and PlayReady's, the same everywhere


def test_hls_of_the_same_stream_lies_in_the_same_periods() -> None:
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:2", '#EXT-X-MAP:URI="init.mp4"']
    lines.append("#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.000Z")
    for number in range(1, 31):
        lines += ["#EXTINF:2.000,", f"{number}.m4s"]
    source, ctx = Source("show/v/hd/live.m3u8"), context(CENC)
    at = served_at(source)
    body = rewrite_playlist("\n".join([*lines, ""]).encode(), ctx, source, at, TrackType.HD).body
    hls = [ref.slot.period for place, ref in minted(body, at, ctx) if place == "" and isinstance(ref, SegmentRef)]
    dash = [seen.crypto for seen in shown(CENC, live(1, 30)) if seen.representation == "hd"]
    assert hls == dash
    assert len(set(dash)) > 5
