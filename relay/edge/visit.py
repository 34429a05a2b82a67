"""Who asks, and for what: the part that every session request has in common.

A request is gated before anything is done for it, stands in the registry of open responses from then
until its last byte, and is gated again if revocations came while it was being prepared.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
from aiohttp import web

from relay.edge.admission import admit, renewal_headers
from relay.edge.facts import client_address, client_asn, facts_of
from relay.edge.respond import Answer, send
from relay.gate.gate import FactsOf, Visitor
from relay.model import ManifestClass
from relay.node import NODE, Node
from relay.problems import denied
from relay.streams import Stream
from relay.telemetry.metrics import SERVED
from relay.verdict import Deny

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Visit:
    """One gated request. ``rest`` and ``query`` are raw: the path below the class folder, and what follows it.

    ``renewed`` are headers that bring a renewed token to a client that sends one with each request.
    """

    node: Node
    stream: Stream
    visitor: Visitor
    facts: FactsOf
    cls: ManifestClass
    rest: str
    query: str
    renewed: Mapping[str, str] = field(default_factory=dict)


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

    with node.open_responses.holding(visit.visitor, visit.facts, cut):
        version = node.gate.revocation_version
        result = await work()
        if node.gate.revocation_version != version:
            result = node.gate.recheck(visit.visitor, visit.facts, node.clock()) or result
        if isinstance(result, Deny):
            return denied(request, result)
        note_presence(request, visit)
        if visit.renewed:
            result = _with_headers(result, visit.renewed)
        SERVED.labels(kind).inc()
        return result if isinstance(result, web.StreamResponse) else await send(request, result)


def unproven(request: web.Request, visit: Visit) -> Deny | None:
    """Whether a request for keys lacks the proof of possession its session is bound to (RFC 9449).

    With a token it was asked for already, and a proof holds once.
    """
    if "pass" not in request.match_info:
        return None
    return visit.node.gate.check_possession(visit.visitor, visit.facts(), visit.node.clock())


def note_presence(request: web.Request, visit: Visit) -> None:
    """Note that a session is live, and the signs of sharing that its request gives."""
    node = visit.node
    signals = node.presence.seen(visit.visitor, node.clock(), client_address(request), client_asn(request))
    if signals:
        node.signals.note(signals)


def _with_headers(result: Answer | web.StreamResponse, headers: Mapping[str, str]) -> Answer | web.StreamResponse:
    if isinstance(result, Answer):
        return replace(result, headers={**result.headers, **headers})
    result.headers.update(headers)
    return result


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
    """Gate a request of ``/p/{pass}/…`` or, with a token on each request, ``/t/…``.

    Who is bound to a key has to prove it with a token, and by pass for keys: see :func:`unproven`.
    """
    node = request.app[NODE]
    match = request.match_info
    stream = node.stream(match["stream"])
    facts = partial(facts_of, request)
    renewed: Mapping[str, str] = {}
    if "pass" in match:
        visitor = node.gate.visit(match["pass"], stream.name, facts, node.clock())
    else:
        admission = admit(request, stream)
        if isinstance(admission, Deny):
            return admission
        visitor, renewed = admission.visitor, renewal_headers(request, admission)
    if isinstance(visitor, Deny):
        return visitor
    gone = node.leases.refused(visitor, node.clock())
    if gone:
        return gone
    cls = ManifestClass.parse(match["cls"])
    stream.check_class(cls)
    refused = node.gate.may_have(visitor, cls.ceiling)
    if refused:
        return refused
    # The raw text: URLs are compared as minted, not as a framework decoded them.
    path, _, query = request.raw_path.partition("?")
    rest = path.split("/", 5 if "pass" in match else 4)[-1]
    return Visit(node, stream, visitor, facts, cls, rest, query, renewed)
