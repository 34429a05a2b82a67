"""Segments of watermarked streams: which variant this session gets, and that it got it."""

from collections.abc import Callable
from functools import partial

import structlog
from aiohttp import web

from keys.model import TrackType
from relay.bodies import Body, Whole
from relay.edge.visit import Visit
from relay.errors import MediaError, OriginMissingError
from relay.gate.targets import Target, TargetType
from relay.telemetry.metrics import UNMARKED
from relay.urls import SegmentRef
from relay.verdict import Deny, Reason
from relay.watermark.etsi.carriers import take_out
from relay.watermark.etsi.pace import NOT_MARKED
from relay.watermark.etsi.wmt import WatermarkToken
from relay.watermark.serving.marking import Marking
from relay.watermark.serving.positions import OUTSIDE, UNKNOWN, Place

_log = structlog.get_logger()


def marking_of(visit: Visit, ref: SegmentRef) -> Marking | None:
    """How a segment is watermarked, if it is one of those that may be."""
    return None if ref.slot.track is TrackType.AUDIO else visit.stream.marking


async def marked_segment(request: web.Request, visit: Visit, marking: Marking, ref: SegmentRef) -> Body | Deny:
    """A video segment of a watermarked stream: the variant that the code, or a token, has for the session there.

    It is variant a for everybody where the pace information says that nothing is marked, where that cannot be had, and
    where variant b is missing. What the code did not decide is noted as such.
    """
    node, stream, scheme = visit.node, visit.stream, visit.cls.scheme
    token = _token(request, visit, marking) if marking.vendors else None
    if isinstance(token, Deny):
        return token
    place = node.positions.get(stream, marking, ref) or await node.positions.find(stream, marking, ref)
    position = place.position
    if position == OUTSIDE:
        return await node.delivery.segment(stream, scheme, ref)
    if position == NOT_MARKED:
        return await node.delivery.variant(stream, scheme, ref, marking, 0)
    viewing = node.servings.viewing(visit.visitor, marking.asset, token.watermark_id if token else "")
    if position == UNKNOWN:
        body = await _unplaced(visit, marking, ref)
        UNMARKED.labels("position").inc()
        viewing.note(position, False, node.clock())
        return body
    variant = token.bit(position, marking.code) if token else viewing.bit(marking.code, position)
    given = 0 if place.single else variant
    try:
        body = await node.delivery.variant(stream, scheme, ref, marking, given)
    except (OriginMissingError, MediaError) as err:
        if not given:
            raise
        body = await _single(visit, marking, ref, place, err)
        given = 0
    if given != variant:
        UNMARKED.labels("variant").inc()
    # A pattern that came with its token is none of the code's, so that nobody is told by it here.
    decided = given == variant and (token is None or token.pattern is None)
    viewing.note(position, decided, node.clock())
    return body


def marked_at_hand(visit: Visit, marking: Marking, ref: SegmentRef) -> tuple[Whole, Callable[[], None]] | None:
    """The same where the code alone decides, if it is in memory; and what notes that it was served."""
    node = visit.node
    place = None if marking.vendors else node.positions.get(visit.stream, marking, ref)
    if place is None or place.position < 0 or place.single:
        return None
    viewing = node.servings.viewing(visit.visitor, marking.asset)
    variant = viewing.bit(marking.code, place.position)
    body = node.delivery.at_hand(visit.stream, visit.cls.scheme, ref, variant)
    return (body, partial(viewing.note, place.position, True, node.clock())) if body else None


def _token(request: web.Request, visit: Visit, marking: Marking) -> WatermarkToken | Deny:
    """What the watermark token that came with a request says; anything else than a valid one is refused."""
    path, _, query = request.raw_path.partition("?")
    carried = take_out(path, query, request.headers.get("Authorization", ""))
    if isinstance(carried, Deny):
        return Deny(Reason.WATERMARK_TOKEN, carried.detail)
    if not carried.token:
        return Deny(Reason.WATERMARK_TOKEN, "no watermark token came with the request")
    said = visit.node.policies.watermark_tokens.verify(carried.token, visit.node.clock())
    if isinstance(said, Deny):
        return Deny(Reason.WATERMARK_TOKEN, f"{said.reason}: {said.detail}")
    if said.vendor not in marking.vendors:
        return Deny(Reason.WATERMARK_TOKEN, "the token is not from a vendor of this stream")
    if said.watermark_id and visit.node.revocations.stands(Target(TargetType.WATERMARK, said.watermark_id)):
        return Deny(Reason.REVOKED, "the watermark id of the token is revoked")
    return said


async def _unplaced(visit: Visit, marking: Marking, ref: SegmentRef) -> Body:
    """A segment without pace information: it may well be that it has no variants either."""
    delivery = visit.node.delivery
    try:
        return await delivery.variant(visit.stream, visit.cls.scheme, ref, marking, 0)
    except OriginMissingError:
        return await delivery.segment(visit.stream, visit.cls.scheme, ref)


async def _single(
    visit: Visit, marking: Marking, ref: SegmentRef, place: Place, err: MediaError | OriginMissingError
) -> Body:
    """Variant a instead of variant b; where a is no better, the failure is that of the segment."""
    node = visit.node
    body = await node.delivery.variant(visit.stream, visit.cls.scheme, ref, marking, 0)
    _log.warning("watermark_variant_unusable", stream=visit.stream.name, code=err.code, detail=str(err))
    node.positions.note_single(visit.stream, ref, place)
    return body
