"""Segments of watermarked streams: which variant this session gets, and that it got it."""

import structlog

from keys.model import TrackType
from relay.bodies import Body, Whole
from relay.edge.visit import Visit
from relay.errors import MediaError, OriginMissingError
from relay.telemetry.metrics import UNMARKED
from relay.urls import SegmentRef
from relay.watermark.marking import Marking
from relay.watermark.pace import NOT_MARKED
from relay.watermark.positions import OUTSIDE, UNKNOWN, Place

_log = structlog.get_logger()


def marking_of(visit: Visit, ref: SegmentRef) -> Marking | None:
    """How a segment is watermarked, if it is one of those that may be."""
    return None if ref.slot.track is TrackType.AUDIO else visit.stream.marking


async def marked_segment(visit: Visit, marking: Marking, ref: SegmentRef) -> Body:
    """A video segment of a watermarked stream: the variant that the code has for the session there.

    It is variant a for everybody where the pace information says that nothing is marked, where that cannot be had, and
    where variant b is missing. What the code did not decide is noted as such.
    """
    node, stream, scheme = visit.node, visit.stream, visit.cls.scheme
    place = node.positions.get(stream, marking, ref) or await node.positions.find(stream, marking, ref)
    position = place.position
    if position == OUTSIDE:
        return await node.delivery.segment(stream, scheme, ref)
    if position == NOT_MARKED:
        return await node.delivery.variant(stream, scheme, ref, marking, 0)
    viewing = node.servings.viewing(visit.visitor, marking.asset)
    if position == UNKNOWN:
        body = await _unplaced(visit, marking, ref)
        UNMARKED.labels("position").inc()
        viewing.note(position, False, node.clock())
        return body
    variant = viewing.bit(marking.code, position)
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
    viewing.note(position, given == variant, node.clock())
    return body


def marked_at_hand(visit: Visit, marking: Marking, ref: SegmentRef) -> tuple[Whole, int] | None:
    """The same where nothing is amiss, if it is in memory; and its position, to be noted once it is served."""
    node = visit.node
    place = node.positions.get(visit.stream, marking, ref)
    if place is None or place.position < 0 or place.single:
        return None
    number = node.servings.viewing(visit.visitor, marking.asset).number
    variant = node.selector.bit(marking.code, number, place.position)
    body = node.delivery.at_hand(visit.stream, visit.cls.scheme, ref, variant)
    return (body, place.position) if body else None


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
