"""Writing the addressing of a Representation anew, with this relay's URLs."""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace

from lxml import etree
from lxml.etree import SubElement
from lxml.etree import _Element as Element

from keys.model import TrackType
from keys.periods import Clock, Schedule
from relay.errors import ManifestError, UnsupportedMediaError
from relay.manifest.context import RewriteContext
from relay.manifest.dash.addressing import Addressing, Listed, Part, Templated, Whole
from relay.manifest.dash.mpd import children, named
from relay.manifest.dash.periods import Piece, Rendition
from relay.manifest.dash.timeline import Run, Stretch, Timing, write_timeline
from relay.manifest.dash.values import MAX_NUMBER, integer
from relay.urls import MAX_URL, ClearRef, Clocked, InitRef, Ref, SegmentRef, SlotRef, Span, TemplateRef

MAX_SPANS = MAX_URL // len("0-0:1.0,")
"""Crypto periods that a template's URL could name one by one at the very most; usually its length ends it."""

_VALUE_DIGITS = len(str(MAX_NUMBER))


@dataclass(frozen=True, slots=True)
class SegmentWriter:
    """Writes Representations of one MPD. ``up`` leads from it to the class folder; ``live`` has no end yet."""

    ctx: RewriteContext
    schedule: Schedule
    up: str
    live: bool

    def write(self, element: Element, rendition: Rendition, piece: Piece) -> None:
        """Give a Representation its addressing. Raises :class:`ManifestError`."""
        addressing = rendition.addressing
        if isinstance(addressing, Whole):
            self._write_whole(element, addressing, piece)
            return
        if rendition.track is not None and addressing.init is None:
            raise UnsupportedMediaError("MPD: a Representation without an init segment cannot be protected")
        if isinstance(addressing, Templated):
            self._write_template(element, rendition.track, addressing, piece)
        else:
            self._write_list(element, rendition.track, addressing, piece)

    def _write_template(self, element: Element, track: TrackType | None, template: Templated, piece: Piece) -> None:
        timing = piece.cut(template.timing)
        out = SubElement(element, named(element, "SegmentTemplate"), dict(template.attributes))
        _write_scale(out, timing, piece)
        if template.init is not None:
            out.set("initialization", self._init(track, template.init, piece))
        out.set("media", self.up + self._media(track, template, timing, piece))
        if timing.runs and template.identifier == "$Number$":
            out.set("startNumber", str(timing.runs[0].number))
        if timing.listed or not timing.runs or self._misaligned(timing, piece):
            write_timeline(out, timing.runs)
        else:
            _write_duration(out, timing.runs[0])

    def _media(self, track: TrackType | None, template: Templated, timing: Timing, piece: Piece) -> str:
        """The URL of a template, short enough to be taken back with a value in it."""
        for ref in self._refs(track, template, timing, piece):
            url = self.ctx.urls.write_template(ref, template.identifier)
            if len(url) + _VALUE_DIGITS <= MAX_URL:
                return url
        raise ManifestError(f"MPD: a template's paths and crypto periods do not fit into {MAX_URL} characters")

    def _refs(
        self, track: TrackType | None, template: Templated, timing: Timing, piece: Piece
    ) -> Iterator[TemplateRef]:
        """What a template's URL can say, best first: which values exist and what crypto period each lies in, or,
        much shorter, the rule that gives a value its period."""
        if track is None or template.init is None:
            yield TemplateRef(template.media, track, None)
            return
        ref = TemplateRef(template.media, track, template.init.source, template.init.range)
        clock = _clocked(template, Clock.WALL if self.live else Clock.MEDIA)
        counted = self.live and not timing.listed
        if piece.crypto is not None:
            closed = self._closed(timing, piece.crypto)
            spans = self._span(track, template, closed, piece.crypto)
            yield replace(ref, spans=spans, clock=clock if counted else None)
            return
        stretches = None if counted else timing.stretches(self.schedule, MAX_SPANS)
        if stretches is not None:
            yield replace(ref, spans=tuple(self._spans(track, template, stretches)))
        if clock is not None:
            yield replace(ref, clock=clock)

    def _spans(self, track: TrackType, template: Templated, stretches: Iterable[Stretch]) -> Iterator[Span]:
        for stretch in stretches:
            slot = self.ctx.slot(track, stretch.period)
            first, last = stretch.first_number, stretch.last_number
            if template.identifier == "$Time$":
                first, last = stretch.first_tick, stretch.last_tick
            yield Span(first, last, slot.generation, stretch.period)

    def _misaligned(self, timing: Timing, piece: Piece) -> bool:
        """Whether @duration would be wrong: it means that the first segment starts where the Period does.

        Live, players would not take the change from @duration to a timeline when the window slides on.
        """
        return not self.live and timing.anchor.tick_of(piece.start) != timing.runs[0].start

    def _closed(self, timing: Timing, crypto: int) -> Timing:
        """A timing without end, ended where its crypto period does: the next Period brings the rest."""
        until = self.schedule.period_at(crypto).segments_until
        return timing if until is None or not timing.open else timing.within(None, until)

    def _span(self, track: TrackType, template: Templated, timing: Timing, crypto: int) -> tuple[Span, ...]:
        if not timing.runs:
            return ()
        first, last = timing.runs[0], timing.runs[-1]
        generation = self.ctx.slot(track, crypto).generation
        if template.identifier == "$Time$":
            return (Span(first.start, last.start + ((last.count or 1) - 1) * last.duration, generation, crypto),)
        end = None if last.count is None else last.number + last.count - 1
        return (Span(first.number, end, generation, crypto),)

    def _write_list(self, element: Element, track: TrackType | None, listed: Listed, piece: Piece) -> None:
        timing = piece.cut(listed.timing)
        out = SubElement(element, named(element, "SegmentList"), dict(listed.attributes))
        _write_scale(out, timing, piece)
        if listed.init is not None:
            url = self._init(track, listed.init, piece)
            SubElement(out, named(out, "Initialization"), sourceURL=url)
        write_timeline(out, timing.runs)
        for start_ms, number in _segments(timing):
            part = listed.media[number]
            ref: Ref = ClearRef(part.source, part.range)
            if track is not None and listed.init is not None:
                period = self.schedule.period_of(start_ms).start if piece.crypto is None else piece.crypto
                slot = self.ctx.slot(track, period)
                ref = SegmentRef(part.source, slot, part.range, listed.init.source, listed.init.range)
            SubElement(out, named(out, "SegmentURL"), media=self._url(ref))

    def _write_whole(self, element: Element, whole: Whole, piece: Piece) -> None:
        base = None if whole.base is None else deepcopy(whole.base)
        if base is None and piece.start:
            base = etree.Element(named(element, "SegmentBase"))
        if base is not None and piece.start:
            offset = integer(base, "presentationTimeOffset", 0)
            offset += int(piece.start * integer(base, "timescale", 1, low=1))
            base.set("presentationTimeOffset", str(offset))
        SubElement(element, named(element, "BaseURL")).text = self._url(ClearRef(whole.source))
        if base is not None:
            for initialization in children(base, "Initialization"):
                if whole.init is not None:
                    initialization.set("sourceURL", self._url(ClearRef(whole.init)))
            element.append(base)

    def _init(self, track: TrackType | None, init: Part, piece: Piece) -> str:
        if track is None:
            return self._url(ClearRef(init.source, init.range))
        return self._url(InitRef(init.source, slot_of(self.ctx, track, piece), init.range))

    def _url(self, ref: Ref) -> str:
        url = self.ctx.urls.write(ref)
        if len(url) > MAX_URL:
            raise ManifestError(f"MPD: a URL would be longer than {MAX_URL} characters")
        return self.up + url


