"""``/api/v1/streams``: what is configured, what is known of it, and which group each stream is in."""

from functools import partial

import msgspec
from aiohttp import web

from policies.model import GroupChange, ScenesChange
from relay.api.streams import (
    LicenceTerms,
    SeenTimeline,
    StreamGroup,
    StreamGroupChanged,
    StreamPage,
    StreamScenes,
    StreamState,
)
from relay.control.errors import BodyError, ConflictError, Flaw, NotFoundError, TimelineUnknownError
from relay.control.idempotency import Reply, once
from relay.control.membership import joining
from relay.control.notes import NOTES
from relay.control.pages import NAMES, PageQuery, page_after, place_of
from relay.control.places import changed_of, effect_of, instant_of, sessions_by_stream, terms_texts, version_of
from relay.control.planning import Standing, drafts_of, seen_of, standing_of, stream_of
from relay.control.requests import WaitQuery, actor_of, decode, json_answer, read_query
from relay.control.rotation import key_rotation_of
from relay.groups import groups_of
from relay.node import NODE
from relay.operation import IDEMPOTENCY_KEY, Operation
from relay.roles import OPERATORS, READERS
from relay.streams import Stream
from relay.units import Name

PATH = "/api/v1/streams"
_body: msgspec.json.Decoder[StreamGroup] = msgspec.json.Decoder(StreamGroup)


async def get_streams(request: web.Request) -> web.Response:
    """All streams, as far as this node knows them by now."""
    node, query = request.app[NODE], read_query(request, PageQuery)
    names, following = page_after(sorted(node.streams), place_of(query.cursor, NAMES), query.limit)
    now, sessions = node.clock(), sessions_by_stream(node)
    streams = [state_of(node.streams[name], Standing.of(node.streams[name], now), sessions[name]) for name in names]
    return json_answer(StreamPage(streams=streams, next=following))


async def get_stream(request: web.Request) -> web.Response:
    """One stream; its origin is asked where it stands."""
    node = request.app[NODE]
    stream, standing = await seen_of(node, request.match_info["id"])
    return json_answer(state_of(stream, standing, sessions_by_stream(node)[stream.name]))


async def put_group(request: web.Request) -> web.Response:
    """Let a stream join a group as it is now, or leave the one that it is in, from where nobody has seen it yet."""
    raw = await request.read()
    wait = read_query(request, WaitQuery)

    async def act() -> Reply:
        return await _join(request, decode(raw, _body).group, wait)

    return await once(request, raw, act)


def state_of(stream: Stream, standing: Standing, sessions: int) -> StreamState:
    """A stream as it looks to operators: no credentials, and no queries of its origin, which may hold some."""
    config, licence, plan = stream.config, stream.licence, stream.plan
    scenes = plan.latest(ScenesChange)
    return StreamState(
        id=stream.name,
        origin=config.origin,
        also=list(config.also),
        manifests={kind: path.partition("?")[0] for kind, path in (("hls", config.hls), ("dash", config.dash)) if path},
        tracks=sorted(stream.timeline.tracks, key=lambda track: track.rank),
        scheme=config.scheme,
        schemes=list(config.schemes),
        signalling=config.signalling,
        systems=list(config.systems),
        group=plan.group.name if plan.group else None,
        key_rotation=key_rotation_of(stream),
        epoch=plan.epoch,
        scenes=StreamScenes(version=version_of(scenes), ordered=len(scenes.scenes) if scenes else 0),
        licence=LicenceTerms(
            persistent=licence.persistent,
            duration_s=licence.duration.seconds,
            start_within_s=licence.start_within.seconds,
            play_for_s=licence.play_for.seconds,
            renew_every_s=licence.renew_every.seconds,
            terms=terms_texts(plan.own_terms),
        ),
        stale=config.stale,
        timeline={
            clock: SeenTimeline(
                first=instant_of(standing, clock, max(0, seen.first)),
                edge=instant_of(standing, clock, standing.edges[clock]),
                ended=seen.final,
            )
            for clock, seen in sorted(stream.timeline.clocks.items())
        },
        sessions=sessions,
    )


async def _join(request: web.Request, name: str | None, wait: WaitQuery) -> Reply:
    node, actor = request.app[NODE], actor_of(request)
    stream, standing = await standing_of(node, request.match_info["id"])
    group = None if name is None else groups_of(node.registry.documents, node.clock()).get(name)
    if name is not None and group is None:
        raise BodyError([Flaw("/group", f"there is no group {name!r}")])
    drafts = drafts_of(node, stream, standing, joining(stream, standing, name, group), actor)
    put = await node.registry.put(drafts, wait.wait, wait.timeout_ms / 1000)
    stream = stream_of(node, stream.name)
    change = stream.plan.latest(GroupChange)
    placed = {clock: effect_of(standing, clock, change) for clock in sorted(standing.edges)}
    answer = StreamGroupChanged(
        stream=state_of(stream, standing, sessions_by_stream(node)[stream.name]),
        takes_effect_at={clock: place for clock, place in placed.items() if place},
        change=changed_of(put),
    )
    effect = {"id": version_of(change), "stream": stream.name, "group": name, "complete": put.complete}
    request.app[NOTES].audit(actor, "streams.group", effect)
    return Reply.json(answer, 200 if put.complete else 202)


_row = partial(Operation, tag="Streams", path_types={"id": Name})
OPERATIONS = (
    _row(method="GET", path=PATH, handler=get_streams, roles=READERS, query=PageQuery, answers={200: StreamPage}),
    _row(
        method="GET",
        path=f"{PATH}/{{id}}",
        handler=get_stream,
        roles=READERS,
        answers={200: StreamState},
        errors=(NotFoundError,),
    ),
    _row(
        method="PUT",
        path=f"{PATH}/{{id}}/group",
        handler=put_group,
        roles=OPERATORS,
        query=WaitQuery,
        body=StreamGroup,
        headers=(IDEMPOTENCY_KEY,),
        answers={200: StreamGroupChanged, 202: StreamGroupChanged},
        errors=(NotFoundError, ConflictError, TimelineUnknownError),
    ),
)
