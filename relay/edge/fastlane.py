"""The fast lane: requests whose answer is at hand are answered straight from the parser.

It stands behind aiohttp's C parser (see :class:`relay.listener.Connection`) and asks the same gate, the same grants
and the same records as the ordinary path; what it saves are the task, the request and the response objects. Nothing
is put down before it is certain of its answer. Whatever it does not know at a glance takes the ordinary path, which
answers in the same bytes.
"""

from functools import partial

from aiohttp import hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from keys.errors import LicenceRequestError
from keys.licences.detect import JSON_TYPE, DrmSystem, Shape, detect
from relay.edge.clear_key import granted_in_clear, kids_asked_for, made_before
from relay.edge.connection import discard_when_sent, reset, unsent
from relay.edge.cors import ANYBODY, READABLE
from relay.edge.facts import client_address, client_asn, facts_of, peer_address
from relay.edge.licensed import note_in_clear
from relay.edge.respond import SECRET
from relay.edge.visit import Visit, note_presence
from relay.errors import RelayError
from relay.facts import Facts
from relay.links import LICENCE_PATH
from relay.listener import SERVER, Connection
from relay.model import ManifestClass
from relay.node import Node
from relay.sessions.open_responses import OpenResponse
from relay.telemetry.metrics import SERVED
from relay.verdict import Deny

_LICENCE = f"{LICENCE_PATH}?session="
_LICENCES = SERVED.labels("licence")
_HEAD = "\r\n".join(
    [
        "HTTP/1.1 200 OK",
        *(f"{name}: {value}" for name, value in SECRET.items()),
        f"Content-Type: {JSON_TYPE}",
        "Content-Length: %d",
        "Date: %s",
        f"Server: {SERVER}",
        *(f"{name}: {value}" for name, value in {**READABLE, **ANYBODY}.items()),
        "\r\n",
    ]
)


class FastLane:
    """Answers Clear Key challenges that come with a session URL of a manifest."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __call__(self, message: RawRequestMessage, payload: StreamReader, body: bytes, connection: Connection) -> bool:
        """Answer a request that is there whole, or say that it has to take the ordinary path."""
        if message.method != hdrs.METH_POST or not message.path.startswith(_LICENCE):
            return False
        try:
            return self._licence(message, payload, body, connection)
        except (RelayError, LicenceRequestError):
            return False

    def _licence(self, message: RawRequestMessage, payload: StreamReader, body: bytes, connection: Connection) -> bool:
        node, headers, edge = self._node, message.headers, self._node.config.edge
        parts = message.path.removeprefix(_LICENCE).split("/")
        if len(parts) != 3 or len(body) > edge.max_challenge or _is_special(message, edge.credentialed_origins):
            return False
        text, name, cls = parts
        stream, now = node.stream(name), node.clock()
        detected = detect(body, headers.get(hdrs.CONTENT_TYPE, ""))
        if detected.system is not DrmSystem.CLEARKEY or detected.wrapping.shape is not Shape.RAW:
            return False

        def request() -> web.BaseRequest:
            return connection.request_of(message, payload)

        def facts() -> Facts:
            return facts_of(edge, request())

        visitor = node.gate.visit(text, name, facts, now)
        if isinstance(visitor, Deny) or visitor.session.bounds.proof_key:
            return False
        if node.leases.refused(visitor, now) or stream.timeline.stale(now):
            return False
        visit = Visit(node, stream, visitor, facts, ManifestClass.parse(cls), "", "")
        granted = granted_in_clear(visit, kids_asked_for(detected.challenge))
        licence = made_before(granted)
        if licence is None:
            return False
        note_in_clear(visit, DrmSystem.CLEARKEY, granted)
        if edge.trusted_proxies:
            asked = request()
            note_presence(visit, client_address(edge, asked), client_asn(edge, asked))
        else:
            note_presence(visit, peer_address(connection.remote), 0)
        _LICENCES.inc()
        _send(visit, connection, (_HEAD % (len(licence), rfc822_formatted_time())).encode() + licence)
        return True


def _is_special(message: RawRequestMessage, credentialed: tuple[str, ...]) -> bool:
    """Whether there is more to a request, or to its answer, than to a plain one."""
    headers = message.headers
    return (
        "%" in message.path
        or "&" in message.path
        or "+" in message.path
        or "#" in message.path
        or "SOAPAction" in headers
        or hdrs.EXPECT in headers
        or (bool(credentialed) and headers.get(hdrs.ORIGIN) in credentialed)
    )


def _send(visit: Visit, connection: Connection, answer: bytes) -> None:
    transport = connection.transport
    assert transport is not None
    transport.write(answer)
    if unsent(transport):
        # Not all of it has left: until then it can be cut.
        entry = OpenResponse(visit.visitor, visit.facts, partial(reset, transport))
        visit.node.open_responses.add(entry)
        discard_when_sent(visit.node.open_responses, entry, transport)
