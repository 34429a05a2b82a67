"""Rewriting an MPD: clear in, protected out, every URL ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lxml.etree import _Element as Element

from keys.model import KeySignal, Scheme, TrackType
from keys.periods import Clock, Schedule
from relay.errors import ManifestError, RequestError
from relay.manifest.context import Observed, RewriteContext, Rewritten
from relay.manifest.dash import mpd, places
from relay.manifest.dash.addressing import FORMS, Levels, PeriodTimes, read_addressing, wanted_index
from relay.manifest.dash.bases import Bases
from relay.manifest.dash.index import IndexRequest
from relay.manifest.dash.periods import MAX_LIVE_PIECES, Piece, Rendition, pieces_of, split_period
from relay.manifest.dash.protection import protect
from relay.manifest.dash.segments import SegmentWriter, slot_of, timing_of
from relay.manifest.dash.tracks import split_by_key, track_of
from relay.manifest.dash.values import date_time_ms, duration_s, write_duration
from relay.manifest.dash.variants import neutralise
from relay.model import Signalling
from relay.sources import Source

MAX_INDEXES = 64

_MIN_SHELF_LIFE_S, _MAX_SHELF_LIFE_S = 0.5, 5.0
_SHELF_LIFE_WITHOUT_UPDATES_S = 1.0


def index_requests(data: bytes, ctx: RewriteContext, source: Source) -> list[IndexRequest]:
    """The segment indexes to fetch before :func:`rewrite_mpd`, which wants them as ``indexes``; usually none.

    Raises what that raises.
    """
    presentation = _Presentation.read(data, ctx, source, 0)
    found: dict[IndexRequest, None] = {}
    for period in mpd.children(presentation.root, "Period"):
        for levels in _representations(period):
            if track_of(levels, ctx.default_track) is not None:
                request = wanted_index(levels, presentation.bases(levels))
                if request is not None:
                    found[request] = None
    if len(found) > MAX_INDEXES:
        raise ManifestError(f"MPD: needs more than {MAX_INDEXES} segment indexes")
    return list(found)


def rewrite_mpd(
    data: bytes,
    ctx: RewriteContext,
    source: Source,
    at: str,
    now_ms: int,
    indexes: Mapping[IndexRequest, bytes] | None = None,
) -> Rewritten:
    """The MPD as it is served at ``at``, a path below the class folder. It was fetched from ``source``.

    ``now_ms`` is the wall clock; ``indexes`` holds what :func:`index_requests` asked for. Raises
    :class:`ManifestError` for an MPD that cannot be parsed or safely rewritten, the errors of media for
    content that is protected already or cannot be, :class:`OriginForeignError` for URLs outside the
    origin, and :class:`RequestError` for a class that DASH does not have.
    """
    if ctx.cls.scheme is Scheme.AES128:
        raise RequestError("AES-128 is a method of HLS; DASH has cenc and cbcs")
    presentation = _Presentation.read(data, ctx, source, now_ms)
    shown = [presentation.prepare(period, times, indexes or {}) for period, times in presentation.timeline()]
    mpd.remove(mpd.children(presentation.root, "BaseURL"))
    keys: dict[KeySignal, None] = {}
    written: list[tuple[_Shown, Element, Piece]] = []
    for part in shown:
        for element, piece in presentation.cut(part):
            written.append((part, element, piece))
            for rendition in part.renditions():
                if rendition.track is not None:
                    keys[ctx.signal(slot_of(ctx, rendition.track, piece))] = None
    writer = SegmentWriter(ctx, presentation.schedule, "../" * at.count("/"), presentation.dynamic)
    for part, element, piece in written:
        _write(element, part, piece, writer, list(keys))
    shelf_life = presentation.set_refresh(shown)
    body = mpd.serialise(presentation.root)
    if ctx.scope.addressed_in(body.decode()):
        raise ManifestError("MPD: holds the origin's address in a place that the relay does not know")
    return Rewritten(body, presentation.observed(shown), shelf_life)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A Period that is shown: its element, and the renditions of each AdaptationSet in document order.

    ``tracks`` are the track types of the origin's Period, those of renditions that are left out included.
    """

    element: Element
    times: PeriodTimes
    sets: Sequence[Sequence[Rendition]]
    tracks: frozenset[TrackType]

    def renditions(self) -> list[Rendition]:
        return [rendition for group in self.sets for rendition in group]


