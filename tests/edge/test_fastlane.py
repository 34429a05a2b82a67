"""The fast lane: the same bytes as the ordinary path, whatever is asked, and used where it should be."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from keys.licences.detect import Detected, detect
from keys.model import TrackType
from relay.edge.fastlane import FastLane
from relay.listener import Connection
from relay.sessions.open_responses import OpenResponse, OpenResponses
from tests.edge.test_licences import content_key, kids_json
from tests.edge.world import VECTORS, World
from tests.wire import Reply, wire

_VARYING = re.compile(rb"urn:segmentgate:request:[0-9a-f]+")
HEADERS = (
    "Range: bytes=0-9",
    "If-None-Match: *",
    "If-None-Match: ETAG",
    "If-Range: ETAG",
    "Expect: 100-continue",
    "Connection: close",
    "Connection: upgrade\r\nUpgrade: websocket",
    "Origin: https://player.example",
    "Origin: https://trusted.example",
    "User-Agent: another",
    "Content-Type: application/x-www-form-urlencoded",
    "SOAPAction: AcquireLicense",
    "X-Forwarded-For: 203.0.113.9",
    "Transfer-Encoding: identity",
    "Cookie: a=b",
    "Accept-Encoding: gzip",
)


@dataclass
class Lanes:
    """Sends the same request down both paths. ``taken`` tells, of those sent with the lane open, which took it."""

    world: World
    closed: bool = False
    taken: list[bool] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        """Where the relay listens."""
        where = urlsplit(self.world.edge)
        assert where.hostname
        assert where.port
        return where.hostname, where.port

    async def fast(self, request: bytes) -> Reply | None:
        """The answer with the lane open."""
        return await self._sent(request, closed=False)

    async def ordinary(self, request: bytes) -> Reply | None:
        """The answer with the lane closed."""
        return await self._sent(request, closed=True)

    async def both(self, request: bytes) -> Reply | None:
        """The answer of either, which must be one and the same."""
        ordinary, fast = await self.ordinary(request), await self.fast(request)
        assert told(ordinary) == told(fast), request
        return fast

    async def _sent(self, request: bytes, closed: bool) -> Reply | None:
        self.closed = closed
        async with wire(self.address) as line:
            await line.send(request)
            return await line.reply("HEAD" if request.startswith(b"HEAD") else "GET")


def told(reply: Reply | None) -> tuple[int, list[tuple[str, str]], bytes] | None:
    """An answer without what no two have in common; its headers in their order."""
    if reply is None:
        return None
    headers = [(name, value) for name, value in reply.headers.items() if name not in ("date", "x-request-id")]
    return reply.status, headers, _VARYING.sub(b"", reply.body)


@pytest.fixture
def lanes(world: World, monkeypatch: pytest.MonkeyPatch) -> Lanes:
    made = Lanes(world)
    fast: Callable[..., bool] = FastLane.__call__

    def watched(self: FastLane, *request: Any) -> bool:
        if made.closed:
            return False
        made.taken.append(fast(self, *request))
        return made.taken[-1]

    monkeypatch.setattr(FastLane, "__call__", watched)
    return made


async def segment_of(world: World, stream: str = "vod", **claims: Any) -> str:
    """The URL of a segment of a recording."""
    master = await world.enter(stream, **claims)
    url = urljoin(master, _first((await world.get(master))[1]))
    return urljoin(url, _first((await world.get(url))[1]))


def _first(playlist: bytes) -> str:
    return next(line for line in playlist.decode().splitlines() if line and not line.startswith("#"))


def get(url: str, *headers: str, method: str = "GET") -> bytes:
    """The bytes of a request for a URL."""
    lines = [f"{method} {urlsplit(url)._replace(scheme='', netloc='').geturl()} HTTP/1.1", "Host: edge", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


async def challenge_of(world: World, **claims: Any) -> bytes:
    """The bytes of a request for a Clear Key licence."""
    session = (await world.enter("vod", **claims)).split("/p/")[1].rpartition("/")[0]
    body = kids_json(content_key("vod", TrackType.SD)).encode()
    return get(f"/api/v1/drm/license?session={session}", f"Content-Length: {len(body)}", method="POST") + body


async def test_a_segment_in_memory_takes_the_lane_in_the_same_bytes(lanes: Lanes) -> None:
    request = get(await segment_of(lanes.world))
    lanes.taken.clear()
    first = await lanes.fast(request)
    assert lanes.taken == [False], "nothing is in memory yet"
    assert first
    assert first.status == 200
    assert told(await lanes.both(request)) == told(first)
    assert lanes.taken == [False, True]


async def test_a_clear_key_challenge_takes_the_lane_once_its_licence_was_made(lanes: Lanes) -> None:
    request = await challenge_of(lanes.world)
    lanes.taken.clear()
    await lanes.fast(request)
    reply = await lanes.both(request)
    assert reply
    assert b'"keys"' in reply.body
    assert lanes.taken == [False, True]


async def test_requests_in_one_connection_are_answered_in_their_order(lanes: Lanes) -> None:
    segment, challenge = get(await segment_of(lanes.world)), await challenge_of(lanes.world)
    expected = [told(await lanes.both(one)) for one in (segment, challenge, segment)]
    for pieces in (
        [segment, challenge, segment],
        [segment + challenge + segment],
        [segment[:50], segment[50:] + challenge[:-1], challenge[-1:] + segment],
        [segment + challenge[:-40], challenge[-40:], segment],
    ):
        async with wire(lanes.address) as line:
            for piece in pieces:
                await line.send(piece)
                await asyncio.sleep(0.02)
            assert [told(await line.reply()) for _ in expected] == expected


async def test_whatever_is_asked_both_paths_answer_alike(lanes: Lanes) -> None:
    segment, challenge = await segment_of(lanes.world), await challenge_of(lanes.world)
    reply = await lanes.ordinary(get(segment))
    await lanes.ordinary(challenge)
    assert reply
    random = Random(7)
    for _ in range(400):
        plain = get(segment) if random.random() < 0.6 else challenge
        await lanes.both(_mutated(plain, reply.headers["etag"].encode(), random))
    assert any(lanes.taken)
    assert not all(lanes.taken)


def _mutated(request: bytes, tag: bytes, random: Random) -> bytes:
    """A request that is still framed as it was, with some of it changed."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    method, target, version = line.split(b" ")
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        match random.randrange(6):
            case 0:
                method = random.choice((b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"get"))
            case 1:
                at = random.randrange(1, len(target))
                target = (
                    target[:at] + random.choice((b"%", b"%41", b"+", b"&", b"/", b"..", b"x", b"?", b"=")) + target[at:]
                )
            case 2:
                at = random.randrange(1, len(target))
                target = target[:at] + target[at + random.randrange(1, 4) :]
            case 3:
                headers.append(random.choice(HEADERS).encode().replace(b"ETAG", tag))
            case 4 if body:
                at = random.randrange(len(body))
                body = body[:at] + bytes([random.randrange(256)]) + body[at + 1 :]
            case 5:
                version = random.choice((b"HTTP/1.1", b"HTTP/1.0"))
    if not target.startswith(b"/"):
        target = b"/" + target
    return b"\r\n".join([b" ".join([method, target, version]), *headers, b"", body])


