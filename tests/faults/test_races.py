"""A revocation races what would let its viewer go on. Once it is acknowledged, no request that begins is granted."""

import asyncio
import contextlib
import json
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest

from relay.edge.next_keys import NEXT_KEYS_HEADER
from tests.faults.hammer import Answer, Request, always, given, given_after, hammering
from tests.faults.site import BOUND_S, PERIOD_S, Site, until
from tests.faults.viewer import Viewer
from tests.proxy import Mode

A, B, C = range(3)
ALL = "?wait=all&timeout_ms=5000"
ROUNDS = 5
_numbers = count(1)


def entry(site: Site, account: str, **claims: object) -> str:
    """The path by which another session of an account begins."""
    token = site.nodes[A].token(sub=account, sid=f"of-{account}-{next(_numbers)}", **claims)
    return f"/watch/live/index.m3u8?token={token}"


async def race(site: Site, requests: list[Request], target: dict[str, str], wait: str, at: int) -> list[Answer]:
    """Hammer, revoke in the midst of it, go on. Asserts that it was granted before, and never after."""
    async with hammering(site.nodes, requests) as answers:
        await until(lambda: {answer.at for answer in given(answers)} == {A, B, C})
        await asyncio.sleep(random.uniform(0.05, 0.15))
        done = await site.order(at, wait, **target)
        assert done.status == 200, done
        await asyncio.sleep(0.25)
    nodes = () if wait else (at,)
    assert given_after(answers, done.at, *nodes) == []
    assert any(answer.began > done.at for answer in answers)
    return answers


@pytest.mark.parametrize("wait", ["", ALL], ids=["on-the-node-that-took-it", "on-all-nodes"])
async def test_revoke_racing_session_start(site: Site, wait: str) -> None:
    for number in range(ROUNDS):
        account = f"starter-{next(_numbers)}"
        requests = [Request(partial(entry, site, account))] * 2
        await race(site, requests, {"type": "account", "value": account}, wait, number % 3)


@pytest.mark.parametrize("wait", ["", ALL], ids=["on-the-node-that-took-it", "on-all-nodes"])
async def test_revoke_racing_licence_renewal(site: Site, wait: str) -> None:
    for number in range(ROUNDS):
        viewer = await site.enter()
        challenge = json.dumps({"kids": [viewer.kid], "type": "temporary"})
        requests = [always(viewer.paths["licence"], challenge), always(viewer.paths["keys"])]
        await race(site, requests, {"value": viewer.sid}, wait, number % 3)


async def test_revoke_racing_stream_limit_admission(site: Site) -> None:
    """Each new session of the account takes the place of another, on whatever node."""
    for number in range(ROUNDS):
        account = f"sharer-{next(_numbers)}"
        requests = [Request(partial(entry, site, account, csl={"limit": 1, "mode": "stop_oldest"}))]
        await race(site, requests, {"type": "account", "value": account}, ALL, number % 3)


async def test_revoke_gives_the_place_to_the_next_and_never_back(site: Site) -> None:
    account, limit = f"sharer-{next(_numbers)}", {"limit": 1, "mode": "deny_new"}
    holder, waiting = (
        site.nodes[A].token(sub=account, sid=f"{who}-{account}", csl=limit) for who in ("holder", "next")
    )

    async with hammering(site.nodes, [always(f"/watch/live/index.m3u8?token={holder}")]) as held:
        await until(lambda: given(held))
        async with hammering(site.nodes, [always(f"/watch/live/index.m3u8?token={waiting}")]) as refused:
            await asyncio.sleep(0.3)
            assert given(refused) == []
            done = await site.order(B, ALL, value=f"holder-{account}")
            assert done.status == 200
            await until(lambda: {answer.at for answer in given(refused)} == {A, B, C}, BOUND_S)
        await asyncio.sleep(0.2)
    assert given_after(held, done.at) == []


async def test_revoke_racing_next_key_delivery(site: Site) -> None:
    """At every moment of a crypto period, on every way that a key can take."""

    async def one(number: int, moment_s: float) -> tuple[float, list[Answer], list[tuple[float, str]]]:
        sid, at = f"roller-{next(_numbers)}", number % 3
        manifest = await rolling_session(site, sid)
        requests = [always(manifest), always(urljoin(manifest, "keys"))]
        listening = listening_to_channels(site, urljoin(manifest, "events"))
        async with listening as told, hammering(site.nodes, requests) as answers:
            await asyncio.sleep(moment_s)
            done = await site.order(at, ALL, value=sid)
            assert done.status == 200
            await asyncio.sleep(max(moments) + 1 - moment_s)
        return done.at, answers, told

    moments = [1.5 * PERIOD_S * number / 6 + 0.1 for number in range(7)]
    rounds = await asyncio.gather(*(one(number, moment_s) for number, moment_s in enumerate(moments)))
    for done_at, answers, told in rounds:
        assert given_after(answers, done_at) == []
        # A client's clock runs on while it reads what had come before.
        late = [event for at, event in told if event == "keys" and at > done_at + 0.1]
        assert late == []
        assert [event for _, event in told].count("revoked") == 3
    assert any(NEXT_KEYS_HEADER in answer.headers for _, answers, _ in rounds for answer in answers)
    assert max(sum(event == "keys" for _, event in told) for _, _, told in rounds) > 3