def slot_of(ctx: RewriteContext, track: TrackType, piece: Piece) -> SlotRef:
    """The slot whose key ID a Period shows."""
    return ctx.stable(track) if piece.crypto is None else ctx.slot(track, piece.crypto)


def timing_of(addressing: Addressing) -> Timing | None:
    """When segments start, where the MPD says so."""
    return None if isinstance(addressing, Whole) else addressing.timing


def _clocked(template: Templated, clock: Clock) -> Clocked | None:
    """The rule that gives each value its stream time, where one rule does."""
    anchor = template.timing.anchor
    if template.identifier == "$Time$":
        return Clocked(anchor.origin_ms, anchor.offset, 1, anchor.timescale, clock)
    if template.timing.listed or not template.timing.runs:
        return None
    run = template.timing.runs[0]
    return Clocked(anchor.origin_ms, run.number, run.duration, anchor.timescale, clock)


def _segments(timing: Timing) -> Iterator[tuple[int, int]]:
    """Stream time and number of each segment."""
    for run in timing.runs:
        for index in range(run.count or 0):
            yield timing.anchor.ms(run.start + index * run.duration), run.number + index


def _write_scale(out: Element, timing: Timing, piece: Piece) -> None:
    out.set("timescale", str(timing.anchor.timescale))
    offset = timing.anchor.tick_of(piece.start)
    if offset:
        out.set("presentationTimeOffset", str(offset))


def _write_duration(out: Element, run: Run) -> None:
    out.set("duration", str(run.duration))
    if run.count is not None:
        out.set("endNumber", str(run.number + run.count - 1))
