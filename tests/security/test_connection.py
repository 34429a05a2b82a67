"""One connection, several requests: every answer to the request it belongs to, and none twice.

Cases after published faults of other servers and proxies; and what a peer may take of one relay's time.
"""

import asyncio
import re
import time

import pytest

from tests.security.target import FOLLOWER, HEAD_TIMEOUT_S, NOT_FOUND, Target
from tests.wire import wire

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
LISTENERS = pytest.mark.parametrize("listener", ["edge", "control"])
OK = {"edge": b"/sdk/segmentgate.js", "control": b"/healthz"}


def head(path: str | bytes, *fields: bytes, method: bytes = b"GET") -> bytes:
    raw = path.encode() if isinstance(path, str) else path
    return b"\r\n".join([method + b" " + raw + b" HTTP/1.1", b"Host: a", *fields, b"", b""])


@LISTENERS
@pytest.mark.parametrize("answered", ["refused", "served"])
async def test_bytes_behind_an_upgrade_are_not_a_request(target: Target, listener: str, answered: str) -> None:
    """CVE-2026-2833: pipelined bytes behind an Upgrade were passed on after an answer other than 101."""
    path = OK[listener] if answered == "served" else b"/nothing"
    upgrade = head(path, b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    (reply,) = await target.exchange(upgrade + SMUGGLED, listener)
    assert reply.status == (200 if answered == "served" else NOT_FOUND)
    assert reply.closes


@LISTENERS
async def test_bytes_behind_an_upgrade_to_http2_are_not_a_request(target: Target, listener: str) -> None:
    """The parser passes over the upgrade, but loses what came in the same read: half a request, or one and a half."""
    upgrade = head(OK[listener], b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    async with wire(target.address(listener)) as peer:
        await peer.send(upgrade + b"GET /half HTTP/1.1\r\nX: ")
        (reply,) = await peer.replies()
        assert (reply.status, reply.closes) == (200, True)


async def test_the_body_of_an_upgrade_is_read_and_what_follows_is_not(target: Target) -> None:
    fields = (b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 5")
    async with wire(target.address("edge")) as peer:
        await peer.send(head(b"/api/v1/drm/license?stream_id=vod", *fields, _token(target), method=b"POST"))
        await asyncio.sleep(0.05)
        await peer.send(b"hello" + SMUGGLED)
        (reply,) = await peer.replies()
        assert (reply.status, reply.closes) == (400, True)


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_the_body_of_a_request_for_something_cached_is_not_a_request(target: Target, framing: str) -> None:
    """CVE-2025-4366: an answer from the cache left the request's body on the connection, to be read as a request."""
    segment = await target.segment()
    assert (await target.get(segment)).status == 200
    if framing == "length":
        data = head(segment, b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED
    else:
        data = head(segment, b"Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    assert [reply.status for reply in await target.exchange(data + FOLLOWER)] == [200, NOT_FOUND]


async def test_a_body_that_comes_after_the_answer_is_not_a_request(target: Target) -> None:
    segment = await target.segment()
    async with wire(target.address("edge")) as peer:
        await peer.send(head(segment, b"Content-Length: %d" % len(SMUGGLED)))
        reply = await peer.reply()
        assert reply is not None
        assert reply.status == 200
        await peer.send(SMUGGLED + FOLLOWER)
        assert [reply.status for reply in await peer.replies()] == [NOT_FOUND]


async def test_a_host_never_shows_in_another_viewers_manifest(target: Target) -> None:
    """CVE-2026-2836: a cache whose key lacked host and scheme. Manifests hold a licence URL, and are cached."""
    master = await target.session()
    playlist = master.rpartition("/")[0] + "/" + _line(rb"m/[^\n]+", (await target.get(master)).body)
    hosts = (b"one.example", b"two.example", b"one.example")
    for host in hosts:
        for line in (playlist.encode(), b"http://three.example" + playlist.encode()):
            request = b"GET " + line + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
            (reply,) = await target.exchange(request)
            assert set(re.findall(rb"http://([a-z.]+)[:/]", reply.body)) <= {host, b"three.example"}
            if not line.startswith(b"http"):
                assert b"three.example" not in reply.body
                assert host in reply.body


@LISTENERS
async def test_a_client_that_waits_for_100_continue_gets_it_once(target: Target, listener: str) -> None:
    path = b"/api/v1/drm/license" if listener == "edge" else b"/api/v1/drm/revoke"
    async with wire(target.address(listener)) as peer:
        fields = (b"Content-Length: 5", b"Expect: 100-continue", target.bearer.encode())
        await peer.send(head(path, *fields, method=b"POST"))
        first = await peer.reply()
        assert first is not None
        assert first.status == 100
        await peer.send(b"hello" + FOLLOWER)
        answer, follower = await peer.replies()
        assert 400 <= answer.status < 500
        assert follower.status == NOT_FOUND


@LISTENERS
async def test_an_unknown_expectation_is_refused_without_its_text(target: Target, listener: str) -> None:
    replies = await target.exchange(head(OK[listener], b"Expect: <script>") + FOLLOWER, listener)
    assert [reply.status for reply in replies] == [417, NOT_FOUND]
    assert b"script" not in replies[0].body


RANGES = {
    "overlapping": "bytes=0-99,50-149",
    "a thousand": "bytes=" + ",".join(f"{at}-{at}" for at in range(1000)),
    "a thousand times all": "bytes=" + ",".join(["0-"] * 1000),
    "huge": "bytes=0-99999999999999999999999999",
    "from beyond": "bytes=99999999999999999999999999-",
    "backwards": "bytes=5-1",
    "negative": "bytes=--5",
    "suffix of nothing": "bytes=-0",
    "suffix of more": "bytes=-99999999999",
    "empty": "bytes=",
    "another unit": "lines=0-1",
    "Arabic digits": "bytes=٠-٥",
    "no number": "bytes=a-b",
}


@pytest.mark.parametrize("ranges", RANGES.values(), ids=RANGES)
async def test_ranges_never_give_more_than_there_is(target: Target, ranges: str) -> None:
    segment = await target.segment()
    whole = (await target.get(segment)).body
    reply, follower = await target.exchange(head(segment, b"Range: " + ranges.encode()) + FOLLOWER)
    assert reply.status in (200, 206, 416)
    assert len(reply.body) <= len(whole)
    assert reply.status == 416 or reply.body in whole
    assert follower.status == NOT_FOUND


async def test_hundreds_of_pipelined_requests_are_answered_in_order(target: Target) -> None:
    order = [number % 3 == 0 for number in range(300)]
    requests = b"".join(head(OK["edge"] if found else b"/nothing", method=b"HEAD") for found in order)
    async with wire(target.address("edge")) as peer:
        await peer.send(requests)
        for found in order:
            reply = await peer.reply("HEAD")
            assert reply is not None
            assert reply.status == (200 if found else NOT_FOUND)


@LISTENERS
@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head(b"/" + b"a" * 20_000), 414),
        (head(b"/", b"X: " + b"a" * 20_000), 431),
        (head(b"/", b"X" * 20_000 + b": a"), 431),
        (head(b"/", *(b"X-%d: a" % number for number in range(500))), 400),
        (head(b"/", *(b"X-%d: " % number + b"a" * 7000 for number in range(120)))[:-2], 431),
    ],
    ids=["line", "field value", "field name", "number of fields", "head without an end"],
)
async def test_a_head_has_its_limits(target: Target, request_head: bytes, status: int, listener: str) -> None:
    (reply,) = await target.exchange(request_head, listener)
    assert (reply.status, reply.closes) == (status, True)
    assert reply.headers["access-control-allow-origin"] == "*"


async def test_a_body_has_its_limit(target: Target) -> None:
    data = head(b"/api/v1/drm/license?stream_id=vod", b"Content-Length: 100000", _token(target), method=b"POST")
    async with wire(target.address("edge")) as peer:
        await peer.send(data + bytes(100_000) + FOLLOWER)
        assert [reply.status for reply in await peer.replies()] == [413, NOT_FOUND]


@LISTENERS
@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nX-Secret: ", head(b"/", b"Content-Length: 999", method=b"POST")]
)
async def test_who_is_too_slow_is_let_go_and_nobody_else_waits(target: Target, sent: bytes, listener: str) -> None:
    """Slow connections, heads and bodies (slowloris)."""
    async with wire(target.address(listener)) as peer:
        started = time.perf_counter()
        await peer.send(sent)

        async def drip() -> None:
            while sent:
                await asyncio.sleep(0.1)
                await peer.send(b"a")

        dripping = asyncio.create_task(drip())
        assert (await target.get(OK[listener].decode(), listener=listener)).status == 200
        for reply in await peer.replies():
            assert reply.status in (408, NOT_FOUND)
            assert b"Secret" not in reply.body
        assert time.perf_counter() - started < 4 * HEAD_TIMEOUT_S
        dripping.cancel()


async def test_many_slow_connections_leave_the_relay_to_others(target: Target) -> None:
    async with asyncio.timeout(10):
        slow = [await asyncio.open_connection(*target.address("edge")) for _ in range(300)]
        for _, writer in slow:
            writer.write(b"GET / HT")
        started = time.perf_counter()
        assert (await target.get(OK["edge"].decode())).status == 200
        assert time.perf_counter() - started < 1
        for reader, writer in slow:
            assert (await reader.read()).startswith(b"HTTP/1.0 408 ")
            writer.close()


def _token(target: Target) -> bytes:
    return b"Authorization: Bearer " + target.relay.token().encode()


def _line(pattern: bytes, text: bytes) -> str:
    match = re.search(rb"(?m)^" + pattern, text)
    assert match
    return match[0].decode()