@dataclass(frozen=True, slots=True)
class _Presentation:
    """An MPD under the rewriter's hands. ``start_ms`` is its availabilityStartTime, 0 where static."""

    root: Element
    ctx: RewriteContext
    source: Source
    dynamic: bool
    start_ms: int
    now_ms: int
    endless: bool
    schedule: Schedule

    @classmethod
    def read(cls, data: bytes, ctx: RewriteContext, source: Source, now_ms: int) -> "_Presentation":
        root = mpd.parse(data)
        neutralise(root, ctx.marked)
        places.refuse_protected(root)
        dynamic = root.get("type", "static").strip() == "dynamic"
        start = date_time_ms(root, "availabilityStartTime")
        if dynamic and start is None:
            raise ManifestError("MPD: dynamic, but has no @availabilityStartTime")
        endless = any(entry.get("r", "").strip().startswith("-") for entry in mpd.descendants(root, "S"))
        places.clean(root, ctx.scope, now_ms)
        schedule = ctx.schedule_of(Clock.WALL if dynamic else Clock.MEDIA)
        return cls(root, ctx, source, dynamic, start or 0 if dynamic else 0, now_ms, endless, schedule)

    def bases(self, levels: Levels) -> Bases:
        """What the URLs of a Representation resolve against."""
        bases = Bases.of(self.ctx.scope, self.source)
        for level in (self.root, levels.period, levels.adaptation_set, levels.representation):
            bases = bases.below(level)
        return bases

    def timeline(self) -> list[tuple[Element, PeriodTimes]]:
        """The Periods and where they lie (ISO/IEC 23009-1 §5.3.2.1); those not scheduled yet are removed."""
        periods = mpd.children(self.root, "Period")
        starts: list[Fraction | None] = []
        following: Fraction | None = Fraction()
        for period in periods:
            start = duration_s(period, "start")
            start = following if start is None else start
            duration = duration_s(period, "duration")
            following = None if start is None or duration is None else start + duration
            starts.append(start)
        total = duration_s(self.root, "mediaPresentationDuration")
        found = []
        for index, (period, start) in enumerate(zip(periods, starts, strict=True)):
            if start is None:
                if not self.dynamic:
                    raise ManifestError("MPD: nothing says where a Period starts")
                mpd.remove([period])
                continue
            after = starts[index + 1] if index + 1 < len(periods) else total
            duration = duration_s(period, "duration")
            end = after if duration is None else start + duration
            if end is not None and end < start:
                raise ManifestError("MPD: a Period ends before it starts")
            origin = self.start_ms + int(start * 1000)
            now = Fraction(self.now_ms - origin, 1000) if self.dynamic else None
            found.append((period, PeriodTimes(start, end, origin, now)))
        if not found:
            raise ManifestError("MPD: no Period")
        return found

    def prepare(self, period: Element, times: PeriodTimes, indexes: Mapping[IndexRequest, bytes]) -> _Shown:
        """Read a Period's renditions, leave out what is above the ceiling, and take its addressing off."""
        read: dict[Element, Rendition] = {}
        tracks: set[TrackType] = set()
        for levels in _representations(period):
            track = track_of(levels, self.ctx.default_track)
            if track is not None:
                tracks.add(track)
            if track is not None and track.rank > self.ctx.cls.ceiling.rank:
                mpd.remove([levels.representation])
                continue
            addressing = read_addressing(levels, self.bases(levels), times, track is not None, indexes)
            read[levels.representation] = Rendition(track, addressing)
        mpd.remove(s for s in mpd.children(period, "AdaptationSet") if not mpd.children(s, "Representation"))
        for levels in _representations(period):
            for level in (period, levels.adaptation_set, levels.representation):
                mpd.remove(mpd.children(level, "BaseURL", *FORMS))
        split_by_key(period, {element: rendition.track for element, rendition in read.items()})
        sets = [
            [read[representation] for representation in mpd.children(found, "Representation")]
            for found in mpd.children(period, "AdaptationSet")
        ]
        return _Shown(period, times, sets, frozenset(tracks))

    def cut(self, part: _Shown) -> list[tuple[Element, Piece]]:
        """The Periods that a Period becomes: itself, or with per-period signalling one for each crypto period."""
        if self.ctx.cls.signalling is Signalling.STABLE:
            return [(part.element, Piece())]
        window = None
        if self.dynamic:
            depth = duration_s(self.root, "timeShiftBufferDepth")
            first = part.times.origin_ms if depth is None else self.now_ms - int(depth * 1000)
            if self.schedule.policy.interval_ms:
                first = max(first, self.now_ms - MAX_LIVE_PIECES * self.schedule.policy.interval_ms)
            window = (first, self.schedule.releasable_until(self.now_ms))
        pieces = pieces_of(part.times, part.sets, self.schedule, window)
        asset = f"{self.ctx.stream}/{part.element.get('id', '')}"
        return list(zip(split_period(part.element, part.times, pieces, asset), pieces, strict=True))

    def set_refresh(self, shown: Sequence[_Shown]) -> float | None:
        """Make players come back in time for what is not in the MPD yet; return its shelf life in seconds."""
        if not self.dynamic:
            return None
        period = duration_s(self.root, "minimumUpdatePeriod")
        limits = []
        if self.ctx.cls.signalling is Signalling.PERIOD and self.schedule.policy.interval_ms:
            # Twice within the time that the next Period is announced ahead.
            limits.append(Fraction(max(1000, self.schedule.policy.pre_delivery_ms // 2), 1000))
        if self.endless:
            # Timelines without end were ended where they are now.
            limits.append(min((step for part in shown for step in _steps(part)), default=Fraction(1)))
        if limits and (period is None or period > min(limits)):
            period = min(limits)
            self.root.set("minimumUpdatePeriod", write_duration(period))
        if period is None:
            return _SHELF_LIFE_WITHOUT_UPDATES_S
        return min(_MAX_SHELF_LIFE_S, max(_MIN_SHELF_LIFE_S, float(period) / 2))

    def observed(self, shown: Sequence[_Shown]) -> Observed | None:
        """What the MPD says of the stream's timeline."""
        depth = duration_s(self.root, "timeShiftBufferDepth")
        first: list[int] = []
        edge: list[int] = []
        usual: list[int] = []
        for part in shown:
            for timing in filter(None, (timing_of(rendition.addressing) for rendition in part.renditions())):
                if self.dynamic and not timing.listed:
                    oldest = None if depth is None else self.now_ms - int(depth * 1000)
                    timing = timing.within(oldest, self.now_ms)
                if timing.runs:
                    last = timing.runs[-1]
                    end = timing.anchor.ms(last.start + (last.count or 1) * last.duration)
                    first.append(timing.anchor.ms(timing.runs[0].start))
                    usual.append(timing.anchor.ms(last.start + last.duration) - timing.anchor.ms(last.start))
                    edge.append(end if timing.listed or not self.dynamic else min(end, self.now_ms))
        tracks = frozenset(track for part in shown for track in part.tracks)
        if not first:
            return None
        clock = Clock.WALL if self.dynamic else Clock.MEDIA
        return Observed(clock, min(first), max(edge), not self.dynamic, tracks, max(0, min(usual)))


def _representations(period: Element) -> list[Levels]:
    return [
        Levels(period, found, representation)
        for found in mpd.children(period, "AdaptationSet")
        for representation in mpd.children(found, "Representation")
    ]


def _write(element: Element, part: _Shown, piece: Piece, writer: SegmentWriter, window: list[KeySignal]) -> None:
    """Fill a Period: addressing for each Representation, protection for each AdaptationSet that needs it."""
    for found, group in zip(mpd.children(element, "AdaptationSet"), part.sets, strict=True):
        timings = [timing_of(rendition.addressing) for rendition in group]
        if (piece.start or not piece.last) and all(timing and not piece.cut(timing).runs for timing in timings):
            mpd.remove([found])  # sparse text may have nothing in a crypto period
            continue
        for representation, rendition in zip(mpd.children(found, "Representation"), group, strict=True):
            writer.write(representation, rendition, piece)
        track = next((rendition.track for rendition in group), None)
        if track is not None:
            protect(found, writer.ctx.signal(slot_of(writer.ctx, track, piece)), window, writer.ctx.cls)


def _steps(part: _Shown) -> list[Fraction]:
    timings = filter(None, (timing_of(rendition.addressing) for rendition in part.renditions()))
    return [Fraction(run.duration, timing.anchor.timescale) for timing in timings for run in timing.runs]
