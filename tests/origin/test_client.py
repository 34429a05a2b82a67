"""Pulling from a real origin over a socket: its faults have names, and nothing outside the bases is contacted."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from relay.config import OriginConfig
from relay.errors import (
    OriginConnectionError,
    OriginError,
    OriginForeignError,
    OriginMissingError,
    OriginStatusError,
    OriginTimeoutError,
    OriginTooLargeError,
)
from relay.origin.client import MAX_REDIRECTS, Fetched, Origin
from relay.sources import ByteRange, OriginScope, Source
from relay.units import Duration

BODY = bytes(range(256)) * 4
LIMIT = 10_000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
X = Source("x")


class World:
    """A client, an origin and a stranger. ``handler`` answers whatever is asked of the origin."""

    def __init__(self, origin: Origin, scope: OriginScope) -> None:
        self.origin = origin
        self.scope = scope
        self.stranger = ""
        self.handler: Handler = answering()
        self.requests: list[web.Request] = []
        self.strangers = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.handler(request)

    async def handle_stranger(self, _: web.Request) -> web.StreamResponse:
        self.strangers += 1
        return web.Response(body=b"secret")

    async def get(self, source: Source = X, limit: int = LIMIT, **options: Any) -> Fetched | None:
        if options.keys() <= {"span"}:
            return await self.origin.get(self.scope, source, limit, **options)
        return await self.origin.get_if_changed(self.scope, source, limit, options.pop("validator", ""), **options)

    async def body(self, source: Source = X, limit: int = LIMIT, **options: Any) -> bytes:
        fetched = await self.get(source, limit, **options)
        assert fetched is not None
        return fetched.data


def answering(status: int = 200, body: bytes = BODY, **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


def one_after_another(*handlers: Handler) -> Handler:
    left = list(handlers)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


def raw(*pieces: bytes) -> Handler:
    """Bytes on the wire as they are, then the connection closed."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        for piece in pieces:
            request.transport.write(piece)
            await asyncio.sleep(0)
        request.transport.close()
        return web.Response()

    return answer


@pytest.fixture
async def world() -> AsyncIterator[World]:
    config = OriginConfig(connect_timeout=Duration.parse("500ms"), read_timeout=Duration.parse("200ms"))
    app, other = web.Application(), web.Application()
    origin_server, stranger = TestServer(app), TestServer(other)
    origin = Origin(config)
    world = World(origin, OriginScope(("http://unset/",)))
    app.router.add_get("/{any:.*}", world.handle)
    other.router.add_get("/{any:.*}", world.handle_stranger)
    await origin_server.start_server()
    await stranger.start_server()
    world.scope = OriginScope((str(origin_server.make_url("/live/")),))
    world.stranger = str(stranger.make_url("/"))
    yield world
    await origin.close()
    await origin_server.close()
    await stranger.close()


async def test_a_resource_is_fetched_with_what_tells_it_apart(world: World) -> None:
    world.handler = answering(ETag='"v1"', Content_Type="video/mp4")
    fetched = await world.get(Source("a%20b/c.m4s", "key=a%2Fb&x=$1"))
    assert fetched == Fetched(BODY, Source("a%20b/c.m4s", "key=a%2Fb&x=$1"), '"v1"', "video/mp4")
    assert world.requests[0].raw_path == "/live/a%20b/c.m4s?key=a%2Fb&x=$1"
    assert "Range" not in world.requests[0].headers


@pytest.mark.parametrize(("query", "path"), [("", "/live/x?_HLS_msn=1"), ("k=1", "/live/x?k=1&_HLS_msn=1")])
async def test_a_held_reload_adds_its_query(world: World, query: str, path: str) -> None:
    await world.get(Source("x", query), extra_query="_HLS_msn=1")
    assert world.requests[0].raw_path == path


async def test_a_slow_answer_is_a_timeout_and_not_repeated(world: World) -> None:
    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    world.handler = never
    with pytest.raises(OriginTimeoutError) as caught:
        await world.get()
    assert (caught.value.status, len(world.requests)) == (504, 1)


