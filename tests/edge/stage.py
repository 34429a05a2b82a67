"""A relay before a live stream in SD and HD, on a clock that a test moves, and whose policies it changes."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from keys.model import Scheme, TrackType
from keys.periods import Clock
from policies.text import SceneText, write_rekeying, write_scenes
from relay.app import running_node
from relay.config import parse_config
from relay.edge.app import create_edge
from relay.gate.dialects.keys import TokenKey
from relay.licensing.material import Material
from relay.node import Node
from relay.plans import KIND, name_of
from relay.secrets import Secrets
from relay.streams import Stream
from tests.edge.world import API_KEY, KEY_RING, SECRET, VECTORS, World

SEGMENT_S, PERIOD_S, LEAD_S, WINDOW_S = 2, 10, 4, 40
INIT, SEGMENT = ((VECTORS / "clear" / name).read_bytes() for name in ("v_init.mp4", "v_1.m4s"))
SIZES = {"sd": (640, 360), "hd": (1280, 720)}


class Time:
    """Seconds since the epoch that pass when a test says so; of both clocks that the relay reads."""

    def __init__(self) -> None:
        # Tokens are checked against it, too, so it starts at about the right time, where a crypto period does.
        self.start = (int(time.time()) // PERIOD_S + 1) * PERIOD_S
        self.now = float(self.start)

    def __call__(self) -> float:
        return self.now


@dataclass
class Stage:
    """The relay, its node and its time. Moments are seconds since the start."""

    world: World
    node: Node
    time: Time
    orders: int = 0

    @property
    def stream(self) -> Stream:
        """The stream as it is now."""
        return self.node.stream("live")

    def at(self, moment: float) -> int:
        """A moment in ms of stream time."""
        return round((self.time.start + moment) * 1000)

    async def go(self, moment: float) -> None:
        """Let time pass, and the relay see what the stream shows then."""
        self.time.now = self.time.start + moment
        await self.node.manifests.ensure_timeline(self.stream)

    async def scenes(self, since: float, *scenes: dict[str, Any], zero: float = 0) -> None:
        """Set scenes; their ``start`` and ``end`` are seconds."""
        texts = msgspec.convert([{**scene, **_times(scene)} for scene in scenes], list[SceneText])
        await self._put(write_scenes({Clock.WALL: self.at(since)}, {Clock.WALL: self.at(zero)}, texts))

    async def rekey(self, since: float, epoch: int = 1, spread_ms: int = 0) -> None:
        """Replace all keys from a moment on."""
        await self._put(write_rekeying({Clock.WALL: self.at(since)}, epoch, spread_ms))

    def key(self, track: TrackType, moment: float, scheme: Scheme = Scheme.CENC) -> tuple[bytes, bytes]:
        """Key ID and key of a segment that starts at a moment."""
        stream = self.stream
        period = stream.schedule_of(Clock.WALL).period_of(self.at(moment))
        key = stream.content_key(stream.slot_of(track, scheme, period.start))
        return key.kid, key.key

    async def lines(self, url: str) -> list[str]:
        """The lines of a playlist that name something."""
        status, body, _ = await self.world.get(url)
        assert status == 200, body
        return [line for line in body.decode().splitlines() if line and not line.startswith("#")]

    async def keys(self, session: str) -> dict[str, Any]:
        """What a session is told of its keys."""
        status, body, _ = await self.world.get(urljoin(session, "keys"))
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    async def _put(self, body: bytes) -> None:
        self.orders += 1
        await self.node.registry.put([self.node.registry.draft(KIND, name_of("live", str(self.orders)), body)])


def _times(scene: dict[str, Any]) -> dict[str, str]:
    return {name: f"00:{scene[name] // 60:02}:{scene[name] % 60:02}" for name in ("start", "end") if name in scene}


def _first(now: float) -> int:
    return int(now - WINDOW_S) // SEGMENT_S


def _media(now: float, name: str) -> str:
    first, edge = _first(now), int(now) // SEGMENT_S
    date = datetime.fromtimestamp(first * SEGMENT_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    head = ["#EXTM3U", f"#EXT-X-TARGETDURATION:{SEGMENT_S}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    head += [f"#EXT-X-PROGRAM-DATE-TIME:{date}", f'#EXT-X-MAP:URI="{name}/init.mp4"']
    return "\n".join([*head, *(f"#EXTINF:{SEGMENT_S}.0,\n{name}/{number}.m4s" for number in range(first, edge))]) + "\n"


def _multivariant() -> str:
    variants = (f"#EXT-X-STREAM-INF:BANDWIDTH={w},RESOLUTION={w}x{h}\n{name}.m3u8" for name, (w, h) in SIZES.items())
    return "\n".join(["#EXTM3U", *variants]) + "\n"


def _mpd() -> str:
    """Counted segments: players that have it need not load it again, and those that do not will not."""
    sets = "".join(
        f'<Representation id="{name}" bandwidth="{w}" width="{w}" height="{h}" codecs="avc1.64000c"/>'
        for name, (w, h) in SIZES.items()
    )
    return f"""<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z"
  minBufferTime="PT2S" timeShiftBufferDepth="PT{WINDOW_S}S" profiles="urn:mpeg:dash:profile:isoff-live:2011">
