"""A listening socket and its connections: how long a peer may take, how many there may be, how they end.

HTTP is framed by aiohttp's C parser; this adds what the parser does not judge. A head that does not come to
its end in time, a body that stalls and a peer beyond the limit are refused (RFC 9112 §9.5, RFC 6585 §5); a
request that the parser refused is answered without a byte of it. After any of these, and after an upgrade
that nobody takes up, nothing more of the connection is read: where the next request would begin is unknown.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol, cast

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from aiohttp.web_server import Server

from relay.errors import ConfigError
from relay.telemetry.metrics import FAILED
from relay.units import Address

MAX_REQUEST_LINE = 16 * 1024
"""Passes and signed URLs together are longer than aiohttp's own limit."""
MAX_HEAD = 64 * 1024
"""A whole request head. Met by the peer's reads, so one read more than this may be held."""
MIN_BODY_PROGRESS = 16 * 1024
"""Bytes of a body that must come in each head timeout, if it is not complete by then."""
SERVER = "segmentgate"
LAST_CALL_S = 1.0
"""How long an idle connection stays while draining: a request may be on its way."""
LINGER_S = 2.0
"""How long a peer may go on sending what is no longer read."""
BACKLOG = 1024
"""Connections the kernel holds until they are accepted; Linux caps it at net.core.somaxconn."""

_POLL_S = 0.02
_REFUSED = {
    HTTPStatus.BAD_REQUEST: "request_malformed",
    HTTPStatus.REQUEST_TIMEOUT: "request_timeout",
    HTTPStatus.REQUEST_URI_TOO_LONG: "request_too_large",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "request_too_large",
    HTTPStatus.SERVICE_UNAVAILABLE: "overload",
}
_HEADERS = {
    # Without it a browser shows the page status 0, which players retry for ever.
    "Access-Control-Allow-Origin": "*",
    "Cache-Control": "no-store",
    "Connection": "close",
    "Server": SERVER,
}
_OVERLOAD = "\r\n".join(
    [
        "HTTP/1.1 503 Service Unavailable",
        *(f"{name}: {value}" for name, value in _HEADERS.items()),
        "Content-Type: text/plain; charset=utf-8",
        "Content-Length: 9",
        "Retry-After: 1",
        "",
        "overload\n",
    ]
).encode()


@dataclass(frozen=True, slots=True)
class Limits:
    """What peers may take. ``head_timeout`` in seconds, from the connection or from a head's first byte."""

    head_timeout: float = 10.0
    max_connections: int = 10_000


class Lane(Protocol):
    """Answers some requests at once, before they take the ordinary path through tasks and handlers."""

    def __call__(
        self, message: RawRequestMessage, payload: StreamReader, body: bytes, connection: "Connection"
    ) -> bool:
        """Answer a request that is there whole, or leave it untouched and say that it was not answered."""