async def test_a_body_that_stops_coming_is_a_timeout(world: World) -> None:
    async def stalling(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        await asyncio.sleep(5)
        return response

    world.handler = stalling
    with pytest.raises(OriginTimeoutError):
        await world.get()


async def test_patience_lets_a_held_request_take_longer(world: World) -> None:
    async def held(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.4)
        return web.Response(body=b"late")

    world.handler = held
    assert await world.body(patience=2.0) == b"late"


async def test_nobody_there_is_a_broken_connection(world: World) -> None:
    world.scope = OriginScope((f"http://127.0.0.1:{unused_port()}/",))
    with pytest.raises(OriginConnectionError) as caught:
        await world.get()
    assert (caught.value.status, caught.value.code) == (502, "origin_unreachable")
    assert "127.0.0.1" not in str(caught.value)


async def test_more_than_the_limit_announced_is_not_even_begun(world: World) -> None:
    with pytest.raises(OriginTooLargeError, match="announces 1024 bytes, limit 1023"):
        await world.get(limit=1023)
    assert await world.body(limit=1024) == BODY


async def test_more_than_the_limit_sent_is_given_up(world: World) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        while True:
            await response.write(BODY)

    world.handler = endless
    with pytest.raises(OriginTooLargeError, match="sent more than 5000 bytes"):
        await world.get(limit=5000)


async def test_a_chunked_body_has_no_length_and_comes_as_it_is_made(world: World) -> None:
    gate = asyncio.Event()

    async def chunked(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"one")
        await gate.wait()
        await response.write(b"two")
        return response

    world.handler = chunked
    async with world.origin.open(world.scope, X, LIMIT) as response:
        assert response.length is None
        chunks = response.chunks()
        assert await anext(chunks) == b"one"
        gate.set()
        assert [chunk async for chunk in chunks] == [b"two"]


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("/live/y", Source("y")),
        ("y?k=2", Source("y", "k=2")),
        ("sub/../y", Source("y")),
        ("//{host}/live/y", Source("y")),
    ],
)
async def test_a_redirect_below_the_base_is_followed(world: World, location: str, found: Source) -> None:
    host = world.scope.bases[0].split("/")[2]
    world.handler = one_after_another(answering(302, Location=location.format(host=host)), answering())
    fetched = await world.get()
    assert fetched is not None
    assert (fetched.data, fetched.source) == (BODY, found)


@pytest.mark.parametrize(
    "location",
    [
        "{stranger}live/y",
        "/admin",
        "../admin",
        "/live/%2e%2e/admin",
        "/live/..;/admin",
        "file:///etc/passwd",
        "https://{host}/live/y",
        "http://user@{host}/live/y",
        "http://[",
        "/live/\\y",
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_elsewhere_is_refused_and_not_followed(world: World, location: str, status: int) -> None:
    host = world.scope.bases[0].split("/")[2]
    world.handler = answering(status, Location=location.format(host=host, stranger=world.stranger))
    with pytest.raises(OriginForeignError):
        await world.get()
    assert (len(world.requests), world.strangers) == (1, 0)


async def test_a_redirect_of_bytes_that_are_no_text_is_refused(world: World) -> None:
    world.handler = raw(b"HTTP/1.1 302 Found\r\nLocation: /live/\xff\xfe\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(OriginForeignError):
        await world.get()


@pytest.mark.parametrize("headers", [{"Location": "/live/x"}, {"Location": ""}, {}])
async def test_a_redirect_loop_ends(world: World, headers: dict[str, str]) -> None:
    world.handler = answering(302, b"", **headers)
    with pytest.raises(OriginForeignError, match="redirects more than"):
        await world.get()
    assert len(world.requests) == MAX_REDIRECTS + 1


async def test_a_range_is_asked_for_without_a_coding(world: World) -> None:
    world.handler = answering(206, BODY[10:30], Content_Range="bytes 10-29/1024")
    assert await world.body(span=ByteRange(10, 20)) == BODY[10:30]
    headers = world.requests[0].headers
    assert (headers["Range"], headers["Accept-Encoding"]) == ("bytes=10-29", "identity")


@pytest.mark.parametrize(
    "span", [ByteRange(0, 1), ByteRange(10, 20), ByteRange(1000, 24), ByteRange(1000, None), ByteRange(0, None)]
)
async def test_a_range_is_cut_out_where_the_origin_sends_the_whole(world: World, span: ByteRange) -> None:
    stop = None if span.length is None else span.start + span.length
    assert await world.body(span=span) == BODY[span.start : stop]


async def test_a_range_from_a_whole_that_is_too_large_is_refused(world: World) -> None:
    with pytest.raises(OriginTooLargeError, match="ignores Range"):
        await world.get(limit=100, span=ByteRange(500, 20))
    assert await world.body(limit=500, span=ByteRange(500, 20)) == BODY[500:520]


@pytest.mark.parametrize("headers", [{}, {"Content_Range": "bytes 0-19/1024"}, {"Content_Range": "bytes 100-119/1024"}])
async def test_another_range_than_asked_for_is_refused(world: World, headers: dict[str, str]) -> None:
    world.handler = answering(206, BODY[:20], **headers)
    with pytest.raises(OriginError, match="another range"):
        await world.get(span=ByteRange(10, 20))


@pytest.mark.parametrize("status", [404, 410])
async def test_a_missing_resource_is_missing(world: World, status: int) -> None:
    world.handler = answering(status)
    with pytest.raises(OriginMissingError) as caught:
        await world.get()
    assert (caught.value.status, caught.value.origin_status, len(world.requests)) == (404, status, 1)


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 401, 403, 416, 429, 451])
async def test_any_other_status_is_the_origins_fault_and_not_repeated(world: World, status: int) -> None:
    world.handler = answering(status, b"")
    with pytest.raises(OriginStatusError) as caught:
        await world.get()
    assert (caught.value.status, caught.value.origin_status, len(world.requests)) == (502, status, 1)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_is_asked_once_more(world: World, status: int) -> None:
    world.handler = one_after_another(answering(status), answering())
    assert await world.body() == BODY
    world.handler = answering(status)
    with pytest.raises(OriginStatusError):
        await world.get()
    assert len(world.requests) == 4


async def test_a_connection_broken_before_the_answer_is_tried_once_more(world: World) -> None:
    world.handler = one_after_another(raw(), answering())
    assert await world.body() == BODY
    assert len(world.requests) == 2
    world.handler = raw()
    with pytest.raises(OriginConnectionError):
        await world.get()
    assert len(world.requests) == 4


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"half"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalf"],
        [b"not http at all\r\n\r\n"],
    ],
)
async def test_a_body_cut_short_is_never_taken_for_a_whole_one(world: World, pieces: list[bytes]) -> None:
    world.handler = raw(*pieces)
    with pytest.raises(OriginConnectionError):
        await world.get()


