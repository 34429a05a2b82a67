"""``/api/v1/drm/protection-policy``: the scenes of a stream, and what holds when."""

from functools import partial
from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct, structs

from keys.periods import Clock, CryptoPeriod
from policies.model import ScenesChange
from policies.text import SceneText, ms_of, read_scenes, write_scenes
from relay.api.plans import Boundary, Moments, PlacedPolicy, PlacedScene, Policy, PolicyBody
from relay.control.errors import (
    BodyError,
    ConflictError,
    Flaw,
    NotFoundError,
    PreconditionFailedError,
    TimelineUnknownError,
)
from relay.control.idempotency import Reply, once
from relay.control.moments import read_moment
from relay.control.notes import NOTES
from relay.control.places import (
    changed_of,
    effect_of,
    generation_of,
    instant_of,
    period_of,
    terms_texts,
    version_of,
)
from relay.control.planning import Standing, drafts_of, seen_of, standing_of, stream_of
from relay.control.policy_body import read_policy
from relay.control.preconditions import CREATE_ONLY, IF_MATCH, IF_NONE_MATCH, check_preconditions, tag_of, tagged_answer
from relay.control.requests import WaitQuery, actor_of, json_answer, read_query
from relay.errors import RequestError
from relay.node import NODE, Node
from relay.operation import IDEMPOTENCY_KEY, Operation
from relay.plans import KIND, name_of
from relay.roles import OPERATORS, READERS
from relay.streams import Stream
from relay.units import Name

PATH = "/api/v1/drm/protection-policy"
MAX_BOUNDARIES = 256
DEFAULT_BOUNDARIES = 16
MAX_NAMED = 20
"""Streams that an error lists."""


class StreamQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``stream_id`` may be left out where only one stream is configured."""

    stream_id: Name | None = None


class ChangeQuery(WaitQuery, frozen=True, kw_only=True):
    """``stream_id`` may be left out where only one stream is configured, or the body names it."""

    stream_id: Name | None = None


class MomentQuery(StreamQuery, frozen=True, kw_only=True):
    """``at`` is a time: ISO 8601 with an offset, ``HH:MM:SS`` of the event, or ms of stream time; without it, now.

    ``clock`` is which of the stream's clocks is meant, if it has several; ``limit`` how many boundaries to list.
    """

    at: Annotated[str, Meta(max_length=64)] = ""
    clock: Clock | None = None
    limit: Annotated[int, Meta(ge=0, le=MAX_BOUNDARIES)] = DEFAULT_BOUNDARIES


async def put_policy(request: web.Request) -> web.Response:
    """Set the scenes of a stream, from where nobody has seen it yet."""
    raw = await request.read()
    query = read_query(request, ChangeQuery)

    async def act() -> Reply:
        body, starts_at = read_policy(raw, request.app[NODE].clock())
        name = _named(request.app[NODE], body.stream_id, query.stream_id)
        return await _change(request, name, body.scenes, starts_at, query)

    return await once(request, raw, act)


async def post_policy(request: web.Request) -> web.Response:
    """The same as putting them."""
    return await put_policy(request)


async def delete_policy(request: web.Request) -> web.Response:
    """Let the stream's own terms hold again, from where nobody has seen it yet."""
    query = read_query(request, ChangeQuery)

    async def act() -> Reply:
        name = _named(request.app[NODE], None, query.stream_id)
        return await _change(request, name, (), None, query)

    return await once(request, b"", act)


async def get_policy(request: web.Request) -> web.Response:
    """The scenes of a stream, as they were ordered and where they lie."""
    node = request.app[NODE]
    name = _named(node, None, read_query(request, StreamQuery).stream_id)
    stream, standing = await seen_of(node, name)
    return tagged_answer(request, policy_of(node, stream, standing), version_of(stream.plan.latest(ScenesChange)))


async def get_timeline(request: web.Request) -> web.Response:
    """What holds at a time of a stream, and where that changes."""
    node, query = request.app[NODE], read_query(request, MomentQuery)
    stream, standing = await standing_of(node, _named(node, None, query.stream_id))
    clock = query.clock or next(one for one in Clock if one in standing.edges)
    if clock not in standing.edges:
        raise RequestError(f"clock: {stream.name} is not on it, but on {', '.join(sorted(standing.edges))}")
    return json_answer(moments_of(stream, standing, clock, time_at(query.at, stream, standing, clock), query.limit))


def policy_of(node: Node, stream: Stream, standing: Standing) -> Policy:
    """A stream's scenes as they look to operators."""
    plan, ordered = stream.plan, stream.plan.latest(ScenesChange)
    kept = ordered and node.registry.documents.get(KIND, name_of(stream.name, ordered.id), standing.now)
    clocks = {*standing.edges, *(ordered.since if ordered else ())}
    return Policy(
        stream_id=stream.name,
        version=version_of(ordered),
        scenes=list(read_scenes(kept.body)) if kept else [],
        own_terms=terms_texts(plan.own_terms),
        clocks={clock: _placed(stream, standing, clock, ordered) for clock in sorted(clocks)},
    )