class Connection(RequestHandler):
    """One connection of a peer, whose address is ``remote``.

    Its timer runs while a head or a body is awaited. Of one that is ``_deaf`` nothing more is read, of one that
    ``_upgrades`` no further request; both end after the last answer that is due.
    """

    __slots__ = (
        "_body", "_body_bytes", "_deaf", "_head_bytes", "_listener", "_timer", "_upgrades", "endless", "remote",
    )  # fmt: skip

    def __init__(self, listener: "_Connections", **settings: Any) -> None:
        super().__init__(listener, **settings)
        self._listener = listener
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._body: StreamReader | None = None
        self._body_bytes = 0
        self._deaf = False
        self._upgrades = False
        self.endless = False
        self.remote = ""

    @property
    def last_answer(self) -> bool:
        """Whether nothing more is answered after the request being answered now."""
        return (self._deaf or self._upgrades or self._listener.draining) and not self._messages

    def idle_s(self) -> float:
        """Seconds since the last answer; 0 while a request comes in or is answered."""
        if self._head_bytes or self._waiter is None or self._waiter.done():
            return 0.0
        return self._loop.time() - (self._next_keepalive_close_time - self._keepalive_timeout)

    def end(self) -> None:
        """Close it when what was written is sent."""
        if self.transport is not None:
            self.transport.close()

    def cut(self) -> None:
        """Close it and drop what was written but not sent."""
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or tell the peer that there are too many."""
        if self._listener.full:
            self._deaf = True
            FAILED.labels(_REFUSED[HTTPStatus.SERVICE_UNAVAILABLE]).inc()
            # Unparsed and unread: a crowd at the door must cost next to nothing.
            peer = cast(asyncio.Transport, transport)
            peer.write(_OVERLOAD)
            peer.close()
            return
        super().connection_made(transport)
        peer_name = self.peername
        self.remote = str(peer_name[0] if isinstance(peer_name, tuple) else peer_name or "")
        self._await(self._head_due)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        self._await(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand bytes to the parser and see what became of them."""
        in_body = self._body is not None and not self._body.is_eof()
        if self._deaf or (self._upgrades and not in_body):
            return
        seen = self._request_count
        waiter = self._waiter if self._listener.lane is not None else None
        if waiter is not None:
            # Whoever waits for requests is not woken before the lane has seen this one.
            self._waiter = None
        super().data_received(data)
        if waiter is not None:
            self._waiter = waiter
        # Kept for the protocol upgraded to, of which there is none; else read as requests after the answer.
        self._message_tail = b""
        if self._request_count > seen:
            self._heads_read(self._request_count - seen, in_body)
        elif in_body:
            self._body_bytes += len(data)
        elif data:
            if not self._head_bytes:
                self._await(self._head_due)
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._refuse(_ErrInfo(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, ValueError(), ""))
        if waiter is not None and self._messages and not waiter.done() and not self._answered_at_once():
            waiter.set_result(None)

    def _answered_at_once(self) -> bool:
        """Whether the lane has answered the one request that is there."""
        message, payload = self._messages[0]
        transport = self.transport
        if (
            len(self._messages) != 1
            or isinstance(message, _ErrInfo)
            or message.version != HttpVersion11
            or message.should_close
            or message.chunked
            or not payload.is_eof()
            or self._deaf
            or self._upgrades
            or self._listener.draining
            or transport is None
            or transport.is_closing()
            # Whoever does not take his answers waits on the ordinary path for room.
            or transport.get_write_buffer_size()
        ):
            return False
        body = b"" if payload is EMPTY_PAYLOAD else b"".join(payload._buffer)  # noqa: SLF001 - reading would take it
        assert self._listener.lane is not None
        if not self._listener.lane(message, payload, body, self):
            return False
        self._messages.clear()
        if self._parser is not None:
            self._parser.message_consumed()
        self._listener.requests_count += 1
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        return True

    def request_of(self, message: RawRequestMessage, payload: StreamReader) -> web.BaseRequest:
        """A request to look at, for a lane."""
        # None once the peer has left, whose answers may still be looked for; nothing asks a lane's request for it.
        task = cast("asyncio.Task[None]", self._task_handler)
        return web.BaseRequest(message, payload, self, StreamWriter(self, self._loop), task, self._loop)

    def _heads_read(self, count: int, in_body: bool) -> None:
        self._head_bytes = self._body_bytes = 0
        for last in range(count, 0, -1):
            if _is_misframed(self._messages[-last][0]):
                for _ in range(last):
                    self._messages.pop()
                self._refuse(_ErrInfo(HTTPStatus.BAD_REQUEST, ValueError(), ""))
                return
        message, body = self._messages[-1]
        if isinstance(message, _ErrInfo) and in_body:
            # Not another request: the parser gave up on the body of the one before, and told nobody who waits.
            self._messages.pop()
            self._fail_body(web.HTTPBadRequest())
            return
        if isinstance(message, _ErrInfo):
            self._messages.pop()
            self._refuse(message)
            return
        self._upgrades = bool(message.upgrade)
        self._body = body
        self._await(None if self._deaf or body.is_eof() else self._body_due)

    def _head_due(self) -> None:
        if self._buffer_paused or self._reading_paused:
            self._await(self._head_due)
        elif not self._head_bytes:
            # A browser's connection in reserve: an answer that nobody asked for would only confuse it.
            self.force_close()
        else:
            self._refuse(_ErrInfo(HTTPStatus.REQUEST_TIMEOUT, TimeoutError(), ""))

    def _body_due(self) -> None:
        if self._body is None or self._body.is_eof():
            self._timer = None
        elif self._buffer_paused or self._reading_paused or self._body_bytes >= MIN_BODY_PROGRESS:
            self._body_bytes = 0
            self._await(self._body_due)
        else:
            self._fail_body(web.HTTPRequestTimeout())

    def _await(self, due: Callable[[], None] | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._listener.limits.head_timeout, due) if due else None

    def _refuse(self, error: _ErrInfo) -> None:
        """Answer so after what was asked before, and end."""
        self._await(None)
        self._deaf = True
        # A body without an end: to close while the peer still sends would reset the connection, and he might lose
        # the answer (RFC 9112 §9.6). So what he sends is thrown away for LINGER_S, or until he closes.
        self._messages.append((error, StreamReader(self, 0, loop=self._loop)))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail_body(self, answer: web.HTTPException) -> None:
        """Let whoever reads the body raise this, unless the request was answered without, and end."""
        self._await(None)
        self._deaf = self._close = True
        if self._body is not None:
            self._body.set_exception(answer)
            self._body.feed_eof()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the rest of an answer; if it said that it was the last, end this side at once."""
        if isinstance(resp, web.HTTPExpectationFailed):
            # Raised before any handler of ours, and quoting the request.
            resp.text = "expectation_failed\n"
            resp.headers["Cache-Control"] = "no-store"
        done = await super().finish_response(request, resp, start_time)
        transport = self.transport
        if not resp.keep_alive and transport and not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()
        return done

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer where no handler gave one; of the request and the exception it shows nothing."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log_exception("unanswered", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        if isinstance(exc, LineTooLong):
            in_line = exc.args[1] == self.max_line_size
            status = HTTPStatus.REQUEST_URI_TOO_LONG if in_line else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        reason = _REFUSED.get(HTTPStatus(status), "internal")
        FAILED.labels(reason).inc()
        response = web.Response(status=status, text=f"{reason}\n", headers=_HEADERS)
        response.force_close()
        return response


class _Connections(Server):
    """Makes the connections of one listener and knows them all."""

    def __init__(self, app: Server, limits: Limits, lane: Lane | None, **settings: Any) -> None:
        super().__init__(
            app.request_handler,
            request_factory=app.request_factory,
            # A viewer who leaves takes his handler with him, and with it an origin fetch nobody else waits for.
            handler_cancellation=True,
        )
        self.limits = limits
        self.lane = lane
        self.draining = False
        self._settings = settings

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._settings)

    @property
    def full(self) -> bool:
        """Whether there are as many as there may be."""
        return len(self._connections) >= self.limits.max_connections

    @property
    def open(self) -> list[Connection]:
        """Those open now."""
        return [connection for connection in self._connections if isinstance(connection, Connection)]


class Listener:
    """An application behind a listening socket; made by :func:`open_listener`."""

    def __init__(self, runner: web.AppRunner, connections: _Connections, server: asyncio.AbstractServer, at: Any):
        self._runner = runner
        self._connections = connections
        self._server = server
        self.address: tuple[str, int] = at[:2]

    @property
    def limits(self) -> Limits:
        """What peers may take from now on."""
        return self._connections.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._connections.limits = limits

    async def close(self, drain_s: float) -> None:
        """Take no more connections, let those open end well for ``drain_s`` seconds, cut the rest.

        What comes in meanwhile is answered, and told to connect anew. An event stream has no end to wait for.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + drain_s
        self._server.close()
        self._connections.draining = True
        await self._runner.shutdown()
        while (connections := self._connections.open) and loop.time() < until:
            for connection in connections:
                if connection.endless or connection.idle_s() >= LAST_CALL_S:
                    connection.end()
            await asyncio.sleep(_POLL_S)
        for connection in self._connections.open:
            connection.cut()
        await self._connections.shutdown(1.0)
        await self._runner.cleanup()


