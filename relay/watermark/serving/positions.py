"""Which position each segment has: asked of the origin once, and remembered by the segment's name.

What cannot be learnt is not guessed. Such a segment is served as variant a to everybody for a while, so that nobody's
playback breaks and no session gets some of it from one variant and some from the other.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from time import monotonic

import structlog

from relay.errors import OriginError, UnsupportedMediaError
from relay.media.init_segment import InitSegment
from relay.media.presentation import starts_at
from relay.origin.cache import ByteCache, Flights
from relay.origin.client import Origin
from relay.sources import ByteRange, Source
from relay.streams import Stream
from relay.urls import SegmentRef
from relay.watermark.etsi.pace import NOT_MARKED
from relay.watermark.etsi.sidecar import EGRESS_HEADER, MAX_BYTES, ByteRanges, Discrete, read_egress, read_sidecar
from relay.watermark.serving.marking import Marking

UNKNOWN = -2
"""The position of a segment whose pace information could not be had."""
OUTSIDE = -3
"""That of a segment which is none of those watermarked."""
LOOK_AGAIN_S = 30.0
"""For how long what failed is taken for missing."""
HEAD_BYTES = 64 * 1024
"""Of a segment, to read when it begins: more than the boxes before any sample take."""
INLINE_BYTES = 16 * 1024
_ANY_SIZE = 2**62
MAX_PLACES = 50_000
_FILES_MEMORY = 8 * 1024 * 1024
_log = structlog.get_logger()
InitOf = Callable[[Stream, Source, ByteRange | None], Awaitable[InitSegment]]
"""Gives a stream's parsed init segment."""
_Name = tuple[str, str, str, int, int, int | None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a segment stands: its position, or one of the negative ones.

    ``single`` if variant b of it is missing. Believed until ``until``, in seconds of the monotonic clock; 0: for good.
    """

    position: int
    marking: Marking
    until: float = 0.0
    single: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    """The byte ranges of one file."""

    ranges: ByteRanges

    @property
    def weight(self) -> int:
        """Bytes kept alive."""
        return 80 * len(self.ranges.starts)


class SpanningRangeError(UnsupportedMediaError):
    """The manifest lists a byte range over several positions: it has no one variant."""


class Positions:
    """The positions of a node's segments, the :data:`MAX_PLACES` learnt last. ``init_of`` gives init segments."""

    def __init__(self, origin: Origin, init_of: InitOf, clock: Callable[[], float] = monotonic) -> None:
        self._origin = origin
        self._init_of = init_of
        self._clock = clock
        self._places: dict[_Name, Place] = {}
        self._files: ByteCache[tuple[Marking, str, Source], _File] = ByteCache(_FILES_MEMORY)
        self._flights: Flights[_Name, Place] = Flights()

    def get(self, stream: Stream, marking: Marking, ref: SegmentRef) -> Place | None:
        """What is known of a segment; None: ask :meth:`find`."""
        place = self._places.get(_name(stream, ref))
        # The same object, as long as the stream's configuration is the same.
        if place is None or place.marking is not marking or (place.until and place.until < self._clock()):
            return None
        return place

    async def find(self, stream: Stream, marking: Marking, ref: SegmentRef) -> Place:
        """A segment's place. Raises :class:`SpanningRangeError` for a byte range over several positions."""
        found = self.get(stream, marking, ref)
        if found is not None:
            return found
        name = _name(stream, ref)
        return await self._flights.join(name, lambda: self._look(stream, marking, ref))

    def put(self, stream: Stream, ref: SegmentRef, place: Place) -> None:
        """Remember a segment's place; the oldest one makes room."""
        name = _name(stream, ref)
        self._places.pop(name, None)
        if len(self._places) >= MAX_PLACES:
            del self._places[next(iter(self._places))]
        self._places[name] = place

    def note_single(self, stream: Stream, ref: SegmentRef, place: Place) -> None:
        """Variant b of a segment could not be had: let everybody have variant a for a while."""
        self.put(stream, ref, replace(place, single=True, until=self._clock() + LOOK_AGAIN_S))

    async def _look(self, stream: Stream, marking: Marking, ref: SegmentRef) -> Place:
        place = Place(OUTSIDE, marking)
        if marking.covers(ref.slot.track, ref.source.path):
            try:
                place = Place(await self._position(stream, marking, ref), marking)
            except SpanningRangeError:
                raise
            except OriginError as err:
                _log.warning("watermark_position_unknown", stream=stream.name, code=err.code, detail=str(err))
                place = Place(UNKNOWN, marking, self._clock() + LOOK_AGAIN_S)
        self.put(stream, ref, place)
        return place

    async def _position(self, stream: Stream, marking: Marking, ref: SegmentRef) -> int:
        match marking.pace:
            case "sidecar":
                return await self._from_sidecar(stream, marking, ref)
            case "egress":
                return await self._from_header(stream, marking, ref)
            case "time":
                return await self._from_time(stream, marking, ref)

    async def _from_sidecar(self, stream: Stream, marking: Marking, ref: SegmentRef) -> int:
        file = marking, stream.name, ref.source
        known = self._files.get(file)
        if known:
            return _in_file(known.ranges, ref.range)
        fetched = await self._origin.get(stream.scope, marking.sidecar(ref.source), MAX_BYTES)
        if len(fetched.data) <= INLINE_BYTES:
            sidecar = read_sidecar(fetched.data)
        else:
            sidecar = await asyncio.to_thread(read_sidecar, fetched.data)
        if isinstance(sidecar, Discrete):
            position = sidecar.position_of(ref.source.path.rpartition("/")[2])
            if position is None:
                raise OriginError("the sidecar does not name the segment that it lies beside")
            return position
        self._files.put(file, _File(sidecar))
        return _in_file(sidecar, ref.range)

    async def _from_header(self, stream: Stream, marking: Marking, ref: SegmentRef) -> int:
        source = marking.variant(ref.source, 0)
        async with self._origin.open(stream.scope, source, _ANY_SIZE, span=ref.range, method="HEAD") as response:
            return read_egress(response.header(EGRESS_HEADER))

    async def _from_time(self, stream: Stream, marking: Marking, ref: SegmentRef) -> int:
        if ref.init is None:
            raise OriginError("media without an init segment does not say when it begins")
        init = await self._init_of(stream, ref.init, ref.init_range)
        first, length = (ref.range.start, ref.range.length) if ref.range else (0, None)
        span = ByteRange(first, HEAD_BYTES if length is None else min(length, HEAD_BYTES))
        data = b""
        async with self._origin.open(stream.scope, marking.variant(ref.source, 0), HEAD_BYTES, span=span) as response:
            async for chunk in response.chunks():
                data += chunk
                starts = starts_at(data, init)
                if starts is not None:
                    return max(0, int(starts * 1000 // marking.segment_ms))
        raise OriginError(f"the first {HEAD_BYTES >> 10} KiB of the segment do not say when it begins")


def _name(stream: Stream, ref: SegmentRef) -> _Name:
    # Of strings and numbers, whose hashes are quickly made; that of a reference costs as much as all else here.
    source, span = ref.source, ref.range
    if span is None:
        return stream.name, source.path, source.query, source.base, 0, None
    return stream.name, source.path, source.query, source.base, span.start, span.length


def _in_file(ranges: ByteRanges, span: ByteRange | None) -> int:
    first, length = (span.start, span.length) if span else (0, None)
    last = ranges.file_size - 1 if length is None else first + length - 1
    if last < ranges.starts[0]:
        return NOT_MARKED
    position = ranges.position_of(first, last)
    if position is None:
        raise SpanningRangeError("a byte range over several watermark positions, or past the end of its file")
    return position
