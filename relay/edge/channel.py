"""The session's event channel (server-sent events) and the same keys for a single GET.

The next key is pushed when it is released, spread over the lead by a delay that depends on session and
period alone: no crowd asks at a boundary, and nobody has to ask at all. A revoked session is told so
before its connection ends.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from hashlib import blake2b

import msgspec
from aiohttp import web

from keys.licences.clearkey import SessionType, web_keys
from keys.model import KeySlot, Scheme
from relay.edge.respond import SECRET
from relay.edge.visit import Result, Visit, reset, serve, visit_of
from relay.grants import Grant, grant
from relay.problems import denied
from relay.verdict import Deny, Reason

HEARTBEAT_S = 15.0
JITTER_SHARE = 2 / 3
"""Of the lead, what pushes are spread over; the rest is left for delivery and one more try."""

_HEADERS = {**SECRET, "X-Accel-Buffering": "no"}


async def get_keys(request: web.Request) -> web.StreamResponse:
    """The keys the session may hold now, as JSON."""
    visit = visit_of(request)
    if isinstance(visit, Deny):
        return denied(request, visit)
    return await serve(request, visit, lambda: _keys(visit), "keys")


async def get_events(request: web.Request) -> web.StreamResponse:
    """The session's channel: ``keys`` at once and at every release, ``revoked`` or ``ended`` as the last event."""
    visit = visit_of(request)
    if isinstance(visit, Deny):
        return denied(request, visit)
    await visit.node.manifests.ensure_timeline(visit.stream)
    response = web.StreamResponse(headers=_HEADERS)
    response.content_type = "text/event-stream"
    revoked = asyncio.Event()
    transport = request.transport

    def cut() -> None:
        revoked.set()
        if transport and transport.get_write_buffer_size():
            # A reader this slow would still be handed keys that were queued for him.
            reset(transport)

    with visit.node.open_responses.holding(visit.visitor, cut):
        again = visit.node.gate.recheck(visit.visitor, visit.stream.name, visit.node.clock())
        if isinstance(again, Deny):
            return denied(request, again)
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):
            await _push(response, visit, revoked)
            await response.write_eof()
    return response


async def _push(response: web.StreamResponse, visit: Visit, revoked: asyncio.Event) -> None:
    node, stream = visit.node, visit.stream
    told: frozenset[KeySlot] = frozenset()
    due = node.clock()
    while True:
        await node.manifests.ensure_timeline(stream)
        now = node.clock()
        granted = grant(stream, node.gate, visit.visitor, visit.cls.scheme, now)
        news = [slot for slot in granted.slots if slot not in told]
        event = b": alive\n\n"
        if now >= due and news:
            event = b"event: keys\ndata: " + await _body(visit, granted, news, now) + b"\n\n"
            told = frozenset(granted.slots)
        # Asked right before the write: between it and the write nothing can revoke.
        verdict = node.gate.recheck(visit.visitor, stream.name, node.clock())
        if isinstance(verdict, Deny):
            break
        await response.write(event)
        if now >= due:
            release = stream.timeline.next_release(now)
            due = now + HEARTBEAT_S if release is None else release + _jitter(visit, granted.newest)
        wait = min(due - now, HEARTBEAT_S, visit.visitor.session.expires_at - now)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(revoked.wait(), max(0.05, wait))
    kind = b"revoked" if verdict.reason is Reason.REVOKED else b"ended"
    await response.write(b"event: " + kind + b'\ndata: {"reason":"' + verdict.reason.encode() + b'"}\n\n')


async def _keys(visit: Visit) -> Result:
    node = visit.node
    await node.manifests.ensure_timeline(visit.stream)
    now = node.clock()
    granted = grant(visit.stream, node.gate, visit.visitor, visit.cls.scheme, now)
    body = await _body(visit, granted, granted.slots, now)
    return web.Response(body=body, content_type="application/json", headers=SECRET)


async def _body(visit: Visit, granted: Grant, slots: Iterable[KeySlot], now: float) -> bytes:
    """Keys with what a client needs to know when to expect the next ones.

    ``now`` and ``next_at`` are of this node's clock in ms, so that a client whose own is wrong can take the
    difference; ``period`` and ``stream_now`` are stream time.
    """
    stream = visit.stream
    release = stream.timeline.next_release(now)
    # Plain HLS AES-128 players have no CDM to feed: they fetch keys by URL, and are here for the revocation.
    keys = [] if visit.cls.scheme is Scheme.AES128 else [stream.content_key(slot) for slot in slots]
    await visit.node.salts.settle()
    return msgspec.json.encode(
        {
            "keys": web_keys(keys),
            "type": SessionType.TEMPORARY,
            "period": granted.newest,
            "now": round(now * 1000),
            "next_at": None if release is None else round((release + _jitter(visit, granted.newest)) * 1000),
            "stream_now": stream.timeline.stream_now(now),
        }
    )


def _jitter(visit: Visit, period: int) -> float:
    """Seconds after the release at which this session is pushed; the same on every node."""
    lead = visit.stream.schedule.policy.pre_delivery_ms / 1000
    seed = blake2b(f"{visit.visitor.session.sid} {period}".encode(), digest_size=4).digest()
    return lead * JITTER_SHARE * int.from_bytes(seed, "big") / 2**32
