"""Streams whose keys come from a key server elsewhere play under those keys."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urljoin

import pytest
from aiohttp import web

import relay.edge.hub
import relay.exchange.outside
from keys import base64url
from keys.exchange.provider import Wanted
from keys.material import ContentKey
from keys.model import Scheme, TrackType
from relay.exchange.material import KeyServerMaterial
from relay.exchange.settings import KeyServerConfig
from tests.edge.test_channel import channel, read_keys
from tests.edge.test_live import live_playlist
from tests.edge.world import API_KEY, KEY_RING, VECTORS, World, running_world, stream
from tests.exchange.vendor import RING, Vendor, running_vendor
from tests.keys.exchange.material import CERTIFICATE, recipient_key
from tests.media.decrypt import read_init, read_samples

SCHEMES = ["cenc", "cbcs"]
FILES: dict[str, Any] = {"certificate": "-", "key": "-"}


def vectors() -> web.Application:
    app = web.Application()
    app.router.add_static("/", VECTORS)
    return app


def streams(origin: str, url: str) -> dict[str, Any]:
    manifests = {"hls": "master.m3u8", "dash": "manifest.mpd", "schemes": SCHEMES}
    server = {"url": url, **FILES}
    turning = {"interval": "4s", "pre_delivery": "1s", "vod": True}
    return {
        "film": stream(origin, "clear", **manifests, key_server=server),
        "turning": stream(origin, "clear", **manifests, key_server=server, rotation=turning, window="2m"),
    }


def materials(url: str, authorization: str = "") -> dict[str, KeyServerMaterial]:
    config = KeyServerConfig(url=url, **FILES)
    return {
        name: KeyServerMaterial(config, authorization, (CERTIFICATE, recipient_key())) for name in ("film", "turning")
    }


def chosen(wanted: Wanted) -> ContentKey:
    """The vendor's key, under a key ID of the vendor's own."""
    period = None if wanted.period is None else wanted.period.index
    return RING.content_key(RING.slot(wanted.content_id, wanted.track or TrackType.HD, wanted.scheme, period))


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with running_vendor() as made:
        yield made


@pytest.fixture
async def world(vendor: Vendor) -> AsyncIterator[World]:
    servers = materials(vendor.url)
    async with running_world(vectors(), lambda origin: streams(origin, vendor.url), key_servers=servers) as made:
        yield made


async def get(world: World, url: str) -> bytes:
    """What a player gets that asks again when it is told to."""
    for _ in range(200):
        status, body, headers = await world.get(url)
        if status == 200:
            return body
        assert (status, headers["Relay-Reason"], headers["Retry-After"]) == (503, "key_pending", "1"), body
        await asyncio.sleep(0.01)
    raise AssertionError("the key never came")


async def licensed(world: World, name: str, *kids: bytes) -> dict[bytes, bytes]:
    url = f"{world.edge}/api/v1/drm/license?stream_id={name}&token={world.token()}"
    body = {"kids": [base64url.encode(kid) for kid in kids], "type": "temporary"}
    for _ in range(200):
        async with world.client.post(url, json=body) as answer:
            if answer.status == 200:
                keys = (await answer.json(content_type=None))["keys"]
                return {base64url.decode(key["kid"]): base64url.decode(key["k"]) for key in keys}
            assert answer.status == 503, await answer.text()
        await asyncio.sleep(0.01)
    raise AssertionError("the key never came")


async def played(world: World, name: str, query: str) -> list[tuple[bytes, bytes]]:
    """Init and media segments of the video of a stream, as an HLS player finds them."""
    session = await world.enter(name, query=query)
    master = (await get(world, session)).decode()
    playlist = urljoin(session, re.findall(r"(?m)^[^#\s].*$", master)[0])
    found, init = [], b""
    for line in (await get(world, playlist)).decode().splitlines():
        if line.startswith("#EXT-X-MAP"):
            init = await get(world, urljoin(playlist, line.split('"')[1]))
        elif line and not line.startswith("#"):
            found.append((init, await get(world, urljoin(playlist, line))))
    return found


def clear_samples() -> list[bytes]:
    init = (VECTORS / "clear" / "v_init.mp4").read_bytes()
    media = b"".join((VECTORS / "clear" / f"v_{number}.m4s").read_bytes() for number in range(1, 7))
    (samples,) = read_samples(init, media).values()
    return samples


@pytest.mark.parametrize("signalling", ["stable", "period"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["film", "turning"])
async def test_a_stream_plays_under_the_servers_keys(
    world: World, vendor: Vendor, name: str, scheme: str, signalling: str
) -> None:
    vendor.key_of = chosen
    segments = await played(world, name, f"&scheme={scheme}&signalling={signalling}")
    stable = KEY_RING.kid(KEY_RING.slot(name, TrackType.SD, Scheme(scheme), None))
    keys = await licensed(world, name, stable)
    samples = [
        sample for init, media in segments for found in read_samples(init, media, keys).values() for sample in found
    ]
    assert samples == clear_samples()
    periods = [None] if name == "film" else [0, 1, 2]
    expected = [RING.content_key(RING.slot(name, TrackType.SD, Scheme(scheme), period)) for period in periods]
    assert {one.kid: one.key for one in expected}.items() <= keys.items()
    (track, *_) = read_init(segments[0][0]).values()
    assert track.params
    assert track.params.kid == (stable if signalling == "stable" else expected[0].kid)
    assert all(document.recipients for document in vendor.asked)


async def test_a_server_that_is_away_costs_only_its_streams_and_only_until_it_is_back(
    world: World, vendor: Vendor
) -> None:
    vendor.replies = [lambda: web.Response(status=500)]
    session = await world.enter("film")
    master = await get(world, session)
    assert b"#EXTM3U" in master
    assert len(await played(world, "film", "")) == 6
    assert len(vendor.asked) == 2, "one failed, one question for the film's only period"


async def test_next_keys_are_pushed_and_asked_for_as_ever(world: World, vendor: Vendor) -> None:
    session = await world.enter("turning")
    body = json.loads(await get(world, urljoin(session, "keys")))
    given = {base64url.decode(key["kid"]): base64url.decode(key["k"]) for key in body["keys"]}
    for period in (0, 1, 2):
        theirs = RING.content_key(RING.slot("turning", TrackType.AUDIO, Scheme.CENC, period)).key
        assert theirs in given.values()
    assert len(vendor.asked) <= 6


async def test_a_next_key_that_does_not_come_holds_up_nothing_else(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay.exchange.outside, "AHEAD", 0)
    monkeypatch.setattr(relay.edge.hub, "HEARTBEAT_S", 0.2)
    rotation = {"interval": "4s", "pre_delivery": "1s"}

    def live(origin: str) -> dict[str, Any]:
        settings = {"schemes": ["cenc"], "rotation": rotation, "window": "2m", "default_track": "sd"}
        return {"live": stream(origin, "live", hls="live.m3u8", key_server={"url": vendor.url, **FILES}, **settings)}

    async def playlist(_: web.Request) -> web.Response:
        return web.Response(text=live_playlist(time.time()), content_type="application/vnd.apple.mpegurl")

    app = web.Application()
    app.router.add_get("/live/live.m3u8", playlist)
    servers = {"live": materials(vendor.url)["film"]}
    async with running_world(app, live, key_servers=servers) as world:
        session = await world.enter("live")
        await get(world, urljoin(session, "keys"))
        async with channel(world, session) as events:
            first, _ = await read_keys(events)
            vendor.replies = [lambda: web.Response(status=500)] * 1000
            asked = len(vendor.asked)
            async with asyncio.timeout(10):
                while len(vendor.asked) < asked + 2:
                    assert (await world.get(session))[0] == 200
                    await asyncio.sleep(0.1)
            vendor.replies.clear()
            following, _ = await read_keys(events)
        assert following["period"] > first["period"]


async def test_one_relay_plays_under_the_keys_of_another(vendor: Vendor) -> None:
    def plain(origin: str) -> dict[str, Any]:
        return {
            name: {key: value for key, value in one.items() if key != "key_server"}
            for name, one in streams(origin, "").items()
        }

    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running_world(vectors(), plain))
        url = f"{first.control}/api/v1/keys/speke"
        servers = materials(url, f"Bearer {API_KEY}")
        # Another name there, so that it is plain whose keys these are: both relays have one root key in these tests.
        settings = {"url": url, **FILES, "content_id": "turning"}
        config = KeyServerConfig(url=url, content_id="turning", **FILES)
        servers["copy"] = KeyServerMaterial(config, servers["film"].authorization, servers["film"].recipient)

        def copies(origin: str) -> dict[str, Any]:
            return {**streams(origin, url), "copy": {**streams(origin, url)["turning"], "key_server": settings}}

        second = await stack.enter_async_context(running_world(vectors(), copies, key_servers=servers))
        segments = await played(second, "copy", "&signalling=period")
        kids = {read_init(init)[1].params.kid for init, _ in segments}  # type: ignore[union-attr]  # it is protected
        assert len(kids) == 3
        keys = await licensed(second, "copy", *kids)
        elsewhere = await licensed(first, "turning", *kids)
        assert {kid: keys[kid] for kid in kids} == {kid: elsewhere[kid] for kid in kids}
        opened = [sample for init, media in segments for sample in read_samples(init, media, elsewhere)[1]]
        assert opened == clear_samples()
