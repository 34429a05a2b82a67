"""The operator-facing listener: its routes, who may call them, how much they may send."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler

from relay.background import in_background
from relay.control import audit, blocks, feed, keys, revocations, short, ssf, status, taas
from relay.control.feed import TAIL
from relay.control.idempotency import RUNNING
from relay.control.notes import NOTES, Notes, keep_notes
from relay.control.requests import MAX_BODY
from relay.control.ssf import RECEIVERS
from relay.control.ssf_poll import keep_polling
from relay.control.statuses import STATUSES, Statuses
from relay.control.taas_lists import Lists
from relay.control.transmitters import Transmitter
from relay.node import NODE, Node
from relay.probe import Probe
from relay.problems import API_PREFIXES, problem, problems


def create_control(node: Node, transmitters: Sequence[Transmitter] = ()) -> web.Application:
    """The application that operators talk to. ``transmitters`` push security events to it, or are polled for them.

    While it lives it also probes: see :mod:`relay.probe`.
    """
    app = web.Application(middlewares=[problems, _authenticated], client_max_size=MAX_BODY)
    app[NODE] = node
    app[RUNNING] = {}
    app[NOTES] = Notes(node)
    app[TAIL] = feed.Tail(node)
    app[STATUSES] = Statuses(node.replica)
    app[status.SNAPSHOTTING] = asyncio.Lock()
    app[taas.LISTS] = Lists(node.journal)
    app[RECEIVERS] = [ssf.Receiver(transmitter, node, app[NOTES]) for transmitter in transmitters]
    app.cleanup_ctx.extend([keep_notes, feed.keep_tail, keep_polling, keep_probing])
    app.on_shutdown.append(feed.close_feeds)
    _add_routes(app.router)
    return app


def _add_routes(router: web.UrlDispatcher) -> None:
    get, post, put, delete = router.add_get, router.add_post, router.add_put, router.add_delete

    post("/api/v1/drm/revoke", short.post_revoke)

    post(revocations.PATH, revocations.post_revocations)
    get(revocations.PATH, revocations.get_revocations)
    post(revocations.PATH + "/preview", revocations.post_preview)
    get(revocations.PATH + "/stream", feed.get_stream, allow_head=False)
    get(revocations.PATH + "/meta", status.get_meta)
    get(revocations.PATH + "/snapshot", status.get_snapshot, allow_head=False)
    get(revocations.PATH + "/status/{id}", revocations.get_status)
    get(revocations.PATH + "/{id}", revocations.get_revocation)
    delete(revocations.PATH + "/{id}", revocations.delete_revocation)

    block = "/api/v1/blocks/{kind:users|devices}/{id}"
    post(block, blocks.post_block)
    get(block, blocks.get_block)
    delete(block, blocks.delete_block)

    get("/api/v1/audit", audit.get_audit)

    one = taas.PATH + "/{list}"
    get(taas.PATH, taas.get_lists)
    post(taas.PATH, taas.post_list)
    get(one, taas.get_list)
    put(one, taas.put_list)
    delete(one, taas.delete_list)
    post(one + "/identifiers/add", taas.add_identifiers)
    post(one + "/identifiers/remove", taas.remove_identifiers)
    get(one + "/identifiers", taas.get_identifiers)
    get(one + "/identifiers/{token}", taas.get_identifier)
    get(one + "/meta", taas.get_meta)
    get(one + "/properties", taas.get_properties)

    get(keys.CPIX_PATH, keys.get_cpix, allow_head=False)
    post(keys.CPIX_PATH, keys.post_cpix)
    post(keys.SPEKE_PATH, keys.post_speke)
    # Not for the API key: each packager signs its requests.
    post(keys.PACKAGER_PATH, keys.post_widevine)

    # Not for the API key: each transmitter has a bearer token of its own.
    post(ssf.PUSH_PATH, ssf.post_events)

    get("/healthz", status.get_health)
    get("/readyz", status.get_ready)
    get("/metrics", status.get_metrics)


async def keep_probing(app: web.Application) -> AsyncIterator[None]:
    """Probe while the application lives, if that is configured."""
    every_s = app[NODE].config.control.probe.seconds
    async with in_background(*([Probe(app[NODE], every_s).run()] if every_s else [])):
        yield


@web.middleware
async def _authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith(API_PREFIXES) and request.path != keys.PACKAGER_PATH:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if request.path == keys.SPEKE_PATH and scheme.lower() == "basic":
            scheme, key = "bearer", keys.password_of(key.strip())
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            key.strip().encode("utf-8", "surrogateescape"), request.app[NODE].policies.api_key
        ):
            return problem(request, 401, "api_key", "send the API key: Authorization: Bearer …")
    return await handler(request)
