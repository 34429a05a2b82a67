"""The fast lane: requests whose answer is at hand are answered straight from the parser.

It stands behind aiohttp's C parser (see :class:`relay.listener.Connection`) and asks the same gate, the same leases and
the same caches as the ordinary path; what it saves are the tasks, the request and the response objects. It changes
nothing before it is certain of its answer. Whatever it does not know at a glance takes the ordinary path, which
answers in the same bytes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import structlog
from aiohttp import hdrs
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
from relay.edge.marked import marked_at_hand, marking_of
from relay.edge.next_keys import next_keys_at_hand
from relay.edge.resources import may_play, note_played
from relay.edge.respond import MEDIA, SECRET, SLICE
from relay.edge.visit import Visit, note_presence
from relay.errors import RelayError
from relay.facts import Facts
from relay.links import LICENCE_PATH
from relay.listener import SERVER, Connection
from relay.model import ManifestClass
from relay.node import Node
from relay.sessions.open_responses import OpenResponse
from relay.telemetry.metrics import SERVED
from relay.urls import SegmentRef
from relay.verdict import Deny

_LICENCE = f"{LICENCE_PATH}?session="
_LICENCES, _SEGMENTS = SERVED.labels("licence"), SERVED.labels("segment")
_TAIL = "".join(f"{name}: {value}\r\n" for name, value in {"Server": SERVER, **READABLE, **ANYBODY}.items()) + "\r\n"
_ESCAPED = re.compile("[%+&]")
_CONDITIONAL = (hdrs.RANGE, hdrs.IF_NONE_MATCH, hdrs.IF_RANGE)
_log = structlog.get_logger()


class FastLane:
    """Answers requests for segments in memory, and Clear Key challenges, that come with the session in their URL."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __call__(self, message: RawRequestMessage, payload: StreamReader, body: bytes, connection: Connection) -> bool:
        """Answer a request that is there whole, or say that it has to take the ordinary path."""
        asked = _Asked(self._node, message, payload, connection)
        answer = None
        try:
            if message.method == hdrs.METH_GET and message.path.startswith("/p/"):
                answer = None if body else self._segment(asked)
            elif message.method == hdrs.METH_POST and message.path.startswith(_LICENCE):
                answer = self._licence(asked, body)
        except (RelayError, LicenceRequestError):
            # Told on the ordinary path.
            return False
        except Exception:
            # Let out, it would cost the peer his connection. Nothing was written yet.
            _log.exception("lane_failed")
            return False
        if answer is not None:
            asked.send(answer)
        return answer is not None

    def _segment(self, asked: "_Asked") -> "_Answer | None":
        node, headers = self._node, asked.message.headers
        path, _, query = asked.message.path.partition("?")
        parts = path.split("/", 5)
        if len(parts) != 6 or asked.is_special or any(name in headers for name in _CONDITIONAL):
            return None
        _, _, text, stream, cls, rest = parts
        visit = asked.visit(text, stream, cls, rest, query)
        if visit is None:
            return None
        visit.stream.check_class(visit.cls)
        if node.gate.may_have(visit.visitor, visit.cls.ceiling):
            return None
        ref, now = visit.stream.read_url(visit.cls, visit.rest, query), node.clock()
        if not isinstance(ref, SegmentRef) or may_play(visit, ref):
            return None
        marking, note_served = marking_of(visit, ref), None
        if marking is None:
            found = node.delivery.at_hand(visit.stream, visit.cls.scheme, ref)
        else:
            found, note_served = marked_at_hand(visit, marking, ref) or (None, None)
        keys = next_keys_at_hand(visit, now)
        if found is None or keys is None or not asked.may_pile_up(found.data):
            return None
        if node.leases.beat(visit.visitor, now, visit.stream.timeline.segment_s):
            return None
        tag = {"ETag": found.etag} if found.etag else {}
        answer = _answer(visit, {"Accept-Ranges": "bytes", **MEDIA, **keys, **tag}, found.media_type, found.data)
        address, asn = asked.client()
        note_played(visit, ref, address, headers.get(hdrs.USER_AGENT, ""), asn)
        if note_served is not None:
            note_served()
        _SEGMENTS.inc()
        return answer

    def _licence(self, asked: "_Asked", body: bytes) -> "_Answer | None":
        node = self._node
        session = asked.message.path.removeprefix(_LICENCE)
        parts = session.split("/")
        if (
            len(parts) != 3
            or _ESCAPED.search(session)
            or len(body) > node.config.edge.max_challenge
            or asked.is_special
        ):
            return None
        text, stream, cls = parts
        visit = asked.visit(text, stream, cls, "", "")
        if visit is None or visit.visitor.session.bounds.proof_key or visit.stream.timeline.stale(node.clock()):
            return None
        # Only now: a form made for it takes 9 ms to read.
        detected = detect(body, asked.message.headers.get(hdrs.CONTENT_TYPE, ""))
        if detected.system is not DrmSystem.CLEARKEY or detected.wrapping.shape is not Shape.RAW:
            return None
        granted = granted_in_clear(visit, kids_asked_for(detected.challenge))
        licence = made_before(granted)
        if licence is None:
            return None
        note_in_clear(visit, DrmSystem.CLEARKEY, granted)
        note_presence(visit, *asked.client())
        _LICENCES.inc()
        return _answer(visit, SECRET, JSON_TYPE, licence)


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer to a visitor, ready to be written."""

    visit: Visit
    head: bytes
    body: bytes = field(repr=False)


def _answer(visit: Visit, headers: Mapping[str, str], content_type: str, body: bytes) -> _Answer:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    head = (
        f"HTTP/1.1 200 OK\r\n{lines}Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"Date: {rfc822_formatted_time()}\r\n{_TAIL}"
    )
    return _Answer(visit, head.encode(), body)


class _Asked:
    """One request, and the connection that it came by."""

    __slots__ = ("_connection", "_node", "_payload", "message")

    def __init__(self, node: Node, message: RawRequestMessage, payload: StreamReader, connection: Connection) -> None:
        self.message = message
        self._node = node
        self._payload = payload
        self._connection = connection

    @property
    def is_special(self) -> bool:
        """Whether there is more to the request, or to its answer, than to a plain one."""
        headers, trusted = self.message.headers, self._node.config.edge.credentialed_origins
        return (
            "#" in self.message.path
            or hdrs.EXPECT in headers
            or "SOAPAction" in headers
            or (bool(trusted) and headers.get(hdrs.ORIGIN) in trusted)
        )

    def visit(self, text: str, stream: str, cls: str, rest: str, query: str) -> Visit | None:
        """The request as one of a session that may go on; None for what is refused."""
        node = self._node
        found, now = node.stream(stream), node.clock()
        visitor = node.gate.visit(text, stream, self.facts, now)
        if isinstance(visitor, Deny) or node.leases.refused(visitor, now):
            return None
        return Visit(node, found, visitor, self.facts, ManifestClass.parse(cls), rest, query)

    def facts(self) -> Facts:
        """What the request shows of itself."""
        return facts_of(self._node.config.edge, self._connection.request_of(self.message, self._payload))

    def client(self) -> tuple[str, int]:
        """The client's address and its AS number."""
        edge = self._node.config.edge
        if not edge.trusted_proxies:
            return peer_address(self._connection.remote), 0
        request = self._connection.request_of(self.message, self._payload)
        return client_address(edge, request), client_asn(edge, request)

    def may_pile_up(self, body: bytes) -> bool:
        """Whether a body may be written at once, to somebody who may read it slowly or never."""
        # In clear all viewers' connections hold the one body in memory. TLS encrypts it for each: 8.7 MB a connection
        # for a segment of 4 MiB, which written in slices are 0.35 MB.
        return len(body) <= SLICE or self._connection.ssl_context is None

    def send(self, answer: _Answer) -> None:
        """Write an answer; until all of it has left, it can be cut."""
        visit, transport = answer.visit, self._connection.transport
        assert transport is not None
        transport.writelines((answer.head, answer.body))
        if unsent(transport):
            registry = visit.node.open_responses
            entry = OpenResponse(visit.visitor, visit.facts, partial(reset, transport))
            registry.add(entry)
            discard_when_sent(registry, entry, transport)
