"""``/api/v1/revocations``: batches in, proof of every node out; records, restores and previews."""

import time
from dataclasses import replace
from functools import partial

from aiohttp import web
from msgspec import UNSET, UnsetType

from relay.api.revocations import Done, Item, Previewed, Record, RecordPage, record_of
from relay.control.errors import MAX_FLAWS, BodyError, BodyTooLargeError, Flaw, MediaTypeError
from relay.control.idempotency import Reply, once
from relay.control.notes import NOTES
from relay.control.orders import ItemError, order_of, pieces_of, read_item, target_of
from relay.control.pages import POSITIONS, PageQuery, place_of
from relay.control.records import find_record, outcome_of, page_about, page_of
from relay.control.requests import (
    LINES_TYPES,
    WaitQuery,
    actor_of,
    breathe,
    check_targets,
    json_answer,
    lines_or_json,
    read_batch,
    read_query,
)
from relay.control.statuses import STATUSES
from relay.errors import RequestError
from relay.gate.networks import parse_network
from relay.gate.targets import Target, TargetType
from relay.node import NODE
from relay.operation import IDEMPOTENCY_KEY, JSON, Operation
from relay.roles import OPERATORS, READERS, REVOKERS
from relay.sessions.revocations import Order, let_go
from relay.state.events import Action, Text

PATH = "/api/v1/revocations"
SLICE = 20
"""Items read before the event loop may turn: a fifth of a millisecond."""
LOCALLY = WaitQuery()


class RecordsQuery(PageQuery, frozen=True, kw_only=True):
    """``type`` alone: records of that type; with ``value``, and ``issuer`` or ``viewer``: about one target."""

    type: TargetType | UnsetType = UNSET
    value: Text | UnsetType = UNSET
    issuer: Text = ""
    viewer: Text = ""


class RestoreQuery(WaitQuery, frozen=True, kw_only=True):
    """``reason`` is for the record."""

    reason: Text = ""


async def post_revocations(request: web.Request) -> web.Response:
    """Revoke or restore up to ten thousand targets: all of them, or none where one makes no sense."""
    lines = lines_or_json(request)
    body = await read_batch(request)
    wait = read_query(request, WaitQuery)

    async def act() -> Reply:
        orders = await read_orders(body, lines, request.app[NODE].clock())
        reply = await submit(request, orders, "revocations.post", wait)
        await let_go(orders)
        return reply

    return await once(request, body, act, required=True)


async def delete_revocation(request: web.Request) -> web.Response:
    """Restore what a record revoked, by a record of its own: nothing is ever taken out of the log."""
    query = read_query(request, RestoreQuery)

    async def act() -> Reply:
        found = await find_record(request.app[NODE], request.match_info["id"])
        order = Order(found.target, Action.RESTORE, query.reason, f"undoes {found.id}")
        return await submit(request, [order], "revocations.delete", query)

    return await once(request, b"", act)


async def submit(request: web.Request, orders: list[Order], what: str, wait: WaitQuery = LOCALLY) -> Reply:
    """Do as ordered and tell what became of it: 202 with where to ask again if not all reported in time."""
    node, started = request.app[NODE], time.perf_counter()
    actor = actor_of(request)
    check_targets(request, orders)
    outcome = await node.revocations.submit(orders, actor, wait.wait, wait.timeout_ms / 1000)
    answer = outcome_of(outcome)
    effect = {name: getattr(answer, name) for name in ("id", "targets", "sessions_cut", "responses_cut", "complete")}
    if len(orders) == 1:
        effect |= {"action": orders[0].action, "type": orders[0].target.type, "target": orders[0].target.value}
    request.app[NOTES].audit(actor, what, effect)
    if outcome.complete:
        return Reply.json(answer)
    name = request.app[STATUSES].keep(outcome, wait.wait, started, node.clock())
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
    node, query = request.app[NODE], read_query(request, RecordsQuery)
    before = place_of(query.cursor, POSITIONS)
    kind = None if query.type is UNSET else query.type
    if query.value is UNSET:
        return json_answer(await page_of(node, kind, query.limit, before))
    if kind is None:
        raise RequestError("value: goes with type")
    try:
        value = parse_network(query.value) if kind is TargetType.NETWORK else query.value
    except ValueError as err:
        raise RequestError(f"value: {err}") from None
    target = Target(kind, value, query.issuer, query.viewer)
    return json_answer(await page_about(node, target, query.limit, before))


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
    return json_answer(Previewed(node=node.replica.name, sessions=preview.sessions, responses=preview.responses))


_row = partial(Operation, tag="Revocations")
_DONE = {200: Done, 202: Done}
OPERATIONS = (
    _row(
        method="POST",
        path=PATH,
        handler=post_revocations,
        roles=REVOKERS,
        body=Item | list[Item],
        accepts=(JSON, *LINES_TYPES[:1]),
        query=WaitQuery,
        headers=(replace(IDEMPOTENCY_KEY, required=True),),
        answers=_DONE,
        errors=(BodyTooLargeError, MediaTypeError),
    ),
    _row(
        method="GET",
        path=PATH,
        handler=get_revocations,
        roles=READERS,
        query=RecordsQuery,
        answers={200: RecordPage},
    ),
    _row(
        method="POST",
        path=f"{PATH}/preview",
        handler=post_preview,
        roles=OPERATORS,
        body=Item,
        answers={200: Previewed},
    ),
    _row(
        method="GET",
        path=f"{PATH}/status/{{id}}",
        handler=get_status,
        roles=READERS | REVOKERS,
        answers=_DONE,
    ),
    _row(
        method="GET",
        path=f"{PATH}/{{id}}",
        handler=get_revocation,
        roles=READERS,
        answers={200: Record},
    ),
    _row(
        method="DELETE",
        path=f"{PATH}/{{id}}",
        handler=delete_revocation,
        roles=OPERATORS,
        query=RestoreQuery,
        headers=(IDEMPOTENCY_KEY,),
        answers=_DONE,
    ),
)