def _placed(stream: Stream, standing: Standing, clock: Clock, ordered: ScenesChange | None) -> PlacedPolicy:
    edge = standing.edges.get(clock)
    return PlacedPolicy(
        takes_effect_at=effect_of(standing, clock, ordered),
        edge=None if edge is None else instant_of(standing, clock, edge),
        scenes=[
            PlacedScene(
                label=scene.label,
                start=instant_of(standing, clock, scene.start),
                end=None if scene.end is None else instant_of(standing, clock, scene.end),
                terms=terms_texts(scene.terms),
            )
            for scene in stream.plan.scenes(clock)
        ],
    )


def time_at(text: str, stream: Stream, standing: Standing, clock: Clock) -> int:
    """The stream time that a query means. Raises :class:`RequestError`."""
    if not text:
        return standing.edges[clock]
    if text.isdecimal() and len(text) < 17:
        return int(text)
    try:
        time = ms_of(text)
    except ValueError:
        pass
    else:
        scenes = stream.plan.latest(ScenesChange)
        if scenes is None or clock not in scenes.zero:
            raise RequestError("at: times of the event need scenes that say when it begins")
        return max(0, scenes.zero[clock] + time)
    if clock is Clock.MEDIA:
        raise RequestError("at: a finished title is at no time; give HH:MM:SS or ms of stream time")
    try:
        return max(0, standing.time_of(clock, read_moment(text)))
    except ValueError as err:
        raise RequestError(f"at: {err}") from None


def moments_of(stream: Stream, standing: Standing, clock: Clock, time: int, limit: int) -> Moments:
    """What holds at a time on a clock, and the boundaries to come."""
    plan, schedule = stream.plan, stream.schedule_of(clock)
    period, here = schedule.period_at(time), stream.plan.stretch_at(clock, time)
    generation = generation_of(stream, period.start)
    following: list[CryptoPeriod] = []
    after = period
    while after.end is not None and len(following) < limit:
        after = schedule.period_at(after.end)
        following.append(after)
    return Moments(
        stream_id=stream.name,
        clock=clock,
        moment=instant_of(standing, clock, time),
        scene=here.scene.label if here.scene else None,
        terms=terms_texts(here.terms),
        period=period_of(standing, clock, period),
        generation=generation,
        epoch=plan.epoch_of(period.start),
        published=stream.timeline.released(period.start, standing.now),
        boundaries=[
            Boundary(
                start=instant_of(standing, clock, one.start),
                scene=there.scene.label if there.scene else None,
                generation=generation_of(stream, one.start),
                terms=terms_texts(there.terms),
            )
            for one in following
            for there in (plan.stretch_at(clock, one.start),)
        ],
    )


def _named(node: Node, *names: str | None) -> str:
    """The stream that a request means. Raises :class:`RequestError` where that is not said, or said twice."""
    given = {name for name in names if name is not None}
    if len(given) > 1:
        raise RequestError("stream_id: the body and the query name two streams")
    if given:
        return given.pop()
    if len(node.streams) > 1:
        known = ", ".join(sorted(node.streams)[:MAX_NAMED])
        raise RequestError(f"stream_id: required, for there are several: {known}")
    return next(iter(node.streams))


async def _change(
    request: web.Request, name: str, scenes: tuple[SceneText, ...], starts_at: float | None, wait: WaitQuery
) -> Reply:
    node, actor = request.app[NODE], actor_of(request)
    stream, standing = await standing_of(node, name)
    if starts_at is not None and all(clock is Clock.MEDIA for clock in standing.edges):
        raise BodyError([Flaw("/starts_at", f"{name} is a finished title: it is at no time, and begins with itself")])
    before = stream.plan.latest(ScenesChange)
    check_preconditions(request, version_of(before))
    if not scenes and not (before and before.scenes):
        # There is nothing to take back.
        return Reply.json(policy_of(node, stream, standing), tag=tag_of(version_of(before)))
    body = write_scenes(standing.since, standing.zero(starts_at), scenes)
    put = await node.registry.put(drafts_of(node, stream, standing, [body], actor), wait.wait, wait.timeout_ms / 1000)
    answer = structs.replace(policy_of(node, stream_of(node, name), standing), change=changed_of(put))
    effect = {"id": answer.version, "stream": name, "scenes": len(scenes), "complete": put.complete}
    request.app[NOTES].audit(actor, f"policy.{request.method.lower()}", effect)
    return Reply.json(answer, 200 if put.complete else 202, tag=tag_of(answer.version))


_row = partial(Operation, path=PATH, tag="Scenes and rotation")
_change_row = partial(
    _row,
    roles=OPERATORS,
    query=ChangeQuery,
    headers=(IDEMPOTENCY_KEY, IF_MATCH, CREATE_ONLY),
    answers={200: Policy, 202: Policy},
    errors=(NotFoundError, ConflictError, PreconditionFailedError, TimelineUnknownError),
)
OPERATIONS = (
    _change_row(method="PUT", handler=put_policy, body=PolicyBody),
    _change_row(method="POST", handler=post_policy, body=PolicyBody),
    _change_row(method="DELETE", handler=delete_policy),
    _row(
        method="GET",
        handler=get_policy,
        roles=READERS,
        query=StreamQuery,
        headers=(IF_NONE_MATCH,),
        answers={200: Policy, 304: None},
        errors=(NotFoundError,),
    ),
    _row(
        method="GET",
        path=f"{PATH}/timeline",
        handler=get_timeline,
        roles=READERS,
        query=MomentQuery,
        answers={200: Moments},
        errors=(NotFoundError, TimelineUnknownError),
    ),
)
