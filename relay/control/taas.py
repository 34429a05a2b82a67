"""``/taas/v2/revocation-lists``: Akamai's Access Revocation API v2, so that scripts and watermark vendors' tools work.

Token identifiers are session ids. Shapes are those of the public OpenAPI description of that API; a list can also be
read alone and renamed here.
"""

from functools import partial

import msgspec
from aiohttp import web
from msgspec.structs import replace

from relay.api.taas import Identifier, ListBody, ListDetails, Listed, ListMade, ListMeta, Property, ToAdd, ToRemove
from relay.control.errors import ConflictError, NotFoundError
from relay.control.idempotency import Reply, once
from relay.control.preconditions import IF_MATCH, IF_NONE_MATCH, check_preconditions, tagged_answer
from relay.control.requests import decode, json_answer
from relay.control.revocations import submit
from relay.control.taas_lists import (
    MAX_IDENTIFIERS,
    MAX_LISTS,
    MIN_DURATION_S,
    Lists,
    RevocationList,
    order_of_list,
    order_to_delete,
)
from relay.node import NODE
from relay.operation import IDEMPOTENCY_KEY, Operation
from relay.roles import OPERATORS, READERS
from relay.sessions.revocations import Order

PATH = "/taas/v2/revocation-lists"
MAX_BODY = 1024 * 1024
"""Five thousand identifiers of the longest kind, generously written."""
LISTS = web.AppKey("lists", Lists)


_list_body: msgspec.json.Decoder[ListBody] = msgspec.json.Decoder(ListBody)
_identifiers: msgspec.json.Decoder[list[Identifier]] = msgspec.json.Decoder(ToAdd)
_ids: msgspec.json.Decoder[list[str]] = msgspec.json.Decoder(ToRemove)


async def get_lists(request: web.Request) -> web.Response:
    """Every list."""
    lists = await _lists(request)
    return json_answer([_details(found) for found in lists.all()])


async def post_list(request: web.Request) -> web.Response:
    """Make a list: 202 with its number."""
    raw = await request.read()

    async def act() -> Reply:
        body = decode(raw, _list_body)
        async with request.app[LISTS].changing:
            lists = await _lists(request)
            if any(found.name == body.name for found in lists.all()):
                raise ConflictError("there is a list of this name")
            number = lists.free()
            if number is None:
                raise ConflictError(f"there are {MAX_LISTS} lists; delete one")
            await _submit(request, [_named(request, number, body)], "taas.list.post")
            return Reply.json(ListMade(contract_id=body.contract_id, id=number, name=body.name), 202)

    return await once(request, raw, act)


async def get_list(request: web.Request) -> web.Response:
    """One list."""
    _, found = await _list(request)
    return tagged_answer(request, _details(found))


async def put_list(request: web.Request) -> web.Response:
    """Rename a list."""
    raw = await request.read()

    async def act() -> Reply:
        body = decode(raw, _list_body)
        async with request.app[LISTS].changing:
            lists, found = await _list(request)
            check_preconditions(request, _details(found))
            if any(other.name == body.name and other.id != found.id for other in lists.all()):
                raise ConflictError("there is another list of this name")
            await _submit(request, [_named(request, found.id, body)], "taas.list.put")
            return Reply.resource(replace(_details(found), contract_id=body.contract_id, name=body.name))

    return await once(request, raw, act)


async def delete_list(request: web.Request) -> web.Response:
    """Delete a list; what was revoked by no other is restored."""

    async def act() -> Reply:
        async with request.app[LISTS].changing:
            lists, found = await _list(request)
            check_preconditions(request, _details(found))
            orders = lists.orders_to_remove(found.id, lists.on(found.id))
            await _submit(request, [*orders, order_to_delete(found.id)], "taas.list.delete")
            return Reply(204)

    return await once(request, b"", act)


async def add_identifiers(request: web.Request) -> web.Response:
    """Revoke sessions; durations under half an hour are raised to that."""
    raw = await request.clone(client_max_size=MAX_BODY).read()

    async def act() -> Reply:
        wanted = decode(raw, _identifiers)
        async with request.app[LISTS].changing:
            lists, found = await _list(request)
            now = request.app[NODE].clock()
            until = {each.id: now + max(each.duration_seconds, MIN_DURATION_S) for each in wanted}
            if len(lists.on(found.id).keys() | until.keys()) > MAX_IDENTIFIERS:
                raise ConflictError(f"a list holds at most {MAX_IDENTIFIERS} identifiers")
            await _submit(request, lists.orders_to_add(found.id, until, found.name), "taas.identifiers.add")
            return Reply.json(await _meta(request, found))

    return await once(request, raw, act)


