"""``/api/v1/drm/watermark/mappings``: which sessions the watermark ids of other vendors belong to."""

from dataclasses import dataclass
from functools import partial

import msgspec
from aiohttp import web

from relay.api.marks import MAX_FOR_S, MAX_MAPPED, Mapped, MappingBody, MappingsDone
from relay.api.revocations import Id
from relay.control.errors import BodyError, BusyError, Flaw, NotFoundError
from relay.control.idempotency import Reply, once
from relay.control.moments import read_moment
from relay.control.notes import NOTES
from relay.control.records import report_of
from relay.control.requests import actor_of, decode, json_answer
from relay.errors import RequestError
from relay.node import NODE, Node
from relay.operation import IDEMPOTENCY_KEY, Operation
from relay.roles import OPERATORS, READERS, REVOKERS
from relay.state.registry import Put
from relay.state.replica import Wait
from relay.watermark.detections.records import MAPPING_KIND, Mapping, encode

PATH = "/api/v1/drm/watermark/mappings"
REMEMBERED_S = 30 * 86_400
MAX_SESSIONS = 64
"""Of one watermark id: revoking it revokes them all."""
ANSWER_S = 2.0
MAX_ID = 128
_body: msgspec.json.Decoder[MappingBody | list[MappingBody]] = msgspec.json.Decoder(MappingBody | list[MappingBody])


@dataclass(frozen=True, slots=True)
class _Given:
    mapping: Mapping
    expires_at: float


async def post_mappings(request: web.Request) -> web.Response:
    """Say whose watermark ids are, one or up to 256, so that revoking such an id stops the session.

    An id that is revoked already stops it at once. Ids that session tokens bring (`wmid`) need no mapping.
    """
    raw = await request.read()

    async def act() -> Reply:
        node = request.app[NODE]
        given = _read(raw, node.clock())
        _check_room(node, given)
        actor = actor_of(request)
        drafts = [
            node.registry.draft(MAPPING_KIND, one.mapping.name, encode(one.mapping), actor, one.expires_at)
            for one in given
        ]
        put = await node.registry.put(drafts, Wait.ALL, ANSWER_S)
        request.app[NOTES].audit(actor, "watermark.mappings.post", {"mappings": len(given), "complete": put.complete})
        return Reply.json(_done(put), 201)

    return await once(request, raw, act)


async def get_mapping(request: web.Request) -> web.Response:
    """The sessions of a watermark id."""
    node, watermark_id = request.app[NODE], _watermark_id(request)
    return json_answer(Mapped(watermark_id=watermark_id, session_ids=session_ids(node, watermark_id)))


async def delete_mapping(request: web.Request) -> web.Response:
    """Forget whose a watermark id is."""

    async def act() -> Reply:
        node, actor, watermark_id = request.app[NODE], actor_of(request), _watermark_id(request)
        known = node.marks.mapped(watermark_id, node.clock())
        if not known:
            raise NotFoundError("that watermark id is mapped to no session")
        drafts = [node.registry.draft(MAPPING_KIND, mapping.name, b"", actor) for mapping in known]
        put = await node.registry.put(drafts, Wait.ALL, ANSWER_S)
        effect = {"mappings": len(known), "complete": put.complete}
        request.app[NOTES].audit(actor, "watermark.mappings.delete", effect)
        return Reply.json(_done(put))

    return await once(request, b"", act)


def session_ids(node: Node, watermark_id: str) -> list[str]:
    """The sessions that a watermark id is mapped to."""
    return [mapping.session_id for mapping in node.marks.mapped(watermark_id, node.clock())]


def _watermark_id(request: web.Request) -> str:
    watermark_id = request.match_info["id"]
    if len(watermark_id) > MAX_ID:
        raise RequestError(f"id: at most {MAX_ID} characters")
    return watermark_id


def _read(raw: bytes, now: float) -> list[_Given]:
    body = decode(raw, _body)
    several = isinstance(body, list)
    items = body if isinstance(body, list) else [body]
    if not 0 < len(items) <= MAX_MAPPED:
        raise BodyError([Flaw("", f"{len(items)} mappings, expected 1 to {MAX_MAPPED}")])
    given: dict[str, _Given] = {}
    for number, item in enumerate(items):
        mapping = Mapping(watermark_id=item.watermark_id, session_id=item.session_id)
        given[mapping.name] = _Given(mapping, _expiry(item, now, f"/{number}" if several else ""))
    return list(given.values())


def _expiry(item: MappingBody, now: float, pointer: str) -> float:
    try:
        expires_at = now + REMEMBERED_S if item.expires_at is None else read_moment(item.expires_at, now)
    except ValueError as err:
        raise BodyError([Flaw(f"{pointer}/expires_at", str(err))]) from None
    if not now < expires_at <= now + MAX_FOR_S:
        raise BodyError([Flaw(f"{pointer}/expires_at", "lies in the past, or more than a year ahead")])
    return expires_at


def _check_room(node: Node, given: list[_Given]) -> None:
    if not node.marks.has_room(MAPPING_KIND, len(given)):
        raise BusyError("as many mappings are kept as may be; let some expire, or take some back", 60)
    sessions: dict[str, set[str]] = {}
    for one in given:
        known = sessions.setdefault(one.mapping.watermark_id, set(session_ids(node, one.mapping.watermark_id)))
        known.add(one.mapping.session_id)
        if len(known) > MAX_SESSIONS:
            raise BodyError([Flaw("", f"a watermark id would be mapped to more than {MAX_SESSIONS} sessions")])


def _done(put: Put) -> MappingsDone:
    nodes = [report_of(report) for report in put.nodes]
    return MappingsDone(mappings=len(put.events), complete=put.complete, nodes=nodes)


_row = partial(Operation, tag="Watermarks")
OPERATIONS = (
    _row(
        method="POST",
        path=PATH,
        handler=post_mappings,
        roles=REVOKERS,
        body=MappingBody | list[MappingBody],
        headers=(IDEMPOTENCY_KEY,),
        answers={201: MappingsDone},
        errors=(BusyError,),
    ),
    _row(
        method="GET",
        path=f"{PATH}/{{id}}",
        handler=get_mapping,
        roles=READERS,
        answers={200: Mapped},
        path_types={"id": Id},
    ),
    _row(
        method="DELETE",
        path=f"{PATH}/{{id}}",
        handler=delete_mapping,
        roles=OPERATORS,
        headers=(IDEMPOTENCY_KEY,),
        answers={200: MappingsDone},
        errors=(NotFoundError,),
        path_types={"id": Id},
    ),
)