<Period id="p" start="PT0S"><AdaptationSet contentType="video" mimeType="video/mp4" segmentAlignment="true">
<SegmentTemplate timescale="1" duration="{SEGMENT_S}" startNumber="0" initialization="$RepresentationID$/init.mp4"
  media="$RepresentationID$/$Number$.m4s"/>{sets}</AdaptationSet></Period></MPD>"""


def _origin(clock: Time) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        name = request.path.removeprefix("/live/")
        if name == "master.m3u8":
            return web.Response(text=_multivariant())
        if name == "live.mpd":
            return web.Response(text=_mpd())
        if name.endswith(".m3u8"):
            return web.Response(text=_media(clock(), name.removesuffix(".m3u8")))
        return web.Response(body=INIT if name.endswith("init.mp4") else SEGMENT)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    return app


@asynccontextmanager
async def open_stage(material: Material | None = None) -> AsyncIterator[Stage]:
    """A stage. What the relay keeps for a while it keeps by the stage's time."""
    moving = Time()
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("relay.manifests.monotonic", moving)
        patch.setattr("relay.origin.documents.monotonic", moving)
        origin = TestServer(_origin(moving))
        await origin.start_server()
        stack.push_async_callback(origin.close)
        config = parse_config(
            {
                "control": {"api_key_file": "-", "probe": "0s"},
                "keys": {"roots": [{"generation": 1, "file": "-"}]},
                "tokens": {
                    "audience": "edge",
                    "issuers": [
                        {"iss": "https://platform.example", "keys": [{"kid": "k1", "alg": "HS256", "file": "-"}]}
                    ],
                },
                "streams": {
                    "live": {
                        "origin": str(origin.make_url("/live/")), "hls": "master.m3u8", "dash": "live.mpd",
                        "rotation": {"interval": f"{PERIOD_S}s", "pre_delivery": f"{LEAD_S}s"},
                        "window": f"{WINDOW_S}s",
                    }
                },
            },
            "test",
        )  # fmt: skip
        issuers = {"https://platform.example": [TokenKey.symmetric("k1", SECRET)]}
        secrets = Secrets(KEY_RING, issuers, API_KEY.encode(), licences=material or Material())
        node = await stack.enter_async_context(running_node(config, secrets, Path(), moving))
        server = TestServer(create_edge(node))
        await server.start_server()
        stack.push_async_callback(server.close)
        client = await stack.enter_async_context(aiohttp.ClientSession())
        stage = Stage(World(str(server.make_url("")).rstrip("/"), "", client), node, moving)
        await stage.go(0)
        yield stage


STRICT: Sequence[dict[str, Any]] = (
    {"label": "opening", "start": 0, "end": 25, "drm_level": "L3"},
    {
        "label": "final", "start": 25, "end": 45, "drm_level": "L1", "hdcp": "2.2",
        "tracks": {"sd": {"drm_level": "L3"}},
    },
    {"label": "credits", "start": 45, "drm_level": "L3"},
)  # fmt: skip
"""The customer's three scenes, whose edges are no boundaries of the rotation."""
