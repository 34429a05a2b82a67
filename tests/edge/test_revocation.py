"""Revoke wins: at once, on every kind of request, and on what is flowing."""

import asyncio
import contextlib
import json
import re
import socket
import time
from typing import Any
from urllib.parse import urljoin

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.edge.world import VECTORS, World

KINDS = ("index", "playlist", "init", "segment", "key", "licence", "keys", "events", "entry")


async def urls_of(world: World, **claims: Any) -> dict[str, str]:
    """One URL of each kind of a session."""
    master = await world.enter("vod", **claims)
    _, body, _ = await world.get(master)
    playlist = urljoin(master, next(line for line in body.decode().splitlines() if line.startswith("m/")))
    _, body, _ = await world.get(playlist)
    text = body.decode()

    def find(pattern: str) -> str:
        match = re.search(pattern, text, re.MULTILINE)
        assert match, pattern
        return urljoin(playlist, str(match[1]))

    return {
        "index": master,
        "playlist": playlist,
        "init": find(r'MAP:URI="([^"]+)"'),
        "segment": find(r"^([^#\n]+/s/.+)$"),
        "key": find(r'URI="([^"]+\.key[^"]*)"'),
        "licence": find(r'URI="(http[^"]+license[^"]+)"'),
        "keys": urljoin(master, "keys"),
        "events": urljoin(master, "events"),
        "entry": f"{world.edge}/watch/vod/index.m3u8?token={world.token(**claims)}",
    }


async def answer_of(world: World, kind: str, url: str) -> tuple[int, str, str]:
    """Status, reason and CORS header."""
    challenge = json.dumps({"kids": ["AAAAAAAAAAAAAAAAAAAAAA"], "type": "temporary"})
    method, data = ("POST", challenge) if kind == "licence" else ("GET", None)
    async with world.client.request(method, url, data=data) as answer:
        await answer.read() if kind != "events" or answer.status != 200 else None
        headers = answer.headers
        return answer.status, headers.get("Relay-Reason", ""), headers["Access-Control-Allow-Origin"]


async def gets_nothing(request: "asyncio.Task[tuple[int, bytes, Any]]") -> None:
    """A broken connection; or, as aiohttp's client asks again by itself, the refusal it then gets."""
    with contextlib.suppress(aiohttp.ClientError):
        status, _, headers = await asyncio.wait_for(request, 5)
        assert (status, headers["Relay-Reason"]) == (403, "revoked")


@pytest.mark.parametrize("target", [{"session_id": "session-1"}, {"account_id": "account-1"}])
async def test_after_a_revocation_every_kind_of_request_is_refused(world: World, target: dict[str, str]) -> None:
    urls = await urls_of(world)
    assert {(await answer_of(world, kind, urls[kind]))[1] for kind in KINDS} <= {"", "scope_key"}
    await world.revoke(**target)
    for kind in KINDS:
        assert await answer_of(world, kind, urls[kind]) == (403, "revoked", "*"), kind


async def test_nobody_else_is_touched(world: World) -> None:
    await world.revoke(session_id="session-2")
    await world.revoke(account_id="account-2")
    await world.revoke(account_id="account-1", issuer="https://other.example")
    status, _, _ = await world.get(await world.enter("vod"))
    assert status == 200


