"""The session's event channel over real connections."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from relay.edge.hub import MAX_OF_SESSION
from tests.edge.test_live import LEAD_MS, PERIOD_MS, serve_live
from tests.edge.world import VECTORS, World


@asynccontextmanager
async def channel(world: World, session: str, query: str = "", **headers: str) -> AsyncIterator[aiohttp.StreamReader]:
    """The events of a session, line by line."""
    async with world.client.get(urljoin(session, "events") + query, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        yield answer.content


async def read_event(events: aiohttp.StreamReader) -> dict[str, str]:
    """The next block of lines that is more than a comment."""
    found: dict[str, str] = {}
    while True:
        line = (await events.readline()).decode()
        assert line, "the channel has ended"
        if line != "\n":
            name, _, value = line.rstrip("\n").partition(": ")
            found[name] = value
        elif found.keys() - {""}:
            return found
        else:
            found = {}


async def read_keys(events: aiohttp.StreamReader) -> tuple[dict[str, Any], str]:
    """The next ``keys`` event, and its id."""
    async with asyncio.timeout(10):
        while (event := await read_event(events)).get("event") != "keys":
            pass
    return json.loads(event["data"]), event["id"]


def kids(keys: dict[str, Any]) -> set[str]:
    return {key["kid"] for key in keys["keys"]}


async def test_the_first_event_has_what_a_get_would_have(world: World) -> None:
    session = await world.enter("vod")
    async with channel(world, session) as events:
        keys, mark = await read_keys(events)
    _, body, _ = await world.get(urljoin(session, "keys"))
    same = json.loads(body)
    assert kids(keys) == kids(same)
    assert keys["channel_key"] == same["channel_key"]
    assert set(keys) == set(same)
    assert mark


@pytest.mark.parametrize("carrier", ["header", "query"])
async def test_a_player_that_comes_back_lacks_nothing_it_has(world: World, carrier: str) -> None:
    serve_live(world)
    session = await world.enter("live")
    async with channel(world, session) as events:
        first, mark = await read_keys(events)

    def again() -> Any:
        if carrier == "header":
            return channel(world, session, **{"Last-Event-ID": mark})
        return channel(world, session, str(URL.build(query={"last_event_id": mark})))

    until = (PERIOD_MS - time.time() * 1000) % PERIOD_MS
    if until < 2 * LEAD_MS + 500:
        # A release while the test looks would be news.
        await asyncio.sleep(until / 1000)
        async with channel(world, session) as events:
            first, mark = await read_keys(events)
    async with again() as events:
        assert set(await read_event(events)) == {"retry"}
    await asyncio.sleep(PERIOD_MS / 1000)
    async with again() as events:
        later, _ = await read_keys(events)
    assert later["keys"]
    assert not kids(later) & kids(first)


@pytest.mark.parametrize(
    "mark", ["", "7", "2~cenc~hd~0~wall-x", "%00", "x" * 3000, "2~cbcs~sd~0~wall-1", "2~cenc~sd~0~wall-1"]
)
async def test_an_id_that_says_nothing_is_as_good_as_none(world: World, mark: str) -> None:
    session = await world.enter("vod")
    async with channel(world, session, **{"Last-Event-ID": mark}) as events:
        keys, _ = await read_keys(events)
    assert keys["keys"]


async def test_http_1_0_gets_the_events_unframed(world: World) -> None:
    url = URL(urljoin(await world.enter("vod"), "events"))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"GET {url.raw_path} HTTP/1.0\r\nHost: {url.host}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        event = await reader.readuntil(b"\n\n")
    assert b"chunked" not in head.lower()
    assert event.startswith(b"event: keys\ndata: {")
    writer.close()


async def test_a_revocation_ends_the_channel_with_its_reason(world: World) -> None:
    session = await world.enter("vod")
    async with channel(world, session) as events:
        await read_keys(events)
        started = time.perf_counter()
        done = await world.revoke(session_id="session-1")
        rest = await asyncio.wait_for(events.read(), 2)
        assert time.perf_counter() - started < 1
    assert done["sessions_cut"] == 1
    assert rest.endswith(b'event: revoked\ndata: {"reason":"revoked"}\n\n')
    status, _, headers = await world.get(urljoin(session, "events"))
    assert (status, headers["Relay-Reason"]) == (403, "revoked")


async def test_a_revoked_session_never_hears_of_the_next_key(world: World) -> None:
    """Revoked before the release, during the spread of pushes, and just as the channel opens."""
    serve_live(world)
    for number in range(6):
        sid = f"racer-{number}"
        session = await world.enter("live", sid=sid)
        told: list[dict[str, Any]] = []
        ended = asyncio.Event()

        async def listen(
            session: str = session, told: list[dict[str, Any]] = told, ended: asyncio.Event = ended
        ) -> None:
            with contextlib.suppress(aiohttp.ClientError, AssertionError):
                async with channel(world, session) as events:
                    while True:
                        told.append((await read_keys(events))[0])
            ended.set()

        listening = asyncio.create_task(listen())
        # Anywhere in a period, so that some fall into the lead.
        await asyncio.sleep(number * 0.35)
        await world.revoke(session_id=sid)
        before = len(told)
        await asyncio.wait_for(ended.wait(), 3)
        listening.cancel()
        assert len(told) <= before + 1
        status, _, _ = await world.get(urljoin(session, "keys"))
        assert status == 403


async def test_nothing_of_a_channel_is_left_when_its_player_goes(world: World) -> None:
    session = await world.enter("vod")

    async def count() -> float:
        async with world.client.get(f"{world.control}/metrics") as answer:
            found = re.search(r"^segmentgate_open_responses (\S+)", await answer.text(), re.MULTILINE)
            assert found
            return float(found[1])

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(10):
            events = await stack.enter_async_context(channel(world, session))
            await read_keys(events)
        assert await count() == 10
    for _ in range(100):
        if not await count():
            break
        await asyncio.sleep(0.05)
    assert await count() == 0


async def test_one_session_cannot_take_all_channels(world: World) -> None:
    session = await world.enter("vod")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_OF_SESSION):
            await stack.enter_async_context(channel(world, session))
        status, _, headers = await world.get(urljoin(session, "events"))
        assert (status, headers["Relay-Reason"]) == (429, "too_many_channels")
        async with channel(world, await world.enter("vod", sid="session-2")) as events:
            assert await read_keys(events)


async def test_nor_by_asking_for_many_at_once(world: World) -> None:
    asked = 40
    together = asyncio.Barrier(asked)

    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.FileResponse(VECTORS / request.path.lstrip("/"))

    for name in ("master.m3u8", "manifest.mpd", "v.m3u8", "a.m3u8"):
        world.handlers[f"/clear/{name}"] = slow
    session = await world.enter("vod")

    async def ask() -> int:
        await together.wait()
        async with world.client.get(urljoin(session, "events")) as answer:
            if answer.status == 200:
                await asyncio.sleep(1)
            return answer.status

    answers = await asyncio.gather(*(ask() for _ in range(asked)))
    assert (answers.count(200), answers.count(429)) == (MAX_OF_SESSION, asked - MAX_OF_SESSION)


async def test_what_a_player_sends_after_its_request_is_ignored(world: World) -> None:
    url = URL(urljoin(await world.enter("vod"), "events"))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    request = f"GET {url.raw_path} HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode()
    writer.write(request)
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"connection: close" in head.lower()
        await reader.readuntil(b"\n\n")
        writer.write(request + b"\0" * 100_000)
        await writer.drain()
        await world.revoke(session_id="session-1")
        rest = await reader.read()
    assert b"event: revoked" in rest
    assert b"HTTP/1.1" not in rest
    writer.close()


async def test_a_channel_tells_where_its_stream_is_unreachable(world: World) -> None:
    status, _, headers = await world.get(urljoin(await world.enter("gone"), "events"))
    assert status == 502, headers
