"""The operator-facing listener: revocation, health, metrics. Every API call needs the key."""

import hmac
from typing import Annotated

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Meta, Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from relay.errors import RequestError
from relay.gate.revocation import Target, TargetType
from relay.node import NODE, Node
from relay.problems import problem, problems
from relay.telemetry.metrics import CACHE_BYTES, CACHE_HITS, CACHE_MISSES, OPEN, REVOKED

MAX_BODY = 64 * 1024
API_KEY = web.AppKey("api_key", bytes)
_Id = Annotated[str, Meta(min_length=1, max_length=128)]


class RevokeBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``POST /api/v1/drm/revoke``: exactly one of ``session_id`` and ``account_id``.

    ``issuer`` narrows an account to one token issuer; without it the account is stopped at all of them.
    """

    session_id: _Id | None = None
    account_id: _Id | None = None
    issuer: Annotated[str, Meta(max_length=512)] = ""
    reason: Annotated[str, Meta(max_length=512)] = ""


_log = structlog.get_logger()
_revoke_body: msgspec.json.Decoder[RevokeBody] = msgspec.json.Decoder(RevokeBody)


def create_control(node: Node, api_key: bytes) -> web.Application:
    """The application that operators talk to."""
    app = web.Application(middlewares=[problems, _authenticated], client_max_size=MAX_BODY)
    app[NODE] = node
    app[API_KEY] = api_key
    app.router.add_post("/api/v1/drm/revoke", post_revoke)
    app.router.add_get("/healthz", get_health)
    app.router.add_get("/metrics", get_metrics)
    return app


@web.middleware
async def _authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith("/api/"):
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            key.strip().encode("utf-8", "surrogateescape"), request.app[API_KEY]
        ):
            return problem(request, 401, "api_key", "send the API key: Authorization: Bearer …")
    return await handler(request)


async def post_revoke(request: web.Request) -> web.Response:
    """Stop a session or an account now: refuse whatever it asks for and cut what it is being sent."""
    try:
        body = _revoke_body.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise RequestError(f"body: {err}") from None
    if (body.session_id is None) == (body.account_id is None):
        raise RequestError("body: give exactly one of session_id and account_id")
    if body.issuer and body.account_id is None:
        raise RequestError("body: issuer goes with account_id")
    if body.session_id is not None:
        target = Target(TargetType.SESSION, body.session_id)
    else:
        target = Target(TargetType.ACCOUNT, body.account_id or "", body.issuer)
    done = await request.app[NODE].revoke(target, body.reason, actor="api")
    _log.info("revoked", id=done.event.id, target=target.type, responses_cut=done.cut.responses)
    return web.json_response(
        {
            "id": done.event.id,
            "target": {"type": target.type, "value": target.value},
            "accepted_at": done.event.at,
            "expires_at": done.event.expires_at,
            "sessions_cut": done.cut.sessions,
            "responses_cut": done.cut.responses,
            "applied_ms": round(done.applied_ms, 3),
        }
    )


async def get_health(_: web.Request) -> web.Response:
    """The process runs and its event loop turns."""
    return web.json_response({"status": "ok"})


async def get_metrics(request: web.Request) -> web.Response:
    """Prometheus metrics. They name no session and need no key."""
    node = request.app[NODE]
    CACHE_BYTES.set(node.delivery.cache.size)
    CACHE_HITS.set(node.delivery.cache.hits)
    CACHE_MISSES.set(node.delivery.cache.misses)
    REVOKED.set(len(node.replica.state.revocations))
    OPEN.set(node.open_responses.count)
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
