"""The next keys sealed in a header: who gets them, when, and that only the session's own player reads them."""

import asyncio
import contextlib
import json
import time
from urllib.parse import urljoin

import aiohttp
import pytest
from aiohttp import web
from cryptography.exceptions import InvalidTag

from keys import base64url
from relay.edge.next_keys import NEXT_KEYS_HEADER
from tests.edge.test_live import GUARD_MS, PERIOD_MS, SEGMENT, serve_live
from tests.edge.world import World
from tests.keys.test_channel import unseal

SEGMENT_MS = 1000


async def sealed_in(world: World, url: str) -> str:
    _, _, headers = await world.get(url)
    return str(headers.get(NEXT_KEYS_HEADER, ""))


async def channel_key(world: World, session: str) -> bytes:
    _, body, _ = await world.get(urljoin(session, "keys"))
    return base64url.decode(json.loads(body)["channel_key"]["k"])


async def sealed_soon(world: World, url: str) -> str:
    """The live edge of the test's origin moves in steps of a second, so the lead may begin that much later."""
    for _ in range(PERIOD_MS // 50):
        if text := await sealed_in(world, url):
            return text
        await asyncio.sleep(0.1)
    raise AssertionError("no keys were sealed in two periods")


async def test_a_manifest_in_the_lead_brings_the_next_keys(world: World) -> None:
    serve_live(world)
    session = await world.enter("live")
    key = await channel_key(world, session)
    text = await sealed_soon(world, session)
    period, body = unseal(text, key, b"live")
    told = json.loads(body)
    _, now, _ = await world.get(urljoin(session, "keys"))
    current = json.loads(now)
    assert told["period"] == period == current["period"]
    assert told["keys"]
    assert {entry["kid"] for entry in told["keys"]} < {entry["kid"] for entry in current["keys"]}
    assert {"type", "now", "next_at", "stream_now"} < set(told)
    assert "channel_key" not in told


async def test_a_segment_brings_them_too_and_a_page_may_read_them(world: World) -> None:
    serve_live(world)

    async def segment(_: web.Request) -> web.Response:
        return web.Response(body=SEGMENT)

    session = await world.enter("live")
    _, body, _ = await world.get(session)
    number = int(time.time()) - 3
    world.handlers[f"/live/seg-{number}.m4s"] = segment
    url = urljoin(session, next(line for line in body.decode().splitlines() if f"seg-{number}." in line))
    text = await sealed_soon(world, url)
    status, media, headers = await world.get(url)
    assert (status, bool(media)) == (200, True)
    assert NEXT_KEYS_HEADER in headers["Access-Control-Expose-Headers"]
    assert unseal(text, await channel_key(world, session), b"live")


async def test_keys_are_sent_ahead_and_at_no_other_time(world: World) -> None:
    serve_live(world)
    session = await world.enter("live")

    async def ahead() -> bool:
        """Whether the first segment under the newest key that is released need not be listed yet."""
        _, body, _ = await world.get(urljoin(session, "keys"))
        keys = json.loads(body)
        return bool(keys["period"] - GUARD_MS > keys["stream_now"] - 2 * SEGMENT_MS)

    sent: dict[bool, list[bool]] = {True: [], False: []}
    deadline = time.time() + PERIOD_MS / 1000 + 1
    while time.time() < deadline:
        before, text, after = await ahead(), await sealed_in(world, session), await ahead()
        # Only where nothing changed around the request is it known what it should bring.
        if before == after:
            sent[before].append(bool(text))
        await asyncio.sleep(0.1)
    assert any(sent[True])
    assert sent[False]
    assert not any(sent[False])


async def test_only_the_sessions_own_key_opens_them(world: World) -> None:
    serve_live(world)
    mine, other = await world.enter("live"), await world.enter("live", sid="session-2")
    text, theirs = await asyncio.gather(sealed_soon(world, mine), sealed_soon(world, other))
    assert text != theirs
    with pytest.raises(InvalidTag):
        unseal(text, await channel_key(world, other), b"live")
    with pytest.raises(InvalidTag):
        unseal(text, await channel_key(world, mine), b"vod")
    assert unseal(text, await channel_key(world, mine), b"live")


async def test_a_session_is_sealed_for_once(world: World) -> None:
    serve_live(world)
    session = await world.enter("live")
    assert await sealed_soon(world, session) == await sealed_in(world, session)


@pytest.mark.parametrize(
    "query", ["&scheme=aes-128", "&systems=widevine", "&systems=fairplay&scheme=cbcs&signalling=period"]
)
async def test_players_without_clear_key_get_none(world: World, query: str) -> None:
    serve_live(world)
    mine, other = await world.enter("live"), await world.enter("live", query=query, sid="session-2")
    await sealed_soon(world, mine)
    assert await sealed_in(world, other) == ""


async def test_a_session_gets_the_keys_it_may_have_alone(world: World) -> None:
    serve_live(world)

    async def multivariant(_: web.Request) -> web.Response:
        variants = [("256x144", "sd.m3u8"), ("1280x720", "hd.m3u8")]
        lines = [f"#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION={size}\n{uri}" for size, uri in variants]
        return web.Response(text="\n".join(["#EXTM3U", *lines]))

    for name in ("sd.m3u8", "hd.m3u8"):
        world.handlers[f"/live/{name}"] = world.handlers["/live/live.m3u8"]
    world.handlers["/live/live.m3u8"] = multivariant

    async def sealed_kids(session: str) -> set[str]:
        _, body, _ = await world.get(session)
        playlist = urljoin(session, next(line for line in body.decode().splitlines() if line.startswith("m/")))
        _, body = unseal(await sealed_soon(world, playlist), await channel_key(world, session), b"live")
        return {key["kid"] for key in json.loads(body)["keys"]}

    full = await world.enter("live")
    limited = await world.enter("live", sid="session-2", drm={"max_track": "sd"})
    every, some = await asyncio.gather(sealed_kids(full), sealed_kids(limited))
    assert some < every


async def test_finished_titles_have_no_next_key(world: World) -> None:
    session = await world.enter("vod")
    assert await sealed_in(world, session) == ""


async def test_a_revoked_session_gets_none(world: World) -> None:
    serve_live(world)
    session = await world.enter("live")
    await sealed_soon(world, session)
    await world.revoke(session_id="session-1")
    status, _, headers = await world.get(session)
    assert status == 403
    assert NEXT_KEYS_HEADER not in headers


async def test_one_revoked_while_its_manifest_was_fetched_gets_none(world: World) -> None:
    serve_live(world)
    plain = world.handlers["/live/live.m3u8"]
    session = await world.enter("live")
    await sealed_soon(world, session)
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def slowly(request: web.Request) -> web.StreamResponse:
        asked.set()
        await let_go.wait()
        return await plain(request)

    world.handlers["/live/live.m3u8"] = slowly
    await asyncio.sleep(1.1)
    request = asyncio.create_task(world.get(session))
    await asyncio.wait_for(asked.wait(), 3)
    await world.revoke(session_id="session-1")
    let_go.set()
    with contextlib.suppress(aiohttp.ClientError):
        status, _, headers = await request
        assert status == 403
        assert NEXT_KEYS_HEADER not in headers