@pytest.mark.parametrize(
    ("validator", "header"),
    [
        ('"v1"', "If-None-Match"),
        ('W/"v1"', "If-None-Match"),
        ("Mon, 05 Oct 2026 07:28:00 GMT", "If-Modified-Since"),
        ("Wed, 07 Oct 2026 07:28:00 GMT", "If-Modified-Since"),
    ],
)
async def test_an_unchanged_resource_is_not_sent_again(world: World, validator: str, header: str) -> None:
    world.handler = answering(304, b"")
    assert await world.get(validator=validator) is None
    assert world.requests[0].headers[header] == validator
    assert len({"If-None-Match", "If-Modified-Since"} & set(world.requests[0].headers)) == 1


async def test_a_changed_resource_is_sent(world: World) -> None:
    world.handler = answering(Last_Modified="Wed, 07 Oct 2026 07:28:00 GMT")
    fetched = await world.get(validator='"old"')
    assert fetched is not None
    assert fetched.validator == "Wed, 07 Oct 2026 07:28:00 GMT"


async def test_an_entity_tag_that_no_header_could_carry_back_is_none(world: World) -> None:
    world.handler = raw(b'HTTP/1.1 200 OK\r\nETag: "\xff"\r\nContent-Length: 2\r\n\r\nok')
    fetched = await world.get()
    assert fetched is not None
    assert (fetched.data, fetched.validator) == (b"ok", "")


async def test_a_compressed_manifest_is_read_and_its_limit_is_that_of_the_text(world: World) -> None:
    text = b"#EXTM3U\n" * 500
    world.handler = answering(body=gzip.compress(text), Content_Encoding="gzip")
    assert await world.body(limit=len(text)) == text
    with pytest.raises(OriginTooLargeError, match="sent more than"):
        await world.get(limit=len(text) - 1)


async def test_a_compression_bomb_is_given_up(world: World) -> None:
    world.handler = answering(body=gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")
    with pytest.raises(OriginTooLargeError):
        await world.get(limit=100_000)


async def test_no_cookie_of_the_origin_is_kept(world: World) -> None:
    world.handler = answering(Set_Cookie="id=1; Path=/")
    await world.get()
    await world.get()
    assert "Cookie" not in world.requests[1].headers


async def test_proxies_of_the_environment_are_not_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", world.stranger)
    assert await world.body() == BODY
    assert world.strangers == 0
