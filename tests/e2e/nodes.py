"""Nodes that share a Valkey, pages that play from one of them, and revoking through another."""

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import pack
from urllib.error import HTTPError

from aiohttp import web
from aiohttp.typedefs import Handler
from playwright.sync_api import Page

from relay.demo.clip import Clip
from relay.demo.origin import create_origin
from relay.demo.page import create_page
from tests.cluster import cluster
from tests.e2e.browser import until
from tests.e2e.demo_page import seen
from tests.e2e.local import CONSOLE, NODE_MODULES, Server
from tests.e2e.network import Network
from tests.relay_process import RelayProcess
from tests.valkey import valkey_server

RATE = 2_000_000
"""Bytes a second of a viewer's line."""
PADDING = 1_000_000
"""Bytes by which each segment of the clip is heavier than it need be: it takes half a second on the line."""
LOOK_S = 2.0
"""For how long it is watched what still comes after a revocation."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """How one revocation went, in milliseconds from the moment that the call was sent."""

    answered_ms: float
    last_byte_ms: float
    """Until the last byte of a manifest, segment, key or licence came."""
    picture_ms: float
    """Until the last frame was shown and the SDK had ended playback."""

    def __str__(self) -> str:
        return (
            f"API answered {self.answered_ms:.1f} ms, last byte {self.last_byte_ms:.1f} ms, "
            f"picture stopped {self.picture_ms:.1f} ms after the call"
        )


@web.middleware
async def _heavier(request: web.Request, handler: Handler) -> web.StreamResponse:
    answer = await handler(request)
    if request.path.endswith(".m4s") and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
        answer.body += pack(">I4s", PADDING, b"free") + bytes(PADDING - 8)
    return answer


@contextmanager
def live_nodes(folder: Path, clip: Clip, server: Server, count: int) -> Iterator[list[RelayProcess]]:
    """Nodes before the demo's live origin, with heavier segments."""
    origin = create_origin(clip, time.time)
    origin.middlewares.append(_heavier)
    settings = {
        "origin": json.dumps(server.start(origin) + "/live/"),
        "hls": '"master.m3u8"',
        "dash": '"manifest.mpd"',
        "window": '"2m"',
    }
    with valkey_server() as valkey, cluster(folder, {"demo": settings}, [valkey.url] * count) as nodes:
        yield nodes


def page_for(server: Server, edge: str, token: str) -> str:
    """Serve the demo page for a session that begins at ``edge``; its URL."""

    async def session() -> dict[str, object]:
        return {
            "hls": f"{edge}/watch/demo/index.m3u8?token={token}",
            "dash": f"{edge}/watch/demo/index.mpd?token={token}",
            "session_id": "session",
            "account_id": "account",
            "stream_id": "demo",
        }

    async def no_button(_: str) -> None:
        raise AssertionError("nobody presses the button here")

    return server.start(create_page(CONSOLE, NODE_MODULES, session, no_button)) + "/"


def ask(url: str, body: str = "", key: str = "") -> tuple[int, str]:
    """GET a URL, or POST a body to it; the status, and the reason of a refusal."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, body.encode() or None, headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()
            return answer.status, ""
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.headers.get("Relay-Reason", "")


def revoke(node: RelayProcess, sid: str) -> None:
    """Revoke a session through a node's API; returns when it has answered."""
    status, _ = ask(f"{node.control}/api/v1/drm/revoke", json.dumps({"session_id": sid}), node.api_key)
    assert status == 200


def cut(node: RelayProcess) -> int:
    """How many responses and channels a node has cut in flight."""
    with urllib.request.urlopen(f"{node.control}/metrics", timeout=5) as answer:
        found = re.search(r"(?m)^segmentgate_cut_total (\d+)", answer.read().decode())
    assert found
    return int(found[1])


@dataclass(frozen=True, slots=True)
class Call:
    """When a revocation was sent: by the wall clock, in ms, and by ``time.monotonic``. Then it was answered."""

    wall_ms: float
    sent: float
    answered: float


def revoke_in_mid_segment(page: Page, network: Network, node: RelayProcess, sid: str) -> Call:
    """Revoke the session that plays on a page when a segment has begun to come; wait a while for what still comes."""
    end = time.monotonic() + 15
    while (flying := network.segment_in_flight(PADDING // 4)) is None:
        assert time.monotonic() < end, "no segment was under way"
        page.wait_for_timeout(5)
    wall, sent = time.time(), time.monotonic()
    revoke(node, sid)
    call = Call(1000 * wall, sent, time.monotonic())
    page.wait_for_timeout(1000 * LOOK_S)
    assert flying.over, flying
    return call


def stop(page: Page, network: Network, node: RelayProcess, sid: str) -> Stopped:
    """Revoke the session that plays on the demo page in the middle of a segment, and see how it ends."""
    call = revoke_in_mid_segment(page, network, node, sid)
    until(page, "window.__demo.stoppedAt !== null", 10)
    stopped_at = float(page.evaluate("performance.timeOrigin")) + seen(page)["stoppedAt"]
    return Stopped(
        answered_ms=1000 * (call.answered - call.sent),
        last_byte_ms=1000 * (network.last_byte_at - call.sent),
        picture_ms=stopped_at - call.wall_ms,
    )
