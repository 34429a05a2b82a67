"""Per-period signalling: a DASH Period for each crypto period (DASH-IF IOP part 6, key rotation)."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from fractions import Fraction

from lxml import etree
from lxml.etree import _Element as Element

from keys.model import TrackType
from keys.periods import Schedule, first_segment_at
from relay.errors import ManifestError
from relay.manifest.dash.addressing import Addressing, PeriodTimes, Whole
from relay.manifest.dash.mpd import MAX_ELEMENTS, children, named, remove
from relay.manifest.dash.timeline import Stretch, Timing
from relay.manifest.dash.tracks import add_property
from relay.manifest.dash.values import integer, write_duration

MAX_LIVE_PIECES = 64
"""How many crypto periods of a long live window are shown; older ones are left out."""

MAX_PIECES = 1000

CONTINUITY = "urn:mpeg:dash:period-continuity:2015"
ASSET = "urn:org:dashif:asset-id:2013"


@dataclass(frozen=True, slots=True)
class Rendition:
    """A Representation: its track type (None: stays clear) and its addressing."""

    track: TrackType | None
    addressing: Addressing


@dataclass(frozen=True, slots=True)
class Piece:
    """The part [start, end) of a Period, in seconds since that starts, that is shown as one Period.

    ``crypto`` is the crypto period it lies in, or None in stable signalling. ``first`` and ``last`` say
    that no piece of the Period is before or behind it.
    """

    start: Fraction = Fraction()
    end: Fraction | None = None
    crypto: int | None = None
    first: bool = True
    last: bool = True

    def cut(self, timing: Timing) -> Timing:
        """The segments that overlap this piece; one that straddles an edge belongs to both sides."""
        return timing.cut(self.start or None, None if self.last else self.end)


def pieces_of(
    times: PeriodTimes, sets: Sequence[Sequence[Rendition]], schedule: Schedule, window_ms: tuple[int, int] | None
) -> list[Piece]:
    """Cut a Period where its reference video enters a new crypto period, in the same places for all sets.

    ``window_ms`` is the stream time that a live presentation shows, from the first to the last moment
    that may be announced; None where it is static. The cuts do not depend on how far the window has slid.
    Raises :class:`ManifestError` over :data:`MAX_PIECES` cuts.
    """
    timing = _reference(sets)
    whole = [Piece(crypto=schedule.period_of(times.origin_ms).start)]
    if timing is None:
        return whole
    if window_ms is not None and not timing.listed:
        timing = timing.within(*window_ms)
    stretches = timing.stretches(schedule, MAX_PIECES)
    if stretches is None:
        raise ManifestError(f"MPD: more than {MAX_PIECES} crypto periods, each of which would need a Period")
    if not stretches:
        return whole
    starts = [timing.anchor.seconds(stretch.first_tick) for stretch in stretches]
    starts[0] = Fraction() if window_ms is None else _begin(timing, stretches[0])
    ends = [*starts[1:], times.length]
    pieces = [
        Piece(start, end, stretch.period, first=index == 0, last=index == len(stretches) - 1)
        for index, (start, end, stretch) in enumerate(zip(starts, ends, stretches, strict=True))
    ]
    if window_ms is not None:
        return _ready(pieces, sets)[-MAX_LIVE_PIECES:]
    return pieces


def split_period(period: Element, times: PeriodTimes, pieces: Sequence[Piece], asset: str) -> list[Element]:
    """Replace a Period by one for each piece, without their segments, and return these.

    Their @id and @start follow from the origin's Period and the crypto period alone. ``asset`` names the
    content that they all belong to. Raises :class:`ManifestError` where that would grow too large.
    """
    if len(pieces) * sum(1 for _ in period.iter()) > MAX_ELEMENTS:
        raise ManifestError(f"MPD: a Period for each of {len(pieces)} crypto periods would make too large a manifest")
    if len(pieces) * sum(1 for _ in period.iter()) > MAX_ELEMENTS:
        raise ManifestError(f"MPD: a Period for each of {len(pieces)} crypto periods would make too large a manifest")
    name = period.get("id") or f"p{int(times.start * 1000)}"
    made: list[Element] = []
    for piece in pieces:
        copy = deepcopy(period)
        copy.set("id", f"{name}-{piece.crypto}")
        copy.set("start", write_duration(times.start + piece.start))
        if copy.attrib.pop("duration", None) is not None and piece.last and piece.end is not None:
            copy.set("duration", write_duration(piece.end - piece.start))
        if not children(copy, "AssetIdentifier"):
            copy.insert(0, etree.Element(named(copy, "AssetIdentifier"), schemeIdUri=ASSET, value=asset))
        for stream in children(copy, "EventStream"):
            _cut_events(stream, piece)
        if made:
            for adaptation_set in children(copy, "AdaptationSet"):
                add_property(adaptation_set, CONTINUITY, made[-1].get("id", ""))
        made.append(copy)
    for copy in reversed(made):
        period.addnext(copy)
    remove([period])
    return made


def _reference(sets: Sequence[Sequence[Rendition]]) -> Timing | None:
    """The timing that says where Periods are cut: the first video's, else the first audio's, else any."""

    def preference(rendition: Rendition) -> int:
        return 2 if rendition.track is None else int(rendition.track is TrackType.AUDIO)

    for rendition in sorted((rendition for group in sets for rendition in group), key=preference):
        if not isinstance(rendition.addressing, Whole):
            return rendition.addressing.timing
    return None


def _begin(timing: Timing, first: Stretch) -> Fraction:
    """Where the crypto period of the first segment of a live window began.

    Its first segments may have left the window, but a Period's start must not move while the window
    slides. So it is counted back in steps of the first listed segment's duration, which finds the same
    start for as long as the encoder cuts regularly.
    """
    step = timing.runs[0].duration
    earliest = timing.anchor.tick_at(first_segment_at(first.period))
    steps = max(0, (first.first_tick - earliest) // step)
    return max(Fraction(), timing.anchor.seconds(first.first_tick - steps * step))


def _ready(pieces: list[Piece], sets: Sequence[Sequence[Rendition]]) -> list[Piece]:
    """Hold back a last piece into which not every rendition of the one before has come yet."""
    if len(pieces) < 2:
        return pieces
    before, last = pieces[-2:]
    for rendition in (rendition for group in sets for rendition in group):
        if isinstance(rendition.addressing, Whole) or not rendition.addressing.timing.listed:
            continue
        timing = rendition.addressing.timing
        if before.cut(timing).runs and not last.cut(timing).runs:
            return pieces[:-1]
    return pieces


def _cut_events(stream: Element, piece: Piece) -> None:
    """Keep the events that start in a piece, on a timeline that counts from its start."""
    timescale = integer(stream, "timescale", 1, low=1)
    offset = integer(stream, "presentationTimeOffset", 0)
    for event in children(stream, "Event"):
        at = Fraction(integer(event, "presentationTime", 0) - offset, timescale)
        if (at < piece.start and not piece.first) or (not piece.last and piece.end is not None and at >= piece.end):
            remove([event])
    moved = offset + piece.start * timescale
    factor = moved.denominator
    if factor > 1:
        stream.set("timescale", str(timescale * factor))
        for event in children(stream, "Event"):
            for name in ("presentationTime", "duration"):
                if name in event.attrib:
                    event.set(name, str(integer(event, name) * factor))
    if moved:
        stream.set("presentationTimeOffset", str(int(moved * factor)))