async def test_a_segment_in_flight_is_cut(world: World) -> None:
    """A slow reader loses the rest of his segment, and the revocation call says so."""
    big = (VECTORS / "clear" / "v_1.m4s").read_bytes() * 600

    async def send_big(_: web.Request) -> web.Response:
        return web.Response(body=big)

    urls = await urls_of(world)
    world.handlers["/clear/v_1.m4s"] = send_big
    url = URL(urls["segment"])
    reader, writer = await asyncio.open_connection(url.host, url.port, limit=4096)
    writer.write(f"GET {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    declared = re.search(rb"Content-Length: (\d+)", head)
    assert declared
    length = int(declared[1])
    received = len(await reader.read(100_000))
    done = await world.revoke(session_id="session-1")
    assert (done["sessions_cut"], done["responses_cut"]) == (1, 1)
    with contextlib.suppress(ConnectionResetError):
        while piece := await asyncio.wait_for(reader.read(1 << 20), 5):
            received += len(piece)
    assert received < length
    writer.transport.abort()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


async def test_the_channel_hears_of_it_first_and_ends(world: World) -> None:
    urls = await urls_of(world)
    async with world.client.get(urls["events"]) as channel:
        assert channel.headers["Content-Type"] == "text/event-stream"
        assert (await channel.content.readline()) == b"event: keys\n"
        keys = json.loads((await channel.content.readline()).removeprefix(b"data: "))
        assert {"keys", "type", "period", "next_at", "stream_now"} <= set(keys)
        started = time.perf_counter()
        await world.revoke(session_id="session-1")
        rest = await channel.content.read()
        assert b'event: revoked\ndata: {"reason":"revoked"}' in rest
        assert time.perf_counter() - started < 1


async def test_a_held_request_is_cut_and_its_origin_fetch_given_up(world: World) -> None:
    given_up = asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(5):
                while True:
                    await response.write(bytes(10))
                    await asyncio.sleep(0.01)
        given_up.set()
        return response

    urls = await urls_of(world)
    world.handlers["/clear/v_3.m4s"] = hold
    _, body, _ = await world.get(urls["playlist"])
    third = next(line for line in body.decode().splitlines() if "v_3.m4s" in line and not line.startswith("#"))
    request = asyncio.create_task(world.get(urljoin(urls["playlist"], third)))
    await asyncio.sleep(0.1)
    await world.revoke(session_id="session-1")
    await gets_nothing(request)
    await asyncio.wait_for(given_up.wait(), 2)


async def test_one_viewer_cut_leaves_the_shared_fetch_to_the_other(world: World) -> None:
    let_go = asyncio.Event()

    async def hold(_: web.Request) -> web.StreamResponse:
        await let_go.wait()
        return web.Response(body=(VECTORS / "clear" / "v_1.m4s").read_bytes())

    mine, other = await urls_of(world), await urls_of(world, sid="session-2")
    world.handlers["/clear/v_1.m4s"] = hold
    cut = asyncio.create_task(world.get(mine["segment"]))
    kept = asyncio.create_task(world.get(other["segment"]))
    await asyncio.sleep(0.1)
    await world.revoke(session_id="session-1")
    await gets_nothing(cut)
    let_go.set()
    status, _, _ = await asyncio.wait_for(kept, 5)
    assert status == 200
    assert world.fetched.count("/clear/v_1.m4s") == 1


async def test_a_complete_segment_that_is_still_on_its_way_is_cut(world: World) -> None:
    """To the relay it is done: the rest waits in the kernel for a slow reader."""
    big = (VECTORS / "clear" / "v_1.m4s").read_bytes() * 40

    async def send_big(_: web.Request) -> web.Response:
        return web.Response(body=big)

    urls = await urls_of(world)
    world.handlers["/clear/v_1.m4s"] = send_big
    url = URL(urls["segment"])
    loop, received = asyncio.get_running_loop(), 0
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        reader.setblocking(False)
        await loop.sock_connect(reader, (url.host, url.port))
        await loop.sock_sendall(reader, f"GET {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode())
        await asyncio.sleep(0.5)
        done = await world.revoke(session_id="session-1")
        with contextlib.suppress(ConnectionResetError):
            while piece := await asyncio.wait_for(loop.sock_recv(reader, 1 << 20), 5):
                received += len(piece)
    assert done["responses_cut"] == 1
    assert received < 128 * 1024


async def test_a_response_that_was_read_is_no_longer_open(world: World) -> None:
    urls = await urls_of(world)
    for kind in ("segment", "index", "keys"):
        await world.get(urls[kind])
    await asyncio.sleep(0.1)
    assert (await world.revoke(session_id="session-1"))["responses_cut"] == 0


async def test_a_scheduled_revocation_bites_at_its_time_and_cuts_what_flows(world: World) -> None:
    urls = await urls_of(world)
    async with world.client.get(urls["events"]) as channel:
        await channel.content.readline()
        await world.order({"type": "account", "value": "account-1", "effective_at": time.time() + 0.6})
        assert (await world.get(urls["segment"]))[0] == 200
        rest = await asyncio.wait_for(channel.content.read(), 5)
        assert b"event: revoked" in rest
    assert (await world.get(urls["segment"]))[0] == 403


async def test_a_token_may_travel_in_the_path(world: World) -> None:
    """For issuers that say so; this one does not."""
    url = f"{world.edge}/watch/token={world.token()}/vod/index.m3u8"
    status, _, headers = await world.get(url)
    assert (status, headers["Relay-Reason"]) == (401, "token_missing")
