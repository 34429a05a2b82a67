"""``/api/v1/blocks``: a user or a device is blocked until it is unblocked, in the manner of DRM block lists."""

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from relay.control.errors import NotFoundError
from relay.control.idempotency import Reply, once
from relay.control.orders import MAX_AHEAD_S
from relay.control.records import latest_record
from relay.control.requests import decode, json_answer
from relay.control.revocations import submit
from relay.errors import RequestError
from relay.gate.targets import Target, TargetType
from relay.node import NODE
from relay.sessions.revocations import Order
from relay.state.events import Action, Text
from relay.state.replica import Wait

_KINDS = {"users": TargetType.ACCOUNT, "devices": TargetType.DEVICE}
MAX_ID = 128


class BlockBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``duration_s``: how long; without it, ten years or until it is unblocked."""

    reason: Text = ""
    duration_s: Annotated[float, Meta(gt=0, le=MAX_AHEAD_S)] = MAX_AHEAD_S


_body: msgspec.json.Decoder[BlockBody] = msgspec.json.Decoder(BlockBody)


async def post_block(request: web.Request) -> web.Response:
    """Block a user or device."""
    raw = await request.read()

    async def act() -> Reply:
        body = decode(raw or b"{}", _body)
        expires_at = request.app[NODE].clock() + body.duration_s
        order = Order(_target(request), reason=body.reason, expires_at=expires_at)
        return await submit(request, [order], "blocks.post", Wait.LOCAL, 0.0)

    return await once(request, raw, act)


async def delete_block(request: web.Request) -> web.Response:
    """Unblock a user or device."""

    async def act() -> Reply:
        return await submit(request, [Order(_target(request), Action.RESTORE)], "blocks.delete", Wait.LOCAL, 0.0)

    return await once(request, b"", act)


async def get_block(request: web.Request) -> web.Response:
    """Whether a user or device is blocked, since when and why."""
    node, target = request.app[NODE], _target(request)
    record = await latest_record(node, target)
    if record is None:
        raise NotFoundError("never blocked, or so long ago that nothing of it is kept")
    blocked = record.action is Action.REVOKE and record.expires_at > node.clock()
    answer: dict[str, Any] = {"id": target.value, "blocked": blocked, "reason": record.reason}
    return json_answer(answer | {"since": record.created_at, "until": record.expires_at, "actor": record.actor})


def _target(request: web.Request) -> Target:
    kind, value = _KINDS[request.match_info["kind"]], request.match_info["id"]
    if len(value) > MAX_ID:
        raise RequestError(f"id: at most {MAX_ID} characters")
    return Target(kind, value, request.query.get("issuer", "")[:512])
