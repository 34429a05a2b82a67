"""A revoked session, account or device gets nothing more: by any endpoint, in any order, after any history."""

import asyncio
import json
import re
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urljoin

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys import base64url
from keys.model import Scheme, TrackType
from tests.edge.test_licences import (
    SOAP,
    WidevineDevice,
    content_key,
    header,
    kids_json,
    material,
    origin,
    streams,
)
from tests.edge.world import World, running_world
from tests.keys.licences.fairplay_device import FairPlayDevice
from tests.keys.licences.playready_client import Client
from tests.keys.licences.widevine_client import Licence

STREAM = "leased"
SD = content_key(STREAM, TrackType.SD)
KEYS = [content_key(STREAM, track, scheme) for track in TrackType for scheme in (Scheme.CENC, Scheme.CBCS)]
SPELLINGS = [text for key in KEYS for text in (key.key, base64url.encode(key.key).encode(), b64encode(key.key))]
_numbers = count(1)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_world(origin(), streams, material()) as made:
        yield made


@dataclass
class Viewer:
    """One playback with everything that its player was ever given."""

    world: World
    number: int = field(default_factory=lambda: next(_numbers))
    urls: dict[str, str] = field(default_factory=dict)
    licence: Licence | None = None
    own: str = ""

    @property
    def device(self) -> WidevineDevice:
        return WidevineDevice(serial=b"serial-%d" % self.number)

    def claims(self, **other: Any) -> dict[str, Any]:
        token = f"t{next(_numbers)}"
        return {"sid": f"s{self.number}", "sub": f"a{self.number}", "did": f"d{self.number}", "jti": token, **other}

    async def begin(self) -> None:
        """Enter, read the manifests, and get a first licence."""
        master = await self.world.enter(STREAM, **self.claims())
        _, body, _ = await self.world.get(master)
        playlist = urljoin(master, next(line for line in body.decode().splitlines() if line.startswith("m/")))
        _, body, _ = await self.world.get(playlist)

        def find(pattern: str) -> str:
            found = re.search(pattern, body.decode(), re.MULTILINE)
            assert found, pattern
            return urljoin(playlist, str(found[1]))

        self.urls = {
            "index": master,
            "playlist": playlist,
            "init": find(r'MAP:URI="([^"]+)"'),
            "segment": find(r"^([^#\n]+/s/.+)$"),
            "key": find(r'URI="([^"]+\.key[^"]*)"'),
            "license": find(r'URI="(http[^"]+license[^"]+)"'),
            "keys": urljoin(master, "keys"),
            "events": urljoin(master, "events"),
        }
        challenge = self.device.challenge(SD.kid, request_id=b"first")
        status, body, _ = await self.post(challenge)
        assert status == 200
        self.licence = self.device.read(body, challenge)
        status, body, _ = await self.post(self.own_request())
        assert status == 200
        self.own = json.loads(body)["licence"]

    def own_request(self, **members: str) -> str:
        return json.dumps({"relay": members})

    async def get(self, kind: str) -> tuple[int, bytes, str]:
        async with self.world.client.get(self.urls[kind]) as answer:
            if answer.status == 200 and kind == "events":
                return answer.status, await answer.content.readany(), ""
            return answer.status, await answer.read(), answer.headers.get("Relay-Reason", "")

    async def post(
        self, body: bytes | str, headers: dict[str, str] | None = None, *, by_token: bool = False, **claims: Any
    ) -> tuple[int, bytes, str]:
        url = f"{self.world.edge}/api/v1/drm/license?stream_id={STREAM}" if by_token else self.urls["license"]
        bearer = {"Authorization": f"Bearer {self.world.token(**self.claims(**claims))}"} if by_token else {}
        async with self.world.client.post(url, data=body, headers={**bearer, **(headers or {})}) as answer:
            return answer.status, await answer.read(), answer.headers.get("Relay-Reason", "")

    async def enter(self) -> tuple[int, bytes, str]:
        url = f"{self.world.edge}/watch/{STREAM}/index.m3u8?token={self.world.token(**self.claims())}"
        async with self.world.client.get(url, allow_redirects=False) as answer:
            return answer.status, await answer.read(), answer.headers.get("Relay-Reason", "")

    async def by_token(self) -> tuple[int, bytes, str]:
        url = f"{self.world.edge}/t/{STREAM}/cenc.stable.uhd.clearkey.identity/index.m3u8"
        bearer = {"Authorization": f"Bearer {self.world.token(**self.claims())}"}
        async with self.world.client.get(url, headers=bearer) as answer:
            return answer.status, await answer.read(), answer.headers.get("Relay-Reason", "")

    def widevine(self) -> bytes:
        return self.device.challenge(SD.kid, request_id=b"%d" % next(_numbers))

    def renewal(self) -> bytes:
        assert self.licence
        return self.licence.renewal()

    def playready(self) -> bytes:
        return Client(nonce=next(_numbers).to_bytes(16)).challenge(header(SD))

    def fairplay(self) -> bytes:
        kid = content_key(STREAM, TrackType.AUDIO, Scheme.CBCS).kid.hex().encode()
        number = next(_numbers).to_bytes(8)
        return FairPlayDevice(asset_id=kid, transaction_id=number, created=int(time.time())).spc()


