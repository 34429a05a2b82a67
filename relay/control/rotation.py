"""``/api/v1/drm/key-rotation``: how the keys of a stream rotate, and replacing all of them at once."""

from functools import partial

import msgspec
from aiohttp import web
from msgspec import Struct, structs

from keys.model import Scheme
from keys.periods import Clock, RotationPolicy, first_segment_at
from policies.model import Rekeying, RotationChange
from policies.plan import MAX_CHANGES
from policies.text import ms_in, write_rekeying, write_rotation
from relay.api.plans import (
    DEFAULT_INTERVAL_MINUTES,
    Emergency,
    EmergencyBody,
    KeyRotation,
    NewKeys,
    PlacedRotation,
    Rotation,
    RotationBody,
)
from relay.config import MAX_WINDOW_PERIODS
from relay.control.errors import (
    BodyError,
    ConflictError,
    Flaw,
    NotFoundError,
    PreconditionFailedError,
    TimelineUnknownError,
)
from relay.control.idempotency import Reply, once
from relay.control.notes import NOTES
from relay.control.places import (
    changed_of,
    effect_of,
    generation_of,
    instant_of,
    period_of,
    sessions_by_stream,
    version_of,
)
from relay.control.planning import Standing, drafts_of, seen_of, spread_of, standing_of, stream_of
from relay.control.preconditions import CREATE_ONLY, IF_MATCH, check_preconditions, tag_of
from relay.control.requests import WaitQuery, actor_of, decode, json_answer, read_query
from relay.node import NODE, Node
from relay.operation import IDEMPOTENCY_KEY, Operation
from relay.roles import OPERATORS, READERS
from relay.streams import Stream
from relay.units import Name

PATH = "/api/v1/drm/key-rotation"
SCHEMES = {"AES-128-CTR": Scheme.CENC, "AES-128-CBC": Scheme.CBCS}
_ALGORITHMS = {scheme: name for name, scheme in SCHEMES.items()}


class RotationQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which stream."""

    stream_id: Name


_body: msgspec.json.Decoder[RotationBody] = msgspec.json.Decoder(RotationBody)
_emergency: msgspec.json.Decoder[EmergencyBody] = msgspec.json.Decoder(EmergencyBody)


async def put_rotation(request: web.Request) -> web.Response:
    """Let keys rotate in another rhythm, from where nobody has seen the stream yet."""
    raw = await request.read()
    wait = read_query(request, WaitQuery)

    async def act() -> Reply:
        body = decode(raw, _body)
        return await _change(request, body.stream_id, body.key_rotation, wait)

    return await once(request, raw, act)


async def post_rotation(request: web.Request) -> web.Response:
    """The same as putting it."""
    return await put_rotation(request)


async def get_rotation(request: web.Request) -> web.Response:
    """How the keys of a stream rotate, and where that stands."""
    node = request.app[NODE]
    stream, standing = await seen_of(node, read_query(request, RotationQuery).stream_id)
    # Where rotation stands changes by the second, so it is never answered that nothing did.
    answer = rotation_of(node, stream, standing)
    return json_answer(answer, ETag=tag_of(answer.version))


async def post_emergency(request: web.Request) -> web.Response:
    """Replace all keys of a stream, from the next segments on."""
    raw = await request.read()
    wait = read_query(request, WaitQuery)

    async def act() -> Reply:
        return await _rekey(request, decode(raw, _emergency), wait)

    return await once(request, raw, act)


def check_rotation(stream: Stream, wanted: KeyRotation) -> None:
    """Raise :class:`BodyError` for a rotation that contradicts itself or the stream."""
    scheme = SCHEMES[wanted.algorithm]
    if scheme not in stream.config.schemes:
        offered = ", ".join(sorted(_ALGORITHMS[one] for one in stream.config.schemes if one in _ALGORITHMS)) or "none"
        detail = f"needs the scheme {scheme}, which {stream.name} is not offered with; there is: {offered}"
        raise BodyError([Flaw("/key_rotation/algorithm", detail)])
    interval_ms, lead_ms = _interval_of(wanted), round(wanted.pre_delivery_seconds * 1000)
    if not wanted.enabled:
        return
    if lead_ms >= interval_ms:
        raise BodyError([Flaw("/key_rotation/pre_delivery_seconds", "must be shorter than the interval")])
    try:
        RotationPolicy(interval_ms, lead_ms)
    except ValueError as err:
        raise BodyError([Flaw("/key_rotation/interval_minutes", str(err))]) from None
    if stream.config.window / interval_ms > MAX_WINDOW_PERIODS:
        detail = f"more than {MAX_WINDOW_PERIODS} keys in the stream's window, more than a player can hold"
        raise BodyError([Flaw("/key_rotation/interval_minutes", detail)])


def rotation_of(node: Node, stream: Stream, standing: Standing) -> Rotation:
    """A stream's rotation as it looks to operators."""
    ordered = stream.plan.latest(RotationChange)
    return Rotation(
        stream_id=stream.name,
        version=version_of(ordered),
        key_rotation=key_rotation_of(stream),
        epoch=stream.plan.epoch,
        sessions=sessions_by_stream(node)[stream.name],
        clocks={clock: _placed(stream, standing, clock, ordered) for clock in sorted(standing.edges)},
    )


