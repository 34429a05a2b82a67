"""The event feed: every record once, in order, from where a client left off."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from relay.control import feed
from relay.state.replica import NodeView
from tests.control.desk import API_KEY, Desk, open_desk

PATH = "/api/v1/revocations/stream"


@asynccontextmanager
async def following(desk: Desk, last: str = "") -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    if last:
        headers["Last-Event-ID"] = last
    async with desk.client.get(desk.url + PATH, headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        assert await next_block(answer) == ["retry: 1000"]
        yield answer


async def next_block(answer: aiohttp.ClientResponse) -> list[str]:
    async with asyncio.timeout(5):
        return (await answer.content.readuntil(b"\n\n")).decode().split("\n")[:-2]


async def next_record(answer: aiohttp.ClientResponse) -> tuple[str, Any]:
    name, kind, data = await next_block(answer)
    assert kind == "event: revocation"
    record = json.loads(data.removeprefix("data: "))
    assert name == f"id: {record['id']}"
    return record["id"], record


async def test_what_happens_from_now_on(desk: Desk) -> None:
    await desk.revoke({"type": "session", "value": "before"})
    async with following(desk) as answer:
        await desk.revoke({"type": "session", "value": "s1", "reason": "r"}, {"type": "device", "value": "d"})
        _, first = await next_record(answer)
        _, second = await next_record(answer)
        assert first["target"] == {"type": "session", "value": "s1"}
        assert (first["reason"], second["target"]["type"]) == ("r", "device")
        await desk.call("DELETE", f"/api/v1/revocations/{first['id']}")
        _, third = await next_record(answer)
        assert (third["action"], third["target"]["value"]) == ("restore", "s1")


async def test_from_where_it_left_off(desk: Desk) -> None:
    done = [await desk.revoke({"type": "session", "value": f"s{number}"}) for number in range(600)]
    async with following(desk, done[1]["id"]) as answer:
        got = [(await next_record(answer))[0] for _ in range(598)]
    assert got == [one["id"] for one in done[2:]]


async def test_a_client_from_another_node_may_see_some_twice_but_misses_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = [await desk.revoke({"type": "session", "value": f"s{number}"}) for number in range(4)]
    monkeypatch.setattr(desk.node.replica, "members", lambda: [NodeView("node-b", True, 0.5, 0)])
    async with following(desk, done[2]["id"]) as answer:
        got = [(await next_record(answer))[0] for _ in range(4)]
    assert got == [one["id"] for one in done]


async def test_a_gap_is_told_of(desk: Desk) -> None:
    async with following(desk, "0" * 16 + "-7") as answer:
        assert await next_block(answer) == ["event: gap", "data: {}"]
        await desk.revoke({"type": "session", "value": "s"})
        assert (await next_record(answer))[1]["target"]["value"] == "s"


async def test_heartbeats(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "HEARTBEAT_S", 0.05)
    async with following(desk) as answer:
        assert await next_block(answer) == [":"]


async def test_so_many_and_no_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_FEEDS", 1)
    async with following(desk):
        status, problem, headers = await desk.call("GET", PATH)
        assert (status, problem["code"], problem["retry_after_ms"]) == (429, "rate_limited", 10_000)
        assert headers["Retry-After"] == "10"


async def test_a_client_that_takes_nothing_is_disconnected(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_STALL_S", 0.2)
    loop = asyncio.get_running_loop()
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.setblocking(False)
        await loop.sock_connect(peer, (desk.server.host, desk.server.port))
        head = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n\r\n"
        await loop.sock_sendall(peer, head.encode())
        items = [{"type": "session", "value": f"s{n}", "detail": "x" * 500} for n in range(1000)]
        for _ in range(10):
            await desk.revoke(*items)
        await asyncio.sleep(0.5)
        async with asyncio.timeout(5):
            with suppress(ConnectionError):
                while await loop.sock_recv(peer, 65_536):
                    pass


async def test_feeds_end_with_the_relay() -> None:
    async with open_desk() as desk, following(desk) as answer:
        await asyncio.sleep(0.05)
        closing = asyncio.ensure_future(desk.server.close())
        async with asyncio.timeout(5):
            await answer.content.read()
            await closing