Way = Callable[[Viewer], Awaitable[tuple[int, bytes, str]]]
BY_WIDEVINE: dict[str, Way] = {
    "widevine": lambda viewer: viewer.post(viewer.widevine()),
    "widevine by token": lambda viewer: viewer.post(viewer.widevine(), by_token=True),
    "widevine renewal": lambda viewer: viewer.post(viewer.renewal()),
    "widevine renewal by token": lambda viewer: viewer.post(viewer.renewal(), by_token=True),
    "widevine renewal by another session": lambda viewer: viewer.post(viewer.renewal(), by_token=True, sid="another"),
}
WAYS: dict[str, Way] = {
    "entry": lambda viewer: viewer.enter(),
    "manifest by token": lambda viewer: viewer.by_token(),
    "index": lambda viewer: viewer.get("index"),
    "playlist": lambda viewer: viewer.get("playlist"),
    "init": lambda viewer: viewer.get("init"),
    "segment": lambda viewer: viewer.get("segment"),
    "key": lambda viewer: viewer.get("key"),
    "keys": lambda viewer: viewer.get("keys"),
    "events": lambda viewer: viewer.get("events"),
    "clear key": lambda viewer: viewer.post(kids_json(SD)),
    "clear key by token": lambda viewer: viewer.post(kids_json(SD), by_token=True),
    "own": lambda viewer: viewer.post(viewer.own_request()),
    "own renewal": lambda viewer: viewer.post(viewer.own_request(licence=viewer.own)),
    "own renewal by token": lambda viewer: viewer.post(viewer.own_request(licence=viewer.own), by_token=True),
    "playready": lambda viewer: viewer.post(viewer.playready(), SOAP),
    "fairplay": lambda viewer: viewer.post(viewer.fairplay()),
    **BY_WIDEVINE,
}
TARGETS = ("session", "account", "device", "drm device")


async def revoke(viewer: Viewer, target: str) -> None:
    number = viewer.number
    match target:
        case "session":
            await viewer.world.revoke(session_id=f"s{number}")
        case "account":
            await viewer.world.revoke(account_id=f"a{number}")
        case "device":
            await viewer.world.revoke(device_id=f"d{number}")
        case _:
            server = material().widevine
            assert server
            opened = await asyncio.to_thread(server.server().open, viewer.device.challenge(bytes(16)), time.time())
            await viewer.world.revoke(device_id=opened.device.digest.hex())  # type: ignore[union-attr]  # a new request


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    target=st.sampled_from(TARGETS),
    before=st.lists(st.sampled_from(sorted(WAYS)), max_size=3),
    after=st.permutations(sorted(WAYS)),
)
async def test_nothing_comes_after_a_revocation(world: World, target: str, before: list[str], after: list[str]) -> None:
    viewer, other = Viewer(world), Viewer(world)
    await viewer.begin()
    await other.begin()
    for way in before:
        status, _, reason = await WAYS[way](viewer)
        assert status in (200, 302), (way, reason)
    await revoke(viewer, target)
    # Of the device that a challenge proves, what asks for no licence of its system knows nothing.
    touched = BY_WIDEVINE if target == "drm device" else WAYS
    for way in after:
        status, body, reason = await WAYS[way](viewer)
        if way in touched:
            assert status >= 400, (target, way)
            assert reason == "revoked", (target, way, reason)
            assert not [spelling for spelling in SPELLINGS if spelling in body], (target, way)
        assert (await WAYS[way](other))[0] in (200, 302), (target, way)


async def test_what_is_open_when_it_comes_ends_without_another_key(world: World) -> None:
    """The channel of a revoked session hears of it as its last word."""
    viewer = Viewer(world)
    await viewer.begin()
    async with world.client.get(viewer.urls["events"]) as channel:
        await channel.content.readany()
        await revoke(viewer, "account")
        rest = b""
        with suppress(aiohttp.ClientError):
            rest = await asyncio.wait_for(channel.content.read(), 5)
        assert rest.startswith(b"event: revoked")
        assert json.dumps("keys") not in rest.decode()
        assert not [spelling for spelling in SPELLINGS if spelling in rest]
