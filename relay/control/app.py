"""The operator-facing listener: its routes, who may call them, how much they may send."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from relay.background import in_background
from relay.control import (
    analyses,
    audit,
    blocks,
    detections,
    entitlements,
    estimate,
    feed,
    groups,
    keys,
    licence_status,
    mappings,
    policies,
    purchases,
    reference,
    revocations,
    rotation,
    session_issue,
    sessions,
    short,
    ssf,
    status,
    streams,
    taas,
    watermark,
    webhooks,
)
from relay.control.errors import ApiKeyError, RoleError
from relay.control.feed import TAIL
from relay.control.idempotency import RUNNING
from relay.control.notes import NOTES, Notes, keep_notes
from relay.control.requests import CALLER, MAX_BODY, Caller
from relay.control.ssf import RECEIVERS
from relay.control.ssf_poll import keep_polling
from relay.control.statuses import STATUSES, Statuses
from relay.control.taas_lists import Lists
from relay.control.transmitters import Transmitter
from relay.node import NODE, Node
from relay.operation import API_KEY, ROUTES, Operation, add_operations
from relay.probe import Probe
from relay.problems import API_PREFIXES, problems
from relay.webhooks.hook import Endpoint
from relay.webhooks.outbox import Outbox

OPERATIONS: tuple[Operation, ...] = (
    *short.OPERATIONS,
    *estimate.OPERATIONS,
    *keys.OPERATIONS,
    *policies.OPERATIONS,
    *rotation.OPERATIONS,
    *streams.OPERATIONS,
    *groups.OPERATIONS,
    *purchases.OPERATIONS,
    *entitlements.OPERATIONS,
    *revocations.OPERATIONS,
    *feed.OPERATIONS,
    *blocks.OPERATIONS,
    *mappings.OPERATIONS,
    *detections.OPERATIONS,
    *session_issue.OPERATIONS,
    *sessions.OPERATIONS,
    *watermark.OPERATIONS,
    *analyses.OPERATIONS,
    *licence_status.OPERATIONS,
    *webhooks.OPERATIONS,
    *audit.OPERATIONS,
    *taas.OPERATIONS,
    *ssf.OPERATIONS,
    *status.OPERATIONS,
    *reference.OPERATIONS,
)
"""All that can be asked here."""


def create_control(
    node: Node,
    transmitters: Sequence[Transmitter] = (),
    edge: Sequence[Operation] = (),
    endpoints: Sequence[Endpoint] = (),
) -> web.Application:
    """The application that operators talk to. ``transmitters`` push security events to it, or are polled for them.

    ``edge`` are the operations of the other listener that its reference tells of, too. ``endpoints`` are webhooks.

    While it lives it also probes: see :mod:`relay.probe`.
    """
    app = web.Application(middlewares=[problems, _authorized], client_max_size=MAX_BODY)
    app[NODE] = node
    app[RUNNING] = {}
    app[NOTES] = Notes(node)
    app[TAIL] = feed.Tail(node)
    app[STATUSES] = Statuses(node.replica)
    app[status.SNAPSHOTTING] = asyncio.Lock()
    app[taas.LISTS] = Lists(node.journal)
    app[RECEIVERS] = [ssf.Receiver(transmitter, node, app[NOTES]) for transmitter in transmitters]
    app[reference.DOCUMENT] = msgspec.Raw(reference.described(OPERATIONS, edge))
    app[webhooks.OUTBOX] = Outbox(node, endpoints)
    app.cleanup_ctx.extend(
        [keep_notes, feed.keep_tail, keep_polling, keep_probing, webhooks.keep_sending, analyses.keep_analysing]
    )
    app.on_shutdown.append(feed.close_feeds)
    add_operations(app, OPERATIONS)
    return app


async def keep_probing(app: web.Application) -> AsyncIterator[None]:
    """Probe while the application lives, if that is configured."""
    every_s = app[NODE].config.control.probe.seconds
    async with in_background(*([Probe(app[NODE], every_s).run()] if every_s else [])):
        yield


@web.middleware
async def _authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
    operation = request.app[ROUTES].get(request.match_info.route)
    if operation.credential != API_KEY if operation else not request.path.startswith(API_PREFIXES):
        return await handler(request)
    if operation and operation.other_credential and "Authorization" not in request.headers:
        return await handler(request)
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if request.path == keys.SPEKE_PATH and scheme.lower() == "basic":
        scheme, text = "bearer", keys.password_of(text.strip())
    key = request.app[NODE].policies.api_keys.find(text.strip().encode("utf-8", "surrogateescape"))
    if key is None or scheme.lower() != "bearer":
        raise ApiKeyError("send the API key: Authorization: Bearer …")
    if operation and key.role not in operation.roles:
        raise RoleError(f"role {key.role} may not do this")
    request[CALLER] = Caller.of(key, request)
    return await handler(request)
