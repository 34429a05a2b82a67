"""Who asks, and for what: the part that every session request has in common.

A request is gated before anything is done for it, stands in the registry of open responses from then
until its last byte, and is gated again if revocations came while it was being prepared.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from aiohttp import web

from relay.edge.respond import Answer, send
from relay.gate.gate import Visitor
from relay.model import ManifestClass
from relay.node import NODE, Node
from relay.problems import denied
from relay.streams import Stream
from relay.telemetry.metrics import SERVED
from relay.verdict import Deny, Reason

_log = structlog.get_logger()
COOKIE = "segmentgate"
QUERY = "token"


@dataclass(frozen=True, slots=True)
class Visit:
    """One gated request. ``rest`` and ``query`` are raw: the path below the class folder, and what follows it."""

    node: Node
    stream: Stream
    visitor: Visitor
    cls: ManifestClass
    rest: str
    query: str


Result = Answer | Deny | web.StreamResponse


async def serve(
    request: web.Request, visit: Visit, work: Callable[[], Awaitable[Result]], kind: str
) -> web.StreamResponse:
    """Do the work for a gated request and send what it gives; ``kind`` is what the metrics call it."""
    node = visit.node
    task, transport = asyncio.current_task(), request.transport

    def cut() -> None:
        if transport:
            reset(transport)
        if task:
            task.cancel()

    with node.open_responses.holding(visit.visitor, cut):
        version = node.gate.revocation_version
        result = await work()
        if node.gate.revocation_version != version:
            again = node.gate.recheck(visit.visitor, visit.stream.name, node.clock())
            result = again if isinstance(again, Deny) else result
        if isinstance(result, Deny):
            return denied(request, result)
        SERVED.labels(kind).inc()
        return result if isinstance(result, web.StreamResponse) else await send(request, result)


def reset(transport: asyncio.Transport) -> None:
    """Break a connection so that nothing queued for it is sent any more, not even by the kernel.

    A plain close would still deliver megabytes from the socket's send buffer; a zero linger time drops
    them and resets the connection.
    """
    try:
        connection = transport.get_extra_info("socket")
        if connection is not None and not transport.is_closing():
            with socket.socket(fileno=os.dup(connection.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        # No descriptor to spare: a plain abort still drops what this process holds.
        _log.warning("cut_without_reset")
    finally:
        transport.abort()


def visit_of(request: web.Request) -> Visit | Deny:
    """Gate a request of ``/p/{pass}/…`` or, with a token on each request, ``/t/…``."""
    node = request.app[NODE]
    match = request.match_info
    stream = node.stream(match["stream"])
    if "pass" in match:
        visitor = node.gate.visit(match["pass"], stream.name, node.clock())
    else:
        token = platform_token(request)
        visitor = token if isinstance(token, Deny) else node.gate.admit(token, stream.name, node.clock())
    if isinstance(visitor, Deny):
        return visitor
    cls = ManifestClass.parse(match["cls"])
    stream.check_class(cls)
    refused = node.gate.may_have(visitor, cls.ceiling)
    if refused:
        return refused
    # The raw text: URLs are compared as minted, not as a framework decoded them.
    path, _, query = request.raw_path.partition("?")
    rest = path.split("/", 5 if "pass" in match else 4)[-1]
    return Visit(node, stream, visitor, cls, rest, query)


def platform_token(request: web.Request) -> str | Deny:
    """The platform's token from header, cookie or query; the same one twice is fine, two are not."""
    found = set()
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials:
        found.add(credentials.strip())
    found.update(request.query.getall(QUERY, []))
    if COOKIE in request.cookies:
        found.add(request.cookies[COOKIE])
    if not found:
        return Deny(Reason.TOKEN_MISSING, f"send a token as Bearer, cookie {COOKIE} or query {QUERY}")
    if len(found) > 1:
        return Deny(Reason.TOKEN_CONFLICT, "two different tokens in one request")
    return found.pop()
