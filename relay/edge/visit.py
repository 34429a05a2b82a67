"""Who asks, and for what: the part that every session request has in common.

A request is gated before anything is done for it, stands in the registry of open responses from then
until its last byte, and is gated again if revocations came while it was being prepared.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from aiohttp import web

from relay.edge.admission import admit, renewal_headers
from relay.edge.connection import discard_when_sent, reset
from relay.edge.facts import bare_path, client_address, client_asn, facts_of
from relay.edge.possession import check_possession
from relay.edge.respond import Answer, send
from relay.gate.gate import FactsOf, Visitor
from relay.model import ManifestClass
from relay.node import NODE, Node
from relay.problems import denied
from relay.sessions.open_responses import OpenResponse
from relay.streams import Stream
from relay.telemetry.metrics import SERVED
from relay.verdict import Deny


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

    @property
    def current(self) -> "Visit":
        """The same of the stream as it is now. Raises :class:`relay.errors.UnknownStreamError`."""
        stream = self.node.stream(self.stream.name)
        return self if stream is self.stream else replace(self, stream=stream)

    async def caught_up(self) -> "Visit":
        """The same of the stream as it is once it is known where that stands: to be asked for right before keys are.

        What a request waited for may have outlasted a change of policy. Raises the :class:`relay.errors.OriginError`
        family, and :class:`relay.errors.UnknownStreamError`.
        """
        await self.node.manifests.ensure_timeline(self.stream)
        return self.current


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

    entry = OpenResponse(visit.visitor, visit.facts, cut)
    node.open_responses.add(entry)
    try:
        version = node.gate.revocation_version
        result = await work()
        if node.gate.revocation_version != version:
            result = node.gate.recheck(visit.visitor, visit.facts, node.clock()) or result
        if isinstance(result, Deny):
            return denied(request, result)
        if kind != "segment":
            edge = node.config.edge
            note_presence(visit, client_address(edge, request), client_asn(edge, request))
        if visit.renewed:
            result = _with_headers(result, visit.renewed)
        SERVED.labels(kind).inc()
        if isinstance(result, Answer):
            return await send(request, result)
        # Sent here, while it can still be cut.
        await result.prepare(request)
        await result.write_eof()
        return result
    finally:
        task = None
        discard_when_sent(node.open_responses, entry, transport)


def unproven(request: web.Request, visit: Visit) -> Deny | None:
    """Whether a request for keys lacks the proof of possession its session is bound to (RFC 9449).

    With a token it was asked for already, and a proof holds once.
    """
    if "pass" not in request.match_info:
        return None
    return check_possession(request, visit.visitor, visit.facts())


def note_presence(visit: Visit, address: str, asn: int) -> None:
    """Note that a session is live, and the signs of sharing that a request from there gives."""
    node = visit.node
    signals = node.presence.seen(visit.visitor, node.clock(), address, asn)
    if signals:
        node.signals.note(signals)


def _with_headers(result: Answer | web.StreamResponse, headers: Mapping[str, str]) -> Answer | web.StreamResponse:
    if isinstance(result, Answer):
        return replace(result, headers={**result.headers, **headers})
    result.headers.update(headers)
    return result


def visit_of(request: web.Request) -> Visit | Deny:
    """Gate a request of ``/p/{pass}/…`` or, with a token on each request, ``/t/…``.

    Who is bound to a key has to prove it with a token, and by pass for keys: see :func:`unproven`.
    """
    node = request.app[NODE]
    match = request.match_info
    stream = node.stream(match["stream"])
    facts = partial(facts_of, node.config.edge, request)
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
    path, query = bare_path(request)
    rest = path.split("/", 5 if "pass" in match else 4)[-1]
    return Visit(node, stream, visitor, facts, cls, rest, query, renewed)
