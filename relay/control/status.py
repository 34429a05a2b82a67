"""How this node is: for operators, for whoever decides where requests go, and for Prometheus."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import BinaryIO

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from relay.api.status import Health, Limits, Member, NodeStatus, Readiness
from relay.control.errors import BusyError
from relay.control.orders import MAX_ITEMS
from relay.control.requests import MAX_BATCH_BODY, MAX_WAIT_MS, json_answer
from relay.node import NODE, Node
from relay.operation import Media, Operation
from relay.published.refresh import show_ages
from relay.roles import ADMINS, EVERYONE, READERS
from relay.state.snapshot import save_snapshot
from relay.telemetry import metrics
from relay.telemetry.exposition import exposition, shared

BLOCK = 256 * 1024
MAX_STALL_S = 10.0
"""A client that takes nothing of a snapshot for so long makes room for the next."""
SNAPSHOTTING = web.AppKey("snapshotting", asyncio.Lock)


async def get_meta(request: web.Request) -> web.Response:
    """What is revoked by type, and how far this node and the others are."""
    node = request.app[NODE]
    replica, revoked = node.replica, node.revocations.revoked
    now = node.clock()
    return json_answer(
        NodeStatus(
            node=replica.name,
            incarnation=replica.origin,
            ready=replica.ready,
            log_age_s=_told(replica.age(now)),
            revocations=len(revoked),
            by_type=revoked.counts(),
            restored=revoked.restored,
            open_responses=node.open_responses.count,
            limits=Limits(items=MAX_ITEMS, body_bytes=MAX_BATCH_BODY, timeout_ms=MAX_WAIT_MS),
            nodes=[
                Member(node=view.node, live=view.live, seen_s=round(view.seen_s, 3), lag_events=view.lag_events)
                for view in replica.members()
            ],
        )
    )


async def get_snapshot(request: web.Request) -> web.StreamResponse:
    """The state as a file that a node can start from; made now, one at a time."""
    node, lock = request.app[NODE], request.app[SNAPSHOTTING]
    if lock.locked():
        raise BusyError("another snapshot is being taken", 10.0)
    async with lock:
        # Made and removed without waiting, for a cancelled wait would leave it behind.
        with tempfile.TemporaryDirectory(prefix="segmentgate-") as folder:
            path = Path(folder) / "snapshot"
            # What is written was applied before, so the state holds at least what the journal's vector covers.
            await save_snapshot(path, node.replica.state, node.journal.vector())
            file = path.open("rb")
        with file:
            return await _send(request, file)


async def _send(request: web.Request, file: BinaryIO) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Cache-Control": "no-store"})
    response.content_type = "application/octet-stream"
    response.content_length = os.fstat(file.fileno()).st_size
    await response.prepare(request)
    blocks = _blocks(file)
    try:
        while block := await asyncio.to_thread(next, blocks, b""):
            async with asyncio.timeout(MAX_STALL_S):
                await response.write(block)
    except TimeoutError:
        # Too few bytes came, and the client sees that.
        response.force_close()
    return response


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


async def get_health(_: web.Request) -> web.Response:
    """The process runs and its event loop turns."""
    return json_answer(Health())


async def get_ready(request: web.Request) -> web.Response:
    """200 while this node may be sent new viewers: it knows every revocation, as far as it can tell."""
    ready, state = _readiness(request.app[NODE])
    return json_answer(state, 200 if ready else 503)


def _readiness(node: Node) -> tuple[bool, Readiness]:
    replica = node.replica
    age, limit = replica.age(node.clock()), node.config.state.stale_after.seconds
    ready = replica.ready and age <= limit
    return ready, Readiness(
        status="ready" if ready else "stale" if replica.ready else "starting",
        log_age_s=_told(age),
    )


def _told(age: float) -> float | None:
    # JSON has no infinity.
    return age if isfinite(age) else None


async def get_metrics(request: web.Request) -> web.Response:
    """Prometheus metrics. They name no session and need no key."""
    observe(request.app[NODE])
    return web.Response(body=exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def observe(node: Node) -> None:
    """Bring the gauges up to date: what they show is counted when it is asked for."""
    show_ages()
    revoked = node.revocations.revoked
    metrics.CACHE_BYTES.set(node.delivery.cache.size)
    metrics.CACHE_HITS.set(node.delivery.cache.hits)
    metrics.CACHE_MISSES.set(node.delivery.cache.misses)
    metrics.REVOKED.set(len(revoked))
    for kind, count in revoked.counts().items():
        metrics.REVOKED_BY_TYPE.labels(kind).set(count)
    metrics.OPEN.set(node.open_responses.count)
    metrics.LIVE.set(sum(1 for _ in node.presence.live(node.clock())))
    metrics.READY.set(_readiness(node)[0])
    if not shared():
        # Nodes that are gone for good must not be shown for ever. Values that processes share cannot be taken back.
        metrics.NODE_LAG.clear()
    for view in node.replica.members():
        metrics.NODE_LAG.labels(view.node).set(view.seen_s)


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/v1/revocations/meta",
        handler=get_meta,
        tag="Node",
        roles=READERS,
        answers={200: NodeStatus},
    ),
    Operation(
        method="GET",
        path="/api/v1/revocations/snapshot",
        handler=get_snapshot,
        tag="Node",
        # It holds the salts of keys.
        roles=ADMINS,
        answers={200: Media.of("application/octet-stream")},
        errors=(BusyError,),
        streams=True,
    ),
    Operation(
        method="GET",
        path="/healthz",
        handler=get_health,
        tag="Node",
        roles=EVERYONE,
        answers={200: Health},
    ),
    Operation(
        method="GET",
        path="/readyz",
        handler=get_ready,
        tag="Node",
        roles=EVERYONE,
        answers={200: Readiness, 503: Readiness},
    ),
    Operation(
        method="GET",
        path="/metrics",
        handler=get_metrics,
        tag="Node",
        roles=EVERYONE,
        answers={200: Media.of("text/plain")},
    ),
)
