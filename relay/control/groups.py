"""``/api/v1/drm/groups``: named templates of what streams have in common."""

import asyncio
from functools import partial

import msgspec
from aiohttp import web
from msgspec import structs

from keys.periods import RotationPolicy
from policies.text import GroupText, OutputsText
from relay.api.streams import GroupBody, GroupChanged, GroupPage, GroupState
from relay.control.errors import (
    BodyError,
    ConflictError,
    Flaw,
    NotFoundError,
    PreconditionFailedError,
    TimelineUnknownError,
)
from relay.control.idempotency import Reply, once
from relay.control.membership import joining
from relay.control.notes import NOTES
from relay.control.pages import NAMES, PageQuery, page_after, place_of
from relay.control.places import changed_of
from relay.control.planning import drafts_of, standing_now, standing_of, stream_of
from relay.control.preconditions import (
    CREATE_ONLY,
    IF_MATCH,
    IF_NONE_MATCH,
    check_preconditions,
    tag_of,
    tagged_answer,
)
from relay.control.requests import WaitQuery, actor_of, decode, json_answer, read_query
from relay.errors import RequestError
from relay.groups import KIND, groups_of, write_group
from relay.node import NODE, Node
from relay.operation import IDEMPOTENCY_KEY, Operation
from relay.roles import OPERATORS, READERS
from relay.units import Name

PATH = "/api/v1/drm/groups"
MAX_GROUPS = 1000
_body: msgspec.json.Decoder[GroupBody] = msgspec.json.Decoder(GroupBody)
_names: msgspec.json.Decoder[Name] = msgspec.json.Decoder(Name)


async def put_group(request: web.Request) -> web.Response:
    """Make a group, or change it: streams that are in it take it over anew, from where nobody has seen them yet."""
    raw = await request.read()
    wait = read_query(request, WaitQuery)

    async def act() -> Reply:
        body = decode(raw, _body)
        name = _name_of(request)
        if body.name not in (None, name):
            raise BodyError([Flaw("/name", f"the address says {name}")])
        check_group(body)
        return await _put(request, name, _text_of(body), wait)

    return await once(request, raw, act)


async def delete_group(request: web.Request) -> web.Response:
    """Do away with a group that no stream is in."""
    wait = read_query(request, WaitQuery)

    async def act() -> Reply:
        name = _name_of(request)
        state = _found(request.app[NODE], name)
        if state.streams:
            raise ConflictError(f"streams are in it: {', '.join(state.streams[:20])}; let them leave first")
        check_preconditions(request, state)
        return await _put(request, name, None, wait)

    return await once(request, b"", act)


async def get_group(request: web.Request) -> web.Response:
    """One group, and the streams that are in it."""
    return tagged_answer(request, _found(request.app[NODE], _name_of(request)))


async def get_groups(request: web.Request) -> web.Response:
    """All groups."""
    node, query = request.app[NODE], read_query(request, PageQuery)
    groups = groups_of(node.registry.documents, node.clock())
    names, following = page_after(list(groups), place_of(query.cursor, NAMES), query.limit)
    return json_answer(GroupPage(groups=[_state(node, name, groups[name]) for name in names], next=following))


def check_group(group: GroupText) -> None:
    """Raise :class:`BodyError` for a group that contradicts itself."""
    if group.persistent and not group.duration_minutes:
        raise BodyError([Flaw("/duration_minutes", "a stored licence needs an end")])
    if group.duration_minutes and (group.renew_minutes or 0) > group.duration_minutes:
        raise BodyError([Flaw("/renew_minutes", "longer than duration_minutes: the licence would have ended")])
    if group.drm_level is None and (group.hdcp not in (False, "none") or group.outputs != OutputsText()):
        raise BodyError([Flaw("/drm_level", "goes with hdcp and outputs")])
    try:
        RotationPolicy(group.group("").interval_ms or 0, 0)
    except ValueError as err:
        raise BodyError([Flaw("/rotation_minutes", str(err))]) from None


def _text_of(body: GroupBody) -> GroupText:
    return GroupText(**{field: getattr(body, field) for field in GroupText.__struct_fields__})


def _name_of(request: web.Request) -> str:
    try:
        return msgspec.convert(request.match_info["name"], Name)
    except msgspec.ValidationError:
        raise RequestError("name: letters, digits, - and _, at most 64, the first no sign") from None


def _found(node: Node, name: str) -> GroupState:
    group = groups_of(node.registry.documents, node.clock()).get(name)
    if group is None:
        raise NotFoundError(f"there is no group {name!r}")
    return _state(node, name, group)


def _state(node: Node, name: str, group: GroupText) -> GroupState:
    return GroupState(name=name, streams=_streams_in(node, name), **structs.asdict(group))


def _streams_in(node: Node, name: str) -> list[str]:
    return sorted(of for of, stream in node.streams.items() if stream.plan.group and stream.plan.group.name == name)


async def _put(request: web.Request, name: str, group: GroupText | None, wait: WaitQuery) -> Reply:
    node, actor = request.app[NODE], actor_of(request)
    seen = _streams_in(node, name)
    await asyncio.gather(*(standing_of(node, of) for of in seen))
    if seen != _streams_in(node, name):
        raise ConflictError("a stream has joined or left it in the meantime; try again")
    # Not as each of them stood when it had been seen: the others may have taken a while.
    standings = {of: standing_now(node, of)[1] for of in seen}
    groups = groups_of(node.registry.documents, node.clock())
    check_preconditions(request, _state(node, name, groups[name]) if name in groups else None)
    if group and name not in groups and len(groups) >= MAX_GROUPS:
        raise ConflictError(f"there are {MAX_GROUPS} groups already")
    drafts = [node.registry.draft(KIND, name, write_group(group) if group else b"", actor)]
    for of, standing in standings.items():
        stream = stream_of(node, of)
        drafts += drafts_of(node, stream, standing, joining(stream, standing, name, group), actor)
    put = await node.registry.put(drafts, wait.wait, wait.timeout_ms / 1000)
    state = _state(node, name, group) if group else None
    effect = {"id": put.events[0].id, "group": name, "streams": len(standings), "complete": put.complete}
    request.app[NOTES].audit(actor, f"groups.{request.method.lower()}", effect)
    answer = GroupChanged(group=state, change=changed_of(put))
    return Reply.json(answer, 200 if put.complete else 202, tag=tag_of(state) if state else "")


_row = partial(Operation, path=f"{PATH}/{{name}}", tag="DRM groups", path_types={"name": Name})
_change_row = partial(_row, roles=OPERATORS, query=WaitQuery, answers={200: GroupChanged, 202: GroupChanged})
OPERATIONS = (
    _row(method="GET", path=PATH, handler=get_groups, roles=READERS, query=PageQuery, answers={200: GroupPage}),
    _change_row(
        method="PUT",
        handler=put_group,
        body=GroupBody,
        headers=(IDEMPOTENCY_KEY, IF_MATCH, CREATE_ONLY),
        errors=(ConflictError, PreconditionFailedError, TimelineUnknownError),
    ),
    _row(
        method="GET",
        handler=get_group,
        roles=READERS,
        headers=(IF_NONE_MATCH,),
        answers={200: GroupState, 304: None},
        errors=(NotFoundError,),
    ),
    _change_row(
        method="DELETE",
        handler=delete_group,
        headers=(IDEMPOTENCY_KEY, IF_MATCH),
        errors=(NotFoundError, ConflictError, PreconditionFailedError),
    ),
)