def bind(address: Address, reuse_port: bool = False) -> socket.socket:
    """A listening socket. With ``reuse_port`` others of the same user may share it. Raises :class:`ConfigError`."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG, reuse_port=reuse_port)
    except OSError as err:
        raise ConfigError(f"cannot listen on {address}: {err.strerror}. Choose another address or port.") from None


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or later, HTTP/1.1 only. Both files are PEM. Raises :class:`ConfigError`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as err:
        reason = err.strerror if isinstance(err, FileNotFoundError) else "not a certificate with its key"
        raise ConfigError(f"{certificate}, {key}: {reason}. Give a PEM certificate chain and its PEM key.") from None
    return context


async def open_listener(
    app: web.Application,
    at: socket.socket,
    limits: Limits,
    tls: ssl.SSLContext | None = None,
    lane: Lane | None = None,
) -> Listener:
    """Serve an application on a bound socket, which the listener owns from now on.

    ``lane`` is asked first for every request that is read whole while none other waits.
    """
    app.on_response_prepare.append(_end_with)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    connections = _Connections(
        runner.server,
        limits,
        lane,
        access_log=None,
        max_line_size=MAX_REQUEST_LINE,
        lingering_time=LINGER_S,
        # What a client packed would unpack to any size; no client of ours packs.
        auto_decompress=False,
    )
    address = at.getsockname()
    server = await asyncio.get_running_loop().create_server(
        connections, sock=at, ssl=tls, backlog=BACKLOG, ssl_handshake_timeout=limits.head_timeout if tls else None
    )
    return Listener(runner, connections, server, address)


def _is_misframed(message: RawRequestMessage | _ErrInfo) -> bool:
    """Whether others could find another end of the request than the parser did (RFC 9112 §6.1).

    Chunks in HTTP/1.0, and codings below chunked, which it lets pass.
    """
    if isinstance(message, _ErrInfo) or not message.chunked:
        return False
    coding = message.headers[hdrs.TRANSFER_ENCODING]
    return message.version < HttpVersion11 or coding.lower() != "chunked"


async def _end_with(request: web.Request, response: web.StreamResponse) -> None:
    connection = request.protocol
    # Which software it is may be known; which version of what it builds on is nobody's business.
    response.headers["Server"] = SERVER
    if not isinstance(connection, Connection):
        return
    connection.endless = response.content_type == "text/event-stream"
    if connection.last_answer:
        response.force_close()
        response.headers["Connection"] = "close"
