"""What the listener adds to HTTP parsing: deadlines, refusals, the number of connections, draining, TLS."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import pytest
import uvloop
from aiohttp import web

from relay.edge.connection import reset
from relay.errors import ConfigError
from relay.listener import MAX_HEAD, Limits, Listener, bind, open_listener, tls_context
from relay.units import Address
from tests.certificate import write_certificate
from tests.wire import Wire, wire

GET = b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
QUICK = Limits(head_timeout=0.2)
BIG = 32 << 20


class App:
    """Handlers of the kinds a relay has. ``let_go`` ends the held ones; ``held`` says that one has begun."""

    def __init__(self) -> None:
        self.let_go, self.held, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.transports: list[asyncio.Transport] = []
        self.application = web.Application(client_max_size=64 * 1024)
        self.application.router.add_get("/ok", self._ok)
        self.application.router.add_get("/hold", self._hold)
        self.application.router.add_get("/events", self._events)
        self.application.router.add_get("/big", self._big)
        self.application.router.add_post("/echo", self._echo)
        self.application.router.add_post("/deaf", self._ok)
        self.application.router.add_get("/broken", self._broken)

    async def _ok(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _hold(self, _: web.Request) -> web.Response:
        self.held.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return web.Response(text="held")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        await response.prepare(request)
        await response.write(b": alive\n\n")
        await self.let_go.wait()
        return response

    async def _big(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.transports.append(request.transport)
        return web.Response(body=bytes(BIG))

    async def _echo(self, request: web.Request) -> web.Response:
        self.held.set()
        return web.Response(body=await request.read())

    async def _broken(self, _: web.Request) -> NoReturn:
        raise ValueError("secret")


@asynccontextmanager
async def listening(
    limits: Limits = QUICK, drain_s: float = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Listener, App]]:
    app = App()
    listener = await open_listener(app.application, bind(Address("127.0.0.1:0")), limits, tls)
    try:
        yield listener, app
    finally:
        await listener.close(drain_s)


async def answers_ok(on: Wire) -> None:
    await on.send(GET)
    reply = await on.reply()
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"ok")


@pytest.mark.parametrize("said", [b"", GET], ids=["a first head", "a later head"])
async def test_a_head_that_does_not_end_is_refused_in_time(said: bytes) -> None:
    async with listening() as (listener, _), wire(listener.address) as peer:
        if said:
            await answers_ok(peer)
        started = time.perf_counter()

        async def drip() -> None:
            for byte in b"GET / HTTP/1.1\r\nX-Secret: " + b"a" * 1000:
                await peer.send(bytes([byte]))
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        reply = await peer.reply()
        assert reply is not None
        assert (reply.status, reply.body, reply.closes) == (408, b"request_timeout\n", True)
        assert 0.15 < time.perf_counter() - started < 1
        assert await peer.closed()
        dripping.cancel()


async def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    async with listening() as (listener, _), wire(listener.address) as peer:
        started = time.perf_counter()
        assert await peer.closed()
        assert 0.15 < time.perf_counter() - started < 1


async def test_between_requests_a_connection_may_rest_for_longer_than_a_head_takes() -> None:
    async with listening() as (listener, _), wire(listener.address) as peer:
        await answers_ok(peer)
        await asyncio.sleep(0.4)
        await answers_ok(peer)


async def test_half_a_head_behind_a_running_request_waits_for_its_answer() -> None:
    async with listening() as (listener, app), wire(listener.address) as peer:
        await peer.send(GET.replace(b"ok", b"hold"))
        await app.held.wait()
        await peer.send(b"GET /o")
        await asyncio.sleep(0.4)
        app.let_go.set()
        assert [reply.status for reply in await peer.replies()] == [200, 408]


async def test_a_body_that_stalls_is_refused_in_time() -> None:
    async with listening() as (listener, _), wire(listener.address) as peer:
        await peer.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsecret")
        (reply,) = await peer.replies()
        assert (reply.status, reply.closes) == (408, True)
        assert b"secret" not in reply.body


async def test_a_body_that_trickles_is_refused_and_a_slow_one_is_not() -> None:
    async with listening() as (listener, _):
        async with wire(listener.address) as slow:
            await slow.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n")
            for _ in range(6):
                await slow.send(bytes(10_000))
                await asyncio.sleep(0.08)
            reply = await slow.reply()
            assert reply is not None
            assert len(reply.body) == 60_000
            await answers_ok(slow)
        async with wire(listener.address) as trickle:
            await trickle.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n")
            for _ in range(2):
                await trickle.send(bytes(100))
                await asyncio.sleep(0.08)
            assert [reply.status for reply in await trickle.replies()] == [408]


async def test_a_body_that_nobody_reads_does_not_hold_the_connection() -> None:
    async with listening() as (listener, _), wire(listener.address) as peer:
        await peer.send(b"POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        assert [reply.status for reply in await peer.replies()] == [200]


async def test_a_malformed_body_is_refused_to_whoever_reads_it() -> None:
    async with listening(Limits()) as (listener, app), wire(listener.address) as peer:
        await peer.send(CHUNKED.replace(b"ok", b"echo"))
        await app.held.wait()
        await peer.send(b"zz\r\n" + GET)
        (reply,) = await peer.replies()
        assert (reply.status, reply.closes) == (400, True)


async def test_a_malformed_body_is_not_answered_twice() -> None:
    async with listening(Limits()) as (listener, _), wire(listener.address) as peer:
        await peer.send(CHUNKED.replace(b"ok", b"deaf"))
        reply = await peer.reply()
        assert reply is not None
        assert reply.status == 200
        await peer.send(b"zz\r\n" + GET)
        assert await peer.closed()


@pytest.mark.parametrize(
    ("head", "status", "reason"),
    [
        (b"\x16\x03\x01\x02\x00secret\r\n\r\n", 400, b"request_malformed\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nsec ret: 1\r\n\r\n", 400, b"request_malformed\n"),
        (b"GET /" + b"secret" * 4000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, b"request_too_large\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"secret" * 4000 + b"\r\n\r\n", 431, b"request_too_large\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: secret\r\n" * 200 + b"\r\n", 400, b"request_malformed\n"),
    ],
    ids=["TLS", "field name", "line", "field", "fields"],
)
async def test_what_the_parser_refuses_is_answered_shortly_and_without_its_bytes(
    head: bytes, status: int, reason: bytes
) -> None:
    async with listening() as (listener, _), wire(listener.address) as peer:
        await peer.send(head + GET)
        (reply,) = await peer.replies()
        assert (reply.status, reply.body, reply.closes) == (status, reason, True)
        assert reply.headers["access-control-allow-origin"] == "*"
        assert reply.headers["cache-control"] == "no-store"
        assert "secret" not in str(reply.headers)


async def test_a_head_over_the_limit_is_refused_before_it_ends() -> None:
    async with listening(Limits()) as (listener, _), wire(listener.address) as peer:
        await peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for number in range(4 * MAX_HEAD // 4096):
            await peer.send(b"X-%d: " % number + b"a" * 4096 + b"\r\n")
            await asyncio.sleep(0)
        (reply,) = await peer.replies()
        assert reply.status == 431


async def test_an_unanswerable_request_says_nothing_of_why(caplog: pytest.LogCaptureFixture) -> None:
    async with listening() as (listener, _), wire(listener.address) as peer:
        await peer.send(GET.replace(b"ok", b"broken"))
        (reply,) = await peer.replies()
        assert (reply.status, reply.body) == (500, b"internal\n")
    assert "unanswered" in caplog.text


@pytest.mark.parametrize("method", [b"GET /ok", b"CONNECT a:1"], ids=["upgrade", "connect"])
async def test_what_follows_an_upgrade_is_never_taken_for_a_request(method: bytes) -> None:
    async with listening() as (listener, _), wire(listener.address) as peer:
        await peer.send(method + b" HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" + GET)
        (reply,) = await peer.replies()
        assert reply.closes


async def test_connections_over_the_limit_are_turned_away_and_places_come_free() -> None:
    async with listening(Limits(max_connections=2)) as (listener, _):
        async with wire(listener.address) as first, wire(listener.address) as second:
            await answers_ok(first)
            await answers_ok(second)
            async with wire(listener.address) as third:
                reply = await third.reply()
                assert reply is not None
                assert (reply.status, reply.closes, reply.headers["retry-after"]) == (503, True, "1")
                assert await third.closed()
            await answers_ok(first)
        await asyncio.sleep(0.05)
        async with wire(listener.address) as later:
            await answers_ok(later)


async def test_draining_answers_what_is_under_way_and_what_still_comes() -> None:
    async with (
        listening(Limits()) as (listener, app),
        wire(listener.address) as busy,
        wire(listener.address) as idle,
        wire(listener.address) as late,
    ):
        await answers_ok(idle)
        await answers_ok(late)
        await busy.send(GET.replace(b"ok", b"hold") + GET)
        await app.held.wait()
        closing = asyncio.create_task(listener.close(5))
        await asyncio.sleep(0.1)
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(*listener.address)
        await late.send(GET)
        (reply,) = await late.replies()
        assert (reply.status, reply.closes) == (200, True)
        assert await idle.closed()
        assert not closing.done()
        app.let_go.set()
        held, after = await busy.replies()
        assert (held.body, held.closes, after.body, after.closes) == (b"held", False, b"ok", True)
        async with asyncio.timeout(1):
            await closing


async def test_draining_cuts_what_does_not_end_in_time() -> None:
    async with listening(Limits()) as (listener, app), wire(listener.address) as busy:
        await busy.send(GET.replace(b"ok", b"hold"))
        await app.held.wait()
        started = time.perf_counter()
        await listener.close(0.3)
        assert 0.25 < time.perf_counter() - started < 1
        assert app.cancelled.is_set()
        assert await busy.closed()


async def test_draining_does_not_wait_for_an_event_stream() -> None:
    async with listening(Limits()) as (listener, _), wire(listener.address) as peer:
        await peer.send(GET.replace(b"ok", b"events"))
        await peer.reader.readuntil(b"alive")
        started = time.perf_counter()
        await listener.close(5)
        assert time.perf_counter() - started < 1


def test_an_address_in_use_is_a_configuration_error() -> None:
    with bind(Address("127.0.0.1:0")) as taken, pytest.raises(ConfigError, match="cannot listen on 127"):
        bind(Address(f"127.0.0.1:{taken.getsockname()[1]}"))
    with pytest.raises(ConfigError, match="cannot listen on nowhere"):
        bind(Address("nowhere.invalid:80"))


def test_sockets_that_reuse_a_port_share_it() -> None:
    with (
        bind(Address("127.0.0.1:0"), reuse_port=True) as first,
        bind(Address(f"127.0.0.1:{first.getsockname()[1]}"), reuse_port=True) as second,
    ):
        assert first.getsockname() == second.getsockname()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    folder = tmp_path_factory.mktemp("tls")
    write_certificate(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", folder / "key.pem"


def trusting(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_over_tls_a_reset_drops_what_is_queued(
    loop: Callable[[], asyncio.AbstractEventLoop], certificate: tuple[Path, Path]
) -> None:
    """What a revocation does to a slow reader's response: no byte more than the peer's own kernel holds."""

    async def scenario() -> None:
        async with (
            listening(Limits(), tls=tls_context(*certificate)) as (listener, app),
            wire(listener.address, trusting(certificate[0])) as peer,
        ):
            assert peer.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            await answers_ok(peer)
            await peer.send(GET.replace(b"ok", b"big"))
            received = len(await peer.reader.read(100_000))
            await asyncio.sleep(0.2)
            (transport,) = app.transports
            reset(transport)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                async with asyncio.timeout(5):
                    while piece := await peer.reader.read(1 << 20):
                        received += len(piece)
            assert 0 < received < BIG / 2

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


async def test_old_tls_is_refused(certificate: tuple[Path, Path]) -> None:
    async with listening(Limits(), tls=tls_context(*certificate)) as (listener, _):
        old = trusting(certificate[0])
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(*listener.address, ssl=old)


async def test_a_handshake_that_does_not_end_is_given_up(certificate: tuple[Path, Path]) -> None:
    async with listening(tls=tls_context(*certificate)) as (listener, _), wire(listener.address) as peer:
        await peer.send(b"\x16\x03\x01")
        assert await peer.closed()


def test_a_certificate_that_cannot_be_used_is_a_configuration_error(certificate: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        tls_context(certificate[0], Path("missing.pem"))
    with pytest.raises(ConfigError, match="not a certificate with its key"):
        tls_context(certificate[1], certificate[1])
