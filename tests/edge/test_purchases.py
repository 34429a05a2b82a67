"""Who bought is served at once, who did not is refused everything; a refund ends it in the middle of a segment."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from keys.model import TrackType
from tests.edge.test_licences import WidevineDevice, content_key, material
from tests.edge.test_revocation import KINDS, answer_of, urls_of
from tests.edge.world import API_KEY, VECTORS, World, running_world, stream

REFUND = {"type": "refund", "id": "refund-1", "purchase_id": "event-1"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A relay whose stream "vod" must be bought. Its segment "v_1.m4s" is long."""
    app = web.Application()
    long = (VECTORS / "clear" / "v_1.m4s").read_bytes() * 600

    async def send_long(_: web.Request) -> web.Response:
        return web.Response(body=long)

    app.router.add_get("/clear/v_1.m4s", send_long)
    app.router.add_static("/", VECTORS)

    def streams(origin: str) -> dict[str, Any]:
        return {"vod": stream(origin, "clear", hls="master.m3u8", dash="manifest.mpd", entitlement="required")}

    async with running_world(app, streams, material()) as made:
        yield made


async def tell(world: World, **event: Any) -> Any:
    body = {"id": "event-1", "type": "purchase", "account_id": "account-1", "stream_id": "vod", **event}
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with world.client.post(f"{world.control}/api/v1/purchases", json=body, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        return await answer.json()


async def licence(world: World, url: str, body: bytes) -> tuple[int, bytes, str]:
    async with world.client.post(url, data=body) as answer:
        return answer.status, await answer.read(), answer.headers.get("Relay-Reason", "")


async def test_every_kind_of_request_asks_for_what_was_bought(world: World) -> None:
    entry = f"{world.edge}/watch/vod/index.m3u8?token={world.token()}"
    assert (await answer_of(world, "entry", entry))[:2] == (403, "not_entitled")
    await tell(world)
    urls = await urls_of(world)
    assert {(await answer_of(world, kind, urls[kind]))[1] for kind in KINDS} <= {"", "scope_key"}
    await tell(world, **REFUND)
    for kind in KINDS:
        assert await answer_of(world, kind, urls[kind]) == (403, "not_entitled", "*"), kind


async def test_the_licence_of_a_purchase_plays_without_a_token(world: World) -> None:
    (playback,) = (await tell(world))["licence"]["playback"]
    sd = content_key("vod", TrackType.SD)
    device = WidevineDevice()
    challenge = device.challenge(sd.kid)
    status, body, _ = await licence(world, world.edge + playback["license_url"], challenge)
    assert status == 200
    assert device.read(body, challenge).keys[sd.kid] == sd.key
    for kind in ("hls", "dash"):
        status, _, _ = await world.get(world.edge + playback[kind])
        assert status == 200


async def test_renewals_go_on_until_it_is_taken_back(world: World) -> None:
    (playback,) = (await tell(world, track="sd"))["licence"]["playback"]
    await tell(world, id="event-2", track="sd")
    by_token = f"{world.edge}/api/v1/drm/license?stream_id=vod&token={world.token()}"
    other = {**REFUND, "id": "refund-2", "purchase_id": "event-2"}
    for url, refund in ((world.edge + playback["license_url"], REFUND), (by_token, other)):
        device = WidevineDevice()
        challenge = device.challenge(content_key("vod", TrackType.SD).kid, request_id=refund["id"].encode())
        _, body, _ = await licence(world, url, challenge)
        renewable = device.read(body, challenge)
        # What was licensed below a token's own ceiling is renewed below it.
        status, _, reason = await licence(world, url, renewable.renewal())
        assert (status, reason) == (200, "")
        await tell(world, **refund)
        status, _, reason = await licence(world, url, renewable.renewal())
        assert (status, reason) == (403, "not_entitled")


async def test_a_refund_cuts_a_segment_that_flows(world: World) -> None:
    await tell(world)
    url = URL((await urls_of(world))["segment"])
    reader, writer = await asyncio.open_connection(url.host, url.port, limit=4096)
    writer.write(f"GET {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    declared = re.search(rb"Content-Length: (\d+)", head)
    assert declared
    received = len(await reader.read(100_000))
    refund = await tell(world, **REFUND)
    assert [node["responses_cut"] for node in refund["nodes"]] == [1]
    with contextlib.suppress(ConnectionResetError):
        while piece := await asyncio.wait_for(reader.read(1 << 20), 5):
            received += len(piece)
    assert 0 < received < int(declared[1])
    writer.transport.abort()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


async def test_the_channel_ends_with_what_was_bought(world: World) -> None:
    await tell(world)
    urls = await urls_of(world)
    async with world.client.get(urls["events"]) as channel:
        assert (await channel.content.readline()) == b"event: keys\n"
        await tell(world, **REFUND)
        rest = await asyncio.wait_for(channel.content.read(), 5)
        assert b"event: revoked\n" in rest


async def test_keys_end_with_what_was_bought(world: World) -> None:
    await tell(world, track="sd")
    urls = await urls_of(world)
    _, body, _ = await world.get(urls["keys"])
    assert content_key("vod", TrackType.HD).kid.hex() not in body.decode()
    assert "cenc.stable.sd" in urls["index"]
    better = urls["index"].replace("cenc.stable.sd", "cenc.stable.hd")
    assert (await answer_of(world, "index", better))[:2] == (403, "scope_track")
    await tell(world, id="event-2", track="hd")
    assert (await answer_of(world, "index", better))[0] == 200
