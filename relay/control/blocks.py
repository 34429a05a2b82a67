"""``/api/v1/blocks``: a user or a device is blocked until it is unblocked, in the manner of DRM block lists."""

from functools import partial

import msgspec
from aiohttp import web
from msgspec import Struct

from relay.api.blocks import Block, BlockBody
from relay.api.revocations import Done, Id
from relay.control.errors import NotFoundError
from relay.control.idempotency import Reply, once
from relay.control.records import latest_record
from relay.control.requests import decode, json_answer, read_query
from relay.control.revocations import submit
from relay.errors import RequestError
from relay.gate.targets import Target, TargetType
from relay.node import NODE
from relay.operation import IDEMPOTENCY_KEY, Operation
from relay.roles import OPERATORS, READERS
from relay.sessions.revocations import Order
from relay.state.events import Action, Text

_KINDS = {"users": TargetType.ACCOUNT, "devices": TargetType.DEVICE}
MAX_ID = 128


class BlockQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``issuer`` narrows it to one token issuer; without it, at all."""

    issuer: Text = ""


_body: msgspec.json.Decoder[BlockBody] = msgspec.json.Decoder(BlockBody)


async def post_block(request: web.Request) -> web.Response:
    """Block a user or device."""
    raw = await request.read()

    async def act() -> Reply:
        body = decode(raw or b"{}", _body)
        expires_at = request.app[NODE].clock() + body.duration_s
        order = Order(_target(request), reason=body.reason, expires_at=expires_at)
        return await submit(request, [order], "blocks.post")

    return await once(request, raw, act)


async def delete_block(request: web.Request) -> web.Response:
    """Unblock a user or device."""

    async def act() -> Reply:
        return await submit(request, [Order(_target(request), Action.RESTORE)], "blocks.delete")

    return await once(request, b"", act)


async def get_block(request: web.Request) -> web.Response:
    """Whether a user or device is blocked, since when and why."""
    node, target = request.app[NODE], _target(request)
    record = await latest_record(node, target)
    if record is None:
        raise NotFoundError("never blocked, or so long ago that nothing of it is kept")
    return json_answer(
        Block(
            id=target.value,
            blocked=record.action is Action.REVOKE and record.expires_at > node.clock(),
            reason=record.reason,
            since=record.created_at,
            until=record.expires_at,
            actor=record.actor,
        )
    )


def _target(request: web.Request) -> Target:
    kind, value = _KINDS[request.match_info["kind"]], request.match_info["id"]
    if len(value) > MAX_ID:
        raise RequestError(f"id: at most {MAX_ID} characters")
    return Target(kind, value, read_query(request, BlockQuery).issuer)


_row = partial(
    Operation,
    path="/api/v1/blocks/{kind:users|devices}/{id}",
    tag="Blocks",
    query=BlockQuery,
    path_types={"id": Id},
)
OPERATIONS = (
    _row(
        method="POST",
        handler=post_block,
        roles=OPERATORS,
        body=BlockBody,
        body_required=False,
        headers=(IDEMPOTENCY_KEY,),
        answers={200: Done},
    ),
    _row(
        method="GET",
        handler=get_block,
        roles=READERS,
        answers={200: Block},
    ),
    _row(
        method="DELETE",
        handler=delete_block,
        roles=OPERATORS,
        headers=(IDEMPOTENCY_KEY,),
        answers={200: Done},
    ),
)
