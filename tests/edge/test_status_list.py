"""Status lists served over HTTP: a bit that flips ends the session that is running, and no list is no way in."""

import asyncio
import re
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urljoin

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from keys import base64url
from relay.gate.dialects.jws import seal
from relay.gate.dialects.keys import Signer
from relay.telemetry.metrics import STATUS_LIST_AGE
from tests.edge.test_revocation import KINDS, answer_of, urls_of
from tests.edge.world import SECRET, World, running_world, stream
from tests.slow_origin import ENDLESS, create_slow_origin

INDEX = 11


class Publisher:
    """Publishes the statuses of sixteen tokens, signed anew each time they are asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.taken_back: set[int] = set()
        self.status = 200
        self.claims: dict[str, Any] = {}
        self.accept = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.accept = request.headers["Accept"]
        bits = sum(1 << index for index in self.taken_back)
        lst = base64url.encode(zlib.compress(bits.to_bytes(2, "little")))
        said = {"sub": self.url, "iat": int(time.time()), "status_list": {"bits": 1, "lst": lst}, **self.claims}
        body = seal({"kid": "k1", "typ": "statuslist+jwt"}, said, Signer("k1", "HS256", SECRET))
        return web.Response(text=body, status=self.status)


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    made, app = Publisher(), web.Application()
    app.router.add_get("/lists/1", made.answer)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/lists/1"))
        yield made


@pytest.fixture
async def relay(publisher: Publisher) -> AsyncIterator[World]:
    settings = {"urls": [publisher.url], "refresh": "1s", "keep": "2s"}
    streams = {"hls": "master.m3u8", "dash": "manifest.mpd"}
    async with running_world(
        create_slow_origin(0.05), lambda origin: {"vod": stream(origin, "1", **streams)}, status_lists=settings
    ) as made:
        yield made


def status(publisher: Publisher, index: int = INDEX) -> dict[str, Any]:
    return {"status": {"status_list": {"idx": index, "uri": publisher.url}}}


async def reason_of(world: World, url: str) -> tuple[int, str]:
    async with world.client.get(url, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Relay-Reason", "")


async def refused(world: World, url: str) -> tuple[int, str]:
    """The refusal that a URL ends in, soon."""
    for _ in range(100):
        found = await reason_of(world, url)
        if found[0] != 200:
            return found
        await asyncio.sleep(0.05)
    raise TimeoutError


async def endless_of(world: World, index: str) -> aiohttp.ClientResponse:
    """A segment of a session that is being sent for as long as anyone reads."""
    for line in (await world.get(index))[1].decode().splitlines():
        found = re.search(r"m/[^\"]+", line)
        playlist = urljoin(index, found[0]) if found else index
        for entry in (await world.get(playlist))[1].decode().splitlines() if found else []:
            if ENDLESS in entry and not entry.startswith("#"):
                return await world.client.get(urljoin(playlist, entry))
    raise AssertionError("no such segment")


async def test_a_bit_that_flips_ends_the_running_session(relay: World, publisher: Publisher) -> None:
    urls = await urls_of(relay, **status(publisher))
    other = await urls_of(relay, sid="session-2", **status(publisher, 2))
    assert publisher.accept == "application/statuslist+jwt"
    flowing = await endless_of(relay, urls["index"])
    assert await flowing.content.read(1)
    async with relay.client.get(urls["events"]) as channel:
        await channel.content.readline()
        publisher.taken_back = {INDEX}
        rest = await asyncio.wait_for(channel.content.read(), 5)
        assert b"event: revoked" in rest
    with pytest.raises(aiohttp.ClientError):
        await asyncio.wait_for(flowing.read(), 5)
    for kind in KINDS:
        assert await answer_of(relay, kind, urls[kind]) == (403, "revoked", "*"), kind
    assert (await reason_of(relay, other["segment"]))[0] == 200
    publisher.taken_back = set()
    for _ in range(100):
        if (await reason_of(relay, urls["index"]))[0] == 200:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("still refused")


async def test_a_list_that_cannot_be_had_any_more_is_kept_for_a_while_only(relay: World, publisher: Publisher) -> None:
    urls = await urls_of(relay, **status(publisher))
    publisher.status = 503
    began = time.monotonic()
    assert await refused(relay, urls["segment"]) == (503, "state_stale")
    assert 0.5 < time.monotonic() - began < 4.5
    ages = [sample.value for metric in STATUS_LIST_AGE.collect() for sample in metric.samples]
    assert len(ages) == 1


async def test_a_list_that_expires_is_believed_no_longer(relay: World, publisher: Publisher) -> None:
    publisher.claims = {"exp": int(time.time()) + 3}
    urls = await urls_of(relay, **status(publisher))
    assert await refused(relay, urls["segment"]) == (503, "state_stale")
    assert time.time() >= publisher.claims["exp"]


async def test_tokens_whose_list_was_never_had_or_is_not_configured_are_refused(
    relay: World, publisher: Publisher
) -> None:
    elsewhere = {"status": {"status_list": {"idx": 1, "uri": f"{publisher.url}2"}}}
    url = f"{relay.edge}/watch/vod/index.m3u8?token={relay.token(**elsewhere)}"
    assert await reason_of(relay, url) == (401, "token_unsupported")
    unread: dict[str, Any] = {"urls": ["http://127.0.0.1:9/list"]}
    streams = {"vod": stream("http://127.0.0.1:9", "x", hls="master.m3u8")}
    async with running_world(web.Application(), lambda _: streams, status_lists=unread) as world:
        named = {"status": {"status_list": {"idx": 1, "uri": "http://127.0.0.1:9/list"}}}
        url = f"{world.edge}/watch/vod/index.m3u8?token={world.token(**named)}"
        assert await reason_of(world, url) == (503, "state_stale")
        url = f"{world.edge}/watch/vod/index.m3u8?token={world.token()}"
        assert (await reason_of(world, url))[0] == 302
