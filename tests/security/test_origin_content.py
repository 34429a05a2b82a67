"""What a manifest of a hostile or hijacked origin may make the relay do: fetch nothing elsewhere, and not for long."""

import asyncio
import time

import pytest
from aiohttp import web

from tests.edge.world import World

FOREIGN = [
    "http://127.0.0.1:{port}/secret",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]:{port}/secret",
    "http://localhost:{port}/secret",
    "http://0x7f.1:{port}/secret",
    "http://2130706433:{port}/secret",
    "http://10.0.0.1/secret",
    "//127.0.0.1:{port}/secret",
    "https://127.0.0.1:{port}/secret",
    "http://user:password@127.0.0.1:{port}/live/secret",
    "file:///etc/passwd",
    "ftp://127.0.0.1/secret",
    "gopher://127.0.0.1:{port}/secret",
    "data:application/vnd.apple.mpegurl,secret",
    "/secret",
    "../secret",
    "..%2fsecret",
    "%2e%2e/secret",
    "..\\\\secret",
]
HLS = """#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-MAP:URI="{init}"
#EXTINF:2.0,
{segment}
#EXT-X-ENDLIST
"""
DASH = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT4S" minBufferTime="PT1S"
 profiles="urn:mpeg:dash:profile:isoff-live:2011"><Period>{base}<AdaptationSet contentType="video" mimeType="video/mp4">
<Representation id="v" bandwidth="1000" width="640" height="360" codecs="avc1.64001e">
<SegmentTemplate timescale="1" duration="2" startNumber="1" initialization="{init}" media="{segment}"/>
</Representation></AdaptationSet></Period></MPD>
"""


async def serve_once(world: World, path: str, text: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text)

    world.handlers[path] = answer


async def outcome(world: World, index: str) -> tuple[int, str]:
    """Status and body of the session's manifest."""
    status, body, _ = await world.get(await world.enter("live", index))
    return status, body.decode()


@pytest.mark.parametrize("place", ["init", "segment"])
@pytest.mark.parametrize("url", FOREIGN)
async def test_a_playlist_names_nothing_outside_the_origins_folder(world: World, url: str, place: str) -> None:
    url = url.format(port=world.control.rpartition(":")[2])
    names = {"init": "init.mp4", "segment": "seg-1.m4s", place: url}
    await serve_once(world, "/live/live.m3u8", HLS.format(**names))
    status, body = await outcome(world, "index.m3u8")
    assert status == 502 or "secret" not in body
    assert world.fetched == ["/live/live.m3u8"]


@pytest.mark.parametrize("place", ["base", "init", "segment"])
@pytest.mark.parametrize("url", FOREIGN)
async def test_an_mpd_names_nothing_outside_the_origins_folder(world: World, url: str, place: str) -> None:
    url = url.format(port=world.control.rpartition(":")[2])
    hostile = {"base": f"<BaseURL>{url}/</BaseURL>", "init": url, "segment": url + "$Number$"}
    names = {"base": "", "init": "init.mp4", "segment": "$Number$.m4s", place: hostile[place]}
    await serve_once(world, "/live/live.mpd", DASH.format(**names))
    status, body = await outcome(world, "index.mpd")
    assert status == 502 or "secret" not in body
    assert world.fetched == ["/live/live.mpd"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_nowhere_else(world: World, status: int) -> None:
    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": f"{world.control}/metrics"})

    world.handlers["/live/live.m3u8"] = redirect
    assert await outcome(world, "index.m3u8") == (502, "origin_foreign\n")


ENTITIES = {
    "external file": '<!DOCTYPE MPD [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    "external URL": '<!DOCTYPE MPD [<!ENTITY x SYSTEM "http://127.0.0.1:1/secret">]>',
    "parameter entity": '<!DOCTYPE MPD [<!ENTITY % p SYSTEM "http://127.0.0.1:1/secret"> %p;]><!-- &x; -->',
    "external subset": '<!DOCTYPE MPD SYSTEM "http://127.0.0.1:1/secret">',
    "a billion laughs": "<!DOCTYPE MPD [<!ENTITY a0 'ha'>"
    + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
    + "<!ENTITY x '&a9;'>]>",
    "quadratic blow-up": f"<!DOCTYPE MPD [<!ENTITY x '{'a' * 50_000}'>]>",
}


@pytest.mark.parametrize("declaration", ENTITIES.values(), ids=ENTITIES)
async def test_entities_are_neither_fetched_nor_expanded(world: World, declaration: str) -> None:
    text = DASH.format(base="<BaseURL>&x;</BaseURL>" * 10, init="init.mp4", segment="$Number$.m4s")
    await serve_once(world, "/live/live.mpd", text.replace("<MPD", declaration + "<MPD", 1))
    started = time.perf_counter()
    status, body = await outcome(world, "index.mpd")
    assert (status, body) == (502, "origin_manifest\n")
    assert time.perf_counter() - started < 1
    assert world.fetched == ["/live/live.mpd"]


@pytest.mark.parametrize(
    "href", ["http://127.0.0.1:1/secret", "file:///etc/passwd", "period.xml", "urn:mpeg:dash:resolve-to-zero:2013"]
)
async def test_xlink_is_not_followed(world: World, href: str) -> None:
    link = f'<Period xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="{href}" xlink:actuate="onLoad"/>'
    text = DASH.format(base="", init="init.mp4", segment="$Number$.m4s").replace("</Period>", "</Period>" + link)
    await serve_once(world, "/live/live.mpd", text)
    await outcome(world, "index.mpd")
    assert world.fetched == ["/live/live.mpd"]


async def test_a_playlist_of_a_million_lines_does_not_hold_others_up(world: World) -> None:
    lines = "#EXTINF:2.0,\na\n" * 500_000
    await serve_once(world, "/live/live.m3u8", HLS.format(init="init.mp4", segment="a.m4s") + lines)
    asked = asyncio.create_task(outcome(world, "index.m3u8"))
    slowest = 0.0
    while not asked.done():
        started = time.perf_counter()
        status, _, _ = await world.get(f"{world.edge}/sdk/segmentgate.js")
        assert status == 200
        slowest = max(slowest, time.perf_counter() - started)
        await asyncio.sleep(0.01)
    status, _ = asked.result()
    assert status in (200, 502)
    assert slowest < 1