async def rolling_session(site: Site, sid: str) -> str:
    """The path of a session's entry manifest on the stream whose keys change."""
    url = f"{site.nodes[A].edge}/watch/rolling/index.m3u8?token={site.nodes[A].token(sid=sid)}"
    async with aiohttp.ClientSession() as client, client.get(url, allow_redirects=False) as answer:
        assert answer.status == 302
        return answer.headers["Location"]


@asynccontextmanager
async def listening_to_channels(site: Site, path: str) -> AsyncIterator[list[tuple[float, str]]]:
    """Hold a session's channel open at every node, and note which events come when."""
    told: list[tuple[float, str]] = []

    async def listen(client: aiohttp.ClientSession, node_url: str) -> None:
        with contextlib.suppress(aiohttp.ClientError):
            async with client.get(node_url + path) as answer:
                async for line in answer.content:
                    if line.startswith(b"event: "):
                        told.append((time.monotonic(), line.removeprefix(b"event: ").strip().decode()))

    async with aiohttp.ClientSession() as client:
        tasks = [asyncio.create_task(listen(client, node.edge)) for node in site.nodes]
        try:
            yield told
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_restore_racing_revoke_from_two_nodes(site: Site) -> None:
    """Either may win; but all nodes see the same one win, and say so."""
    viewers = [await site.enter() for _ in range(12)]

    async def collide(viewer: Viewer, number: int) -> None:
        async def send(at: int, action: str) -> None:
            await asyncio.sleep(random.uniform(0, 0.004))
            assert (await site.order(at, value=viewer.sid, action=action)).status == 200

        for _ in range(3):
            await asyncio.gather(send(number % 3, "revoke"), send((number + 1) % 3, "restore"))

    await asyncio.gather(*(collide(viewer, number) for number, viewer in enumerate(viewers)))
    await asyncio.sleep(BOUND_S)
    for viewer in viewers:
        verdicts = set(await viewer.verdicts())
        assert len(verdicts) == 1
        records = [(await site.records(viewer.sid, at))["revoked"] for at in (A, B, C)]
        assert records == [verdicts == {"revoked"}] * 3


async def test_revoke_during_a_slow_chunked_response(site: Site) -> None:
    """To a viewer who reads slowly, from another node than the one that is told: the connection breaks."""
    viewer = await site.enter()
    edge = urlsplit(site.nodes[B].edge)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, (edge.hostname, edge.port))
        await loop.sock_sendall(connection, f"GET {viewer.paths['flow']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await loop.sock_recv(connection, 1000)
        assert head.startswith(b"HTTP/1.1 200")
        await asyncio.sleep(1.0)
        done = await site.revoke(viewer, A)
        received, ended = 0, ""
        try:
            while piece := await asyncio.wait_for(loop.sock_recv(connection, 1000), BOUND_S):
                received += len(piece)
                await asyncio.sleep(0.001)
        except ConnectionResetError:
            ended = "reset"
        assert ended == "reset"
        # What this side's kernel had before; a hundred thousand bytes were made.
        assert received < 20_000
        assert time.monotonic() < done.at + BOUND_S


async def test_waiting_for_all_during_a_partition(site: Site) -> None:
    """Nobody is said to have applied what he has not; the promise is completed when the fault is over."""
    async with site.pirate() as pirate:
        site.proxies[C].mode = Mode.BLACKHOLE
        some = await site.revoke(pirate, A, "?wait=quorum&timeout_ms=3000")
        assert (some.status, some.body["complete"]) == (200, True)
        done = await site.revoke(pirate, A, "?wait=all&timeout_ms=500")
        assert (done.status, done.body["complete"]) == (202, False)
        states = {node["node"]: node["state"] for node in done.body["nodes"]}
        assert (states["a"], states["b"]) == ("applied", "applied")
        assert states["c"] in ("pending", "unreachable")
        status = f"/status/{done.body['id']}"
        assert (await site.get(A, status)).status == 202
        site.proxies[C].mode = Mode.PASS
        deadline = time.monotonic() + 4.0
        while (found := await site.get(A, status)).status != 200:
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.05)
        assert {node["state"] for node in found.body["nodes"]} == {"applied"}
        assert await pirate.verdicts() == ["revoked"] * 3
