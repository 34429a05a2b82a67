"""Live: rotation, key release, low latency, and segments that are still being produced."""

import asyncio
import json
import re
import time
from datetime import UTC, datetime
from itertools import pairwise
from urllib.parse import urljoin

import aiohttp
import pytest
from aiohttp import web

from tests.edge.world import VECTORS, World
from tests.media.decrypt import read_samples

INIT = (VECTORS / "clear" / "v_init.mp4").read_bytes()
SEGMENT = (VECTORS / "clear" / "v_1.m4s").read_bytes()
PERIOD_MS = 4000
LEAD_MS = 1000
GUARD_MS = 1000


def live_playlist(now: float, count: int = 8, extra: str = "") -> str:
    """A sliding window of 1 s segments that ends at ``now``."""
    first = int(now) - count
    date = datetime.fromtimestamp(first, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    lines += [f"#EXT-X-PROGRAM-DATE-TIME:{date}", '#EXT-X-MAP:URI="init.mp4"']
    lines += [f"#EXTINF:1.0,\nseg-{number}.m4s" for number in range(first, int(now))]
    return "\n".join(lines) + f"\n{extra}"


def serve_live(world: World) -> None:
    async def playlist(_: web.Request) -> web.Response:
        return web.Response(text=live_playlist(time.time()), content_type="application/vnd.apple.mpegurl")

    async def init(_: web.Request) -> web.Response:
        return web.Response(body=INIT)

    world.handlers["/live/live.m3u8"] = playlist
    world.handlers["/live/init.mp4"] = init


async def keys_of(world: World, session: str) -> dict[str, object]:
    status, body, _ = await world.get(urljoin(session, "keys"))
    assert status == 200, body
    found: dict[str, object] = json.loads(body)
    return found


async def test_segments_change_keys_at_period_boundaries_alone(world: World) -> None:
    serve_live(world)
    session = await world.enter("live")
    _, body, _ = await world.get(session)
    text = body.decode()
    assert text.count("#EXT-X-MAP") == 1
    assert "DISCONTINUITY" not in text
    periods = [int(period) for period in re.findall(r"^s/sd\.1\.(\d+)/", text, re.MULTILINE)]
    numbers = [int(number) for number in re.findall(r"seg-(\d+)\.m4s", text)]
    assert periods == [((number * 1000 + GUARD_MS) // PERIOD_MS) * PERIOD_MS for number in numbers]
    assert len(set(periods)) >= 2


async def test_per_period_signalling_names_each_key_over_the_same_bytes(world: World) -> None:
    serve_live(world)

    async def segment(_: web.Request) -> web.Response:
        return web.Response(body=SEGMENT)

    bodies = []
    number = int(time.time()) - 2
    world.handlers[f"/live/seg-{number}.m4s"] = segment
    for signalling in ("stable", "period"):
        session = await world.enter("live", query=f"&signalling={signalling}")
        _, body, _ = await world.get(session)
        text = body.decode()
        if signalling == "period":
            assert text.count("#EXT-X-MAP") == len(set(re.findall(r"s/sd\.1\.(\d+)/", text)))
            tags = [line.split(":")[0] for line in text.splitlines() if line.startswith(("#EXT-X-MAP", "#EXT-X-KEY"))]
            assert all(before == "#EXT-X-MAP" for before, after in pairwise(tags) if after != before == "#EXT-X-MAP")
        line = next(line for line in text.splitlines() if f"seg-{number}." in line)
        status, media, _ = await world.get(urljoin(session, line))
        assert status == 200
        bodies.append(media)
    assert bodies[0] == bodies[1]


async def test_the_next_key_comes_with_its_lead_and_not_before(world: World) -> None:
    serve_live(world)
    session = await world.enter("live")
    seen = set()
    deadline = time.time() + 6
    while time.time() < deadline:
        await world.get(session)
        keys = await keys_of(world, session)
        newest, edge = keys["period"], keys["stream_now"]
        assert isinstance(newest, int)
        assert isinstance(edge, int)
        # Released exactly when the first segment that could need it is the lead away.
        assert newest == (edge + LEAD_MS + GUARD_MS) // PERIOD_MS * PERIOD_MS
        seen.add(newest - edge // PERIOD_MS * PERIOD_MS)
        await asyncio.sleep(0.25)
    assert seen == {0, PERIOD_MS}


async def test_the_channel_pushes_each_next_key(world: World) -> None:
    serve_live(world)
    session = await world.enter("live")

    async def watch() -> None:
        while True:
            await world.get(session)
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    pushed: list[set[str]] = []
    async with asyncio.timeout(15), world.client.get(urljoin(session, "events")) as channel:
        assert channel.status == 200
        while len(pushed) < 3:
            line = await channel.content.readline()
            assert line
            if line.startswith(b"data: "):
                pushed.append({key["kid"] for key in json.loads(line[6:])["keys"]})
    watching.cancel()
    assert all(later - earlier for earlier, later in pairwise(pushed))


async def test_a_key_that_is_not_released_is_pending(world: World) -> None:
    serve_live(world)
    session = await world.enter("live", query="&scheme=aes-128")
    _, body, _ = await world.get(session)
    last = re.findall(r'METHOD=AES-128,URI="([^"]+)"', body.decode())[-1]
    status, key, _ = await world.get(urljoin(session, last))
    assert (status, len(key)) == (200, 16)


async def test_a_growing_segment_is_protected_piece_by_piece(world: World) -> None:
    """Chunked CMAF: the first fragment reaches the viewer while the origin holds the second back."""
    serve_live(world)
    second = asyncio.Event()

    async def grow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(SEGMENT)
        await second.wait()
        await response.write(SEGMENT)
        await response.write_eof()
        return response

    number = int(time.time()) - 2
    world.handlers[f"/live/seg-{number}.m4s"] = grow
    session = await world.enter("live", query="&signalling=period")
    _, body, _ = await world.get(session)
    url = urljoin(session, next(line for line in body.decode().splitlines() if f"seg-{number}." in line))
    async with world.client.get(url) as early, world.client.get(url) as late:
        assert early.headers["Transfer-Encoding"] == "chunked"
        first = await asyncio.wait_for(early.content.readexactly(len(SEGMENT)), 5)
        second.set()
        whole = first + await early.read()
        assert await late.read() == whole
    assert world.fetched.count(f"/live/seg-{number}.m4s") == 1
    again, cached, headers = await world.get(url)
    assert (again, cached, "ETag" in headers) == (200, whole, True)
    clear = read_samples(INIT, SEGMENT + SEGMENT)
    assert {track: len(samples) for track, samples in read_samples(INIT, whole).items()} == {
        track: len(samples) for track, samples in clear.items()
    }


async def test_an_origin_that_breaks_off_breaks_the_viewer_off_and_is_not_cached(world: World) -> None:
    serve_live(world)

    async def grow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(SEGMENT + SEGMENT[:100])
        assert request.transport
        request.transport.abort()
        return response

    number = int(time.time()) - 2
    path = f"/live/seg-{number}.m4s"
    world.handlers[path] = grow
    session = await world.enter("live")
    _, body, _ = await world.get(session)
    url = urljoin(session, next(line for line in body.decode().splitlines() if f"seg-{number}." in line))
    with pytest.raises(aiohttp.ClientError):
        await world.get(url)

    async def whole(_: web.Request) -> web.Response:
        return web.Response(body=SEGMENT)

    world.handlers[path] = whole
    status, _, _ = await world.get(url)
    assert status == 200


async def test_a_held_reload_reaches_the_origin_once_and_answers_all(world: World) -> None:
    """LL-HLS blocking reload: the parameters go through, equal requests are one, and none is held out of turn."""
    serve_live(world)
    released = asyncio.Event()
    asked: list[str] = []
    control = ["#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0\n"]

    async def playlist(request: web.Request) -> web.Response:
        if "_HLS_msn" in request.query:
            asked.append(request.query_string)
            await released.wait()
        return web.Response(text=live_playlist(time.time(), extra=control[0]))

    async def multivariant(_: web.Request) -> web.Response:
        return web.Response(text="#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=256x144\nv.m3u8\n")

    world.handlers["/live/live.m3u8"] = multivariant
    world.handlers["/live/v.m3u8"] = playlist
    session = await world.enter("live")
    _, body, _ = await world.get(session)
    url = urljoin(session, next(line for line in body.decode().splitlines() if line.startswith("m/")))
    following = int(time.time())
    held = [asyncio.create_task(world.get(f"{url}&_HLS_msn={following}&_HLS_part=2&_HLS_skip=YES")) for _ in range(3)]
    await asyncio.sleep(0.3)
    assert asked == [f"_HLS_msn={following}&_HLS_part=2"]
    released.set()
    assert {status for status, _, _ in await asyncio.gather(*held)} == {200}
    assert len(asked) == 1
    status, _, headers = await world.get(f"{url}&_HLS_msn={following + 50}")
    assert (status, headers["Relay-Reason"]) == (400, "request_invalid")
    control[0] = ""
    await asyncio.sleep(1.1)
    assert (await world.get(f"{url}&_HLS_msn={following + 50}"))[0] == 200
    assert len(asked) == 1