async def remove_identifiers(request: web.Request) -> web.Response:
    """Take sessions off a list."""
    raw = await request.clone(client_max_size=MAX_BODY).read()

    async def act() -> Reply:
        wanted = decode(raw, _ids)
        async with request.app[LISTS].changing:
            lists, found = await _list(request)
            await _submit(request, lists.orders_to_remove(found.id, wanted), "taas.identifiers.remove")
            return Reply.json(await _meta(request, found))

    return await once(request, raw, act)


async def get_identifiers(request: web.Request) -> web.Response:
    """Every session on a list, and for how many seconds more."""
    lists, found = await _list(request)
    now = request.app[NODE].clock()
    return json_answer([_identifier(value, until, now) for value, until in lists.on(found.id).items()])


async def get_identifier(request: web.Request) -> web.Response:
    """One session on a list."""
    lists, found = await _list(request)
    value = request.match_info["token"]
    until = lists.on(found.id).get(value)
    if until is None:
        raise NotFoundError("not on this list")
    return json_answer(_identifier(value, until, request.app[NODE].clock()))


async def get_meta(request: web.Request) -> web.Response:
    """How many sessions are on a list, and how many there may be."""
    _, found = await _list(request)
    return json_answer(await _meta(request, found))


async def get_properties(request: web.Request) -> web.Response:
    """What heeds a list: every stream of this deployment does."""
    await _list(request)
    streams = enumerate(sorted(request.app[NODE].streams), start=1)
    return json_answer([Property(arl_file_id=at, property_id=at, property_name=name) for at, name in streams])


async def _lists(request: web.Request) -> Lists:
    lists = request.app[LISTS]
    await lists.refresh(request.app[NODE].clock())
    return lists


async def _list(request: web.Request) -> tuple[Lists, RevocationList]:
    text = request.match_info["list"]
    lists = await _lists(request)
    found = lists.get(int(text)) if text.isascii() and text.isdecimal() and len(text) <= 15 else None
    if found is None:
        raise NotFoundError("no such list")
    return lists, found


async def _meta(request: web.Request, found: RevocationList) -> ListMeta:
    lists = await _lists(request)
    return ListMeta(len(lists.on(found.id)), MAX_IDENTIFIERS)


async def _submit(request: web.Request, orders: list[Order], what: str) -> None:
    if orders:
        await submit(request, orders, what)


def _named(request: web.Request, number: int, body: ListBody) -> Order:
    return order_of_list(number, body.name, body.contract_id, request.app[NODE].clock())


def _details(found: RevocationList) -> ListDetails:
    return ListDetails(
        contract_id=found.contract,
        created_by=found.created_by,
        created_time=int(found.created_at),
        id=found.id,
        name=found.name,
    )


def _identifier(value: str, until: float, now: float) -> Listed:
    return Listed(value, max(0, round(until - now)))


_row = partial(Operation, tag="Akamai revocation lists")
_ONE = f"{PATH}/{{list}}"
_read = partial(_row, method="GET", roles=READERS)
_write = partial(_row, roles=OPERATORS, headers=(IDEMPOTENCY_KEY,))
OPERATIONS = (
    _read(path=PATH, handler=get_lists, answers={200: list[ListDetails]}),
    _write(
        method="POST",
        path=PATH,
        handler=post_list,
        body=ListBody,
        answers={202: ListMade},
        errors=(ConflictError,),
    ),
    _read(path=_ONE, handler=get_list, headers=(IF_NONE_MATCH,), answers={200: ListDetails, 304: None}),
    _write(
        method="PUT",
        path=_ONE,
        handler=put_list,
        body=ListBody,
        headers=(IDEMPOTENCY_KEY, IF_MATCH),
        answers={200: ListDetails},
        errors=(ConflictError,),
    ),
    _write(
        method="DELETE",
        path=_ONE,
        handler=delete_list,
        headers=(IDEMPOTENCY_KEY, IF_MATCH),
        answers={204: None},
    ),
    _write(
        method="POST",
        path=f"{_ONE}/identifiers/add",
        handler=add_identifiers,
        body=ToAdd,
        answers={200: ListMeta},
        errors=(ConflictError,),
    ),
    _write(
        method="POST",
        path=f"{_ONE}/identifiers/remove",
        handler=remove_identifiers,
        body=ToRemove,
        answers={200: ListMeta},
    ),
    _read(path=f"{_ONE}/identifiers", handler=get_identifiers, answers={200: list[Listed]}),
    _read(path=f"{_ONE}/identifiers/{{token}}", handler=get_identifier, answers={200: Listed}),
    _read(path=f"{_ONE}/meta", handler=get_meta, answers={200: ListMeta}),
    _read(path=f"{_ONE}/properties", handler=get_properties, answers={200: list[Property]}),
)
