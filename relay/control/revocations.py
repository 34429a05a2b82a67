"""``/api/v1/revocations``: batches in, proof of every node out; records, restores and previews."""

import time

from aiohttp import web

from relay.control.errors import MAX_FLAWS, BodyError, Flaw
from relay.control.idempotency import Reply, once
from relay.control.notes import NOTES
from relay.control.orders import ItemError, order_of, pieces_of, read_item, target_of
from relay.control.records import find_record, outcome_of, page_about, page_of, record_of
from relay.control.requests import (
    actor_of,
    breathe,
    json_answer,
    lines_or_json,
    read_batch,
    read_page_size,
    read_wait,
)
from relay.control.statuses import STATUSES
from relay.errors import RequestError
from relay.gate.networks import parse_network
from relay.gate.targets import Target, TargetType
from relay.node import NODE
from relay.sessions.revocations import Order, let_go
from relay.state.events import Action
from relay.state.replica import Wait

PATH = "/api/v1/revocations"
SLICE = 20
"""Items read before the event loop may turn: a fifth of a millisecond."""


async def post_revocations(request: web.Request) -> web.Response:
    """Revoke or restore up to ten thousand targets: all of them, or none where one makes no sense."""
    lines = lines_or_json(request)
    body = await read_batch(request)
    wait, timeout_s = read_wait(request)

    async def act() -> Reply:
        orders = await read_orders(body, lines, request.app[NODE].clock())
        reply = await submit(request, orders, "revocations.post", wait, timeout_s)
        await let_go(orders)
        return reply

    return await once(request, body, act, required=True)


async def delete_revocation(request: web.Request) -> web.Response:
    """Restore what a record revoked, by a record of its own: nothing is ever taken out of the log."""
    wait, timeout_s = read_wait(request)

    async def act() -> Reply:
        found = await find_record(request.app[NODE], request.match_info["id"])
        order = Order(found.target, Action.RESTORE, request.query.get("reason", "")[:512], f"undoes {found.id}")
        return await submit(request, [order], "revocations.delete", wait, timeout_s)

    return await once(request, b"", act)


async def submit(request: web.Request, orders: list[Order], what: str, wait: Wait, timeout_s: float) -> Reply:
    """Do as ordered and tell what became of it: 202 with where to ask again if not all reported in time."""
    node, started = request.app[NODE], time.perf_counter()
    actor = actor_of(request)
    outcome = await node.revocations.submit(orders, actor, wait, timeout_s)
    answer = outcome_of(outcome)
    effect = {name: answer[name] for name in ("id", "targets", "sessions_cut", "responses_cut", "complete")}
    if len(orders) == 1:
        effect |= {"action": orders[0].action, "type": orders[0].target.type, "target": orders[0].target.value}
    request.app[NOTES].audit(actor, what, effect)
    if outcome.complete:
        return Reply.json(answer)
    name = request.app[STATUSES].keep(outcome, wait, started, node.clock())
    return Reply.json(answer, 202, f"{PATH}/status/{name}")


async def read_orders(body: bytes, lines: bool, now: float) -> list[Order]:
    """The orders of a body, turning the event loop in between. Raises :class:`BodyError` with the flaws found."""
    orders: list[Order] = []
    flaws: list[Flaw] = []
    for number, (base, piece) in enumerate(pieces_of(body, lines), start=1):
        try:
            orders.append(order_of(read_item(piece), now))
        except ItemError as err:
            flaws.append(err.flaw(base))
            if len(flaws) == MAX_FLAWS:
                break
        if number % SLICE == 0:
            await breathe()
    if flaws:
        raise BodyError(flaws)
    return orders


async def get_revocations(request: web.Request) -> web.Response:
    """Records, newest first: all, of one type, or about one target."""
    node, query = request.app[NODE], request.query
    limit, cursor = read_page_size(request), query.get("cursor", "")
    kind = _kind(query.get("type"))
    if "value" not in query:
        return json_answer(await page_of(node, kind, limit, cursor))
    if kind is None:
        raise RequestError("value: goes with type")
    try:
        value = parse_network(query["value"]) if kind is TargetType.NETWORK else query["value"]
    except ValueError as err:
        raise RequestError(f"value: {err}") from None
    target = Target(kind, value, query.get("issuer", ""), query.get("viewer", ""))
    return json_answer(await page_about(node, target, limit, cursor))


async def get_revocation(request: web.Request) -> web.Response:
    """One record."""
    return json_answer(record_of(await find_record(request.app[NODE], request.match_info["id"])))


async def get_status(request: web.Request) -> web.Response:
    """What became of a call that did not wait for its end: 200 when it has, 202 until then."""
    name = request.match_info["id"]
    outcome = await request.app[STATUSES].ask(name, request.app[NODE].clock())
    status = 200 if outcome.complete else 202
    return json_answer(outcome_of(outcome), status)


async def post_preview(request: web.Request) -> web.Response:
    """How many live sessions and open responses of this node a revocation would stop; changes nothing."""
    try:
        item = read_item(await request.read())
        target = target_of(item)
    except ItemError as err:
        raise BodyError([err.flaw("")]) from None
    node = request.app[NODE]
    preview = await node.revocations.preview(target)
    return json_answer({"node": node.replica.name, "sessions": preview.sessions, "responses": preview.responses})


def _kind(text: str | None) -> TargetType | None:
    if text is None:
        return None
    try:
        return TargetType(text)
    except ValueError:
        raise RequestError(f"type: one of {', '.join(TargetType)}") from None