def key_rotation_of(stream: Stream) -> KeyRotation:
    """How a stream's keys rotate, in the words that it would be ordered with."""
    policy, ordered = stream.rotation, stream.plan.latest(RotationChange)
    scheme = (ordered.scheme if ordered else None) or stream.config.scheme
    rekeys = ordered.rekeys if ordered else True
    return KeyRotation(
        enabled=policy.interval_ms > 0,
        # What a stream that does not rotate would rotate by is nowhere: the default is as good as any.
        interval_minutes=policy.interval_ms / 60_000 or DEFAULT_INTERVAL_MINUTES,
        pre_delivery_seconds=policy.pre_delivery_ms / 1000,
        on_compromise="immediate_rotate" if rekeys else "none",
        algorithm="AES-128-CTR" if scheme is Scheme.CENC else "AES-128-CBC",
    )


def _placed(stream: Stream, standing: Standing, clock: Clock, ordered: RotationChange | None) -> PlacedRotation:
    schedule, edge = stream.schedule_of(clock), standing.edges[clock]
    period = schedule.period_of(edge)
    told_from = None
    if period.end is not None and clock is not Clock.MEDIA:
        told_from = max(0, first_segment_at(period.end) - schedule.policy.pre_delivery_ms)
    return PlacedRotation(
        edge=instant_of(standing, clock, edge),
        period=period_of(standing, clock, period),
        generation=generation_of(stream, period.start),
        epoch=stream.plan.epoch_of(period.start),
        next_rotation=None if period.end is None else instant_of(standing, clock, period.end),
        next_keys_at=None if told_from is None else instant_of(standing, clock, told_from),
        next_keys_out=told_from is not None and told_from <= edge,
        takes_effect_at=effect_of(standing, clock, ordered),
    )


def _interval_of(wanted: KeyRotation) -> int:
    return ms_in(wanted.interval_minutes) if wanted.enabled else 0


async def _change(request: web.Request, name: str, wanted: KeyRotation, wait: WaitQuery) -> Reply:
    node, actor = request.app[NODE], actor_of(request)
    check_rotation(stream_of(node, name), wanted)
    stream, standing = await standing_of(node, name)
    check_preconditions(request, version_of(stream.plan.latest(RotationChange)))
    body = write_rotation(
        standing.since,
        _interval_of(wanted),
        round(wanted.pre_delivery_seconds * 1000),
        wanted.on_compromise == "immediate_rotate",
        SCHEMES[wanted.algorithm],
    )
    put = await node.registry.put(drafts_of(node, stream, standing, [body], actor), wait.wait, wait.timeout_ms / 1000)
    answer = structs.replace(rotation_of(node, stream_of(node, name), standing), change=changed_of(put))
    effect = {"id": answer.version, "stream": name, "interval_ms": _interval_of(wanted), "complete": put.complete}
    request.app[NOTES].audit(actor, f"rotation.{request.method.lower()}", effect)
    return Reply.json(answer, 200 if put.complete else 202, etag=tag_of(answer.version))


async def _rekey(request: web.Request, body: EmergencyBody, wait: WaitQuery) -> Reply:
    node, actor = request.app[NODE], actor_of(request)
    stream, standing = await standing_of(node, body.stream_id)
    rotation = stream.plan.latest(RotationChange)
    if rotation and not rotation.rekeys:
        raise ConflictError(f"the keys of {stream.name} are not to be replaced at once: its on_compromise is none")
    spread_ms = spread_of(stream) if body.spread_seconds is None else round(body.spread_seconds * 1000)
    change = write_rekeying(standing.next_segments, stream.plan.epoch + 1, spread_ms)
    # A plan that is full must not keep anybody from replacing keys that leaked.
    drafts = drafts_of(node, stream, standing, [change], actor, most=2 * MAX_CHANGES)
    put = await node.registry.put(drafts, wait.wait, wait.timeout_ms / 1000)
    stream = stream_of(node, body.stream_id)
    answer = Emergency(
        stream_id=stream.name,
        version=version_of(stream.plan.latest(Rekeying)),
        epoch=stream.plan.epoch,
        clocks={
            clock: NewKeys(start=instant_of(standing, clock, start), generation=generation_of(stream, start))
            for clock, start in standing.next_segments.items()
        },
        spread_seconds=spread_ms / 1000,
        sessions=sessions_by_stream(node)[stream.name],
        change=changed_of(put),
    )
    effect = {"id": answer.version, "stream": stream.name, "epoch": answer.epoch, "reason": body.reason}
    request.app[NOTES].audit(actor, "rotation.emergency", effect | {"complete": put.complete})
    return Reply.json(answer, 200 if put.complete else 202)


_row = partial(Operation, path=PATH, tag="Scenes and rotation")
_change_row = partial(
    _row,
    roles=OPERATORS,
    query=WaitQuery,
    body=RotationBody,
    headers=(IDEMPOTENCY_KEY, IF_MATCH, CREATE_ONLY),
    answers={200: Rotation, 202: Rotation},
    errors=(NotFoundError, ConflictError, PreconditionFailedError, TimelineUnknownError),
)
OPERATIONS = (
    _change_row(method="PUT", handler=put_rotation),
    _change_row(method="POST", handler=post_rotation),
    _row(
        method="GET",
        handler=get_rotation,
        roles=READERS,
        query=RotationQuery,
        answers={200: Rotation},
        errors=(NotFoundError,),
    ),
    _row(
        method="POST",
        path=f"{PATH}/emergency",
        handler=post_emergency,
        roles=OPERATORS,
        query=WaitQuery,
        body=EmergencyBody,
        headers=(IDEMPOTENCY_KEY,),
        answers={200: Emergency, 202: Emergency},
        errors=(NotFoundError, ConflictError, TimelineUnknownError),
    ),
)