async def test_a_revoked_session_gets_nothing_by_the_lane(lanes: Lanes) -> None:
    requests = get(await segment_of(lanes.world)), await challenge_of(lanes.world)
    for request in requests:
        await lanes.both(request)
    await lanes.world.revoke(session_id="session-1")
    for request in requests:
        reply = await lanes.both(request)
        assert reply
        assert reply.status == 403


async def test_nothing_is_read_for_whom_the_gate_turns_away(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    challenge = await challenge_of(lanes.world)
    await lanes.both(challenge)
    read: list[bytes] = []

    def watched(body: bytes, content_type: str) -> Detected:
        read.append(body)
        return detect(body, content_type)

    monkeypatch.setattr("relay.edge.fastlane.detect", watched)
    await lanes.fast(challenge)
    assert len(read) == 1
    await lanes.fast(challenge.replace(b"session=", b"session=x"))
    await lanes.world.revoke(session_id="session-1")
    await lanes.fast(challenge)
    assert len(read) == 1


async def test_what_a_slow_reader_has_not_taken_is_cut(lanes: Lanes) -> None:
    """The lane writes a whole segment at once; what of it has not left must be found by a revocation."""
    request = get(await segment_of(lanes.world))
    await lanes.both(request)
    async with wire(lanes.address) as line:
        for _ in range(2000):
            await line.send(request)
        await asyncio.sleep(0.3)
        await lanes.world.revoke(session_id="session-1")
        received = 0
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while (reply := await line.reply()) and reply.status == 200:
                received += 1
    assert 0 < received < 2000


async def test_an_origins_content_type_leaves_by_both_paths_alike(lanes: Lanes) -> None:
    async def with_parameters(_: web.Request) -> web.Response:
        body = (VECTORS / "ts-clear/v_1.ts").read_bytes()
        return web.Response(body=body, headers={"Content-Type": "video/MP2T; charset=binary"})

    lanes.world.handlers["/ts-clear/v_1.ts"] = with_parameters
    request = get(await segment_of(lanes.world, "ts"))
    await lanes.ordinary(request)
    reply = await lanes.both(request)
    assert lanes.taken[-1]
    assert reply
    assert reply.headers["content-type"] == "video/MP2T"


async def test_a_failure_in_the_lane_leaves_the_request_to_the_ordinary_path(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError

    request = get(await segment_of(lanes.world))
    await lanes.ordinary(request)
    monkeypatch.setattr("relay.edge.fastlane.may_play", broken)
    with capture_logs() as logs:
        reply = await lanes.both(request)
    assert reply
    assert reply.status == 200
    assert [log["event"] for log in logs] == ["lane_failed"]


async def test_over_tls_a_long_segment_is_not_encrypted_all_at_once(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a slow reader has not taken would be held for him alone."""
    segment, challenge = get(await segment_of(lanes.world)), await challenge_of(lanes.world)
    for request in (segment, challenge):
        await lanes.both(request)
    monkeypatch.setattr("relay.edge.fastlane.SLICE", 1000)
    monkeypatch.setattr(Connection, "ssl_context", object())
    lanes.taken.clear()
    for request in (segment, challenge):
        await lanes.fast(request)
    assert lanes.taken == [False, True]


async def test_who_has_left_with_an_answer_unsent_can_still_be_judged(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[OpenResponse] = []
    add = OpenResponses.add

    def watched(self: OpenResponses, entry: OpenResponse) -> None:
        registered.append(entry)
        add(self, entry)

    request = get(await segment_of(lanes.world))
    await lanes.both(request)
    monkeypatch.setattr("relay.edge.fastlane.unsent", lambda _: 1)
    monkeypatch.setattr(OpenResponses, "add", watched)
    lanes.taken.clear()
    await lanes.fast(request)
    assert lanes.taken == [True]
    await asyncio.sleep(0.1)
    assert registered[0].facts().address == "127.0.0.1"
