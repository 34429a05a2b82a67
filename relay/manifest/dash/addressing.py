"""How a Representation names its segments (ISO/IEC 23009-1 §5.3.9), read into one of three forms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lxml.etree import _Element as Element

from relay.errors import ManifestError, UnsupportedMediaError
from relay.manifest.dash.bases import Bases
from relay.manifest.dash.index import MAX_INDEX_BYTES, IndexRequest, read_index
from relay.manifest.dash.mpd import children, local
from relay.manifest.dash.template import expand
from relay.manifest.dash.timeline import Anchor, Run, Timing, read_timeline
from relay.manifest.dash.values import byte_range, integer
from relay.sources import ByteRange, Source
from relay.templates import count_placeholders

FORMS = ("SegmentTemplate", "SegmentList", "SegmentBase")

# What the rewriter writes itself, or drops because it named or described bytes that protection changes.
_OWN = frozenset({
    "media", "initialization", "index", "bitstreamSwitching", "indexRange", "indexRangeExact",
    "timescale", "presentationTimeOffset", "startNumber", "endNumber", "duration",
})  # fmt: skip
_MAX_TIMESCALE = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Part:
    """A resource or a byte range of one."""

    source: Source
    range: ByteRange | None = None


@dataclass(frozen=True, slots=True)
class Templated:
    """Segments named by a template; ``media`` holds the placeholder for the value of ``identifier``."""

    timing: Timing
    init: Part | None
    media: Source
    identifier: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Listed:
    """Segments named one by one: ``media[n]`` is the one that the timing gives the number n."""

    timing: Timing
    init: Part | None
    media: Sequence[Part]
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Whole:
    """One file that players read by themselves. ``base`` is its SegmentBase element, if it has one.

    ``init`` is where that element says that the init segment is, if not in the file.
    """

    source: Source
    base: Element | None = None
    init: Source | None = None


Addressing = Templated | Listed | Whole


@dataclass(frozen=True, slots=True)
class PeriodTimes:
    """A Period on the stream's timeline: ``start`` and ``end`` in seconds of the presentation.

    ``origin_ms`` is the stream time of its start; ``now`` is seconds since then, None where the
    presentation is static.
    """

    start: Fraction
    end: Fraction | None
    origin_ms: int
    now: Fraction | None

    @property
    def length(self) -> Fraction | None:
        """Its duration in seconds, where known."""
        return None if self.end is None else self.end - self.start


@dataclass(frozen=True, slots=True)
class Levels:
    """The elements that a Representation inherits from, outermost first, and itself."""

    period: Element
    adaptation_set: Element
    representation: Element

    def form(self) -> str | None:
        """The addressing form in force: that of the innermost level which has one."""
        for level in reversed(self._chain()):
            if found := children(level, *FORMS):
                return local(found[0])
        return None

    def elements(self, form: str) -> list[Element]:
        """The elements of the form in force, outermost first."""
        return [element for level in self._chain() for element in children(level, form)[:1]]

    def inherited(self, name: str) -> str | None:
        """An attribute of the Representation, or else of its AdaptationSet."""
        return self.representation.get(name, self.adaptation_set.get(name))

    def _chain(self) -> tuple[Element, Element, Element]:
        return self.period, self.adaptation_set, self.representation


def wanted_index(levels: Levels, bases: Bases) -> IndexRequest | None:
    """The segment index that must be read before this Representation can be addressed; usually none."""
    if levels.form() != "SegmentBase":
        return None
    merged = _Merged(levels.elements("SegmentBase"))
    span = byte_range(merged.holder("indexRange"), "indexRange")
    if span is None:
        return None
    if (span.length or 0) > MAX_INDEX_BYTES:
        raise ManifestError(f"MPD: SegmentBase@indexRange spans more than {MAX_INDEX_BYTES} bytes")
    return IndexRequest(bases.resolve(""), span)


def read_addressing(
    levels: Levels, bases: Bases, times: PeriodTimes, protected: bool, indexes: Mapping[IndexRequest, bytes]
) -> Addressing:
    """The addressing of a Representation.

    ``indexes`` holds what :func:`wanted_index` asked for; a file that stays clear needs none. Raises
    :class:`ManifestError`, and :class:`UnsupportedMediaError` for a protected file without an index.
    """
    form = levels.form()
    if form == "SegmentTemplate":
        return _read_template(levels, bases, times)
    if form == "SegmentList":
        return _read_list(levels, bases, times)
    base = levels.elements("SegmentBase")
    if not protected:
        above = (levels.representation, *levels.representation.iterancestors())
        if not any(children(level, "BaseURL") for level in above):
            raise ManifestError("MPD: a Representation says nowhere where its media is")
        if not base:
            return Whole(bases.resolve(""))
        elsewhere = [child.get("sourceURL", "") for child in children(base[-1], "Initialization")]
        return Whole(bases.resolve(""), base[-1], bases.resolve(elsewhere[0]) if any(elsewhere) else None)
    request = wanted_index(levels, bases)
    if request is None:
        raise UnsupportedMediaError("MPD: a media file without @indexRange cannot be protected segment by segment")
    if request not in indexes:
        raise ManifestError("MPD: a segment index was not fetched")
    merged = _Merged(base)
    index = read_index(indexes[request], request.range.start)
    given = Anchor(times.origin_ms, merged.number("timescale", 1, low=1), merged.number("presentationTimeOffset", 0))
    offset = given.offset * index.timescale // given.timescale
    init = _init(merged, bases, None) or Part(request.source, ByteRange(0, request.range.start))
    return Listed(
        Timing(Anchor(times.origin_ms, index.timescale, offset), index.runs(), listed=True),
        init if init.range else Part(init.source, ByteRange(0, request.range.start)),
        [Part(request.source, span) for span in index.ranges],
        merged.kept(bases),
    )


def _read_template(levels: Levels, bases: Bases, times: PeriodTimes) -> Templated | Listed:
    merged = _Merged(levels.elements("SegmentTemplate"))
    name = levels.representation.get("id", "")
    bandwidth = integer(levels.representation, "bandwidth", -1)
    media = expand(merged.text("media"), name, None if bandwidth < 0 else bandwidth)
    initialization = merged.attributes.get("initialization")
    if initialization is not None:
        first = expand(initialization, name, None if bandwidth < 0 else bandwidth)
        if first.identifier:
            raise ManifestError(f"MPD: SegmentTemplate@initialization uses {first.identifier}")
        initialization = first.uri
    init = _init(merged, bases, initialization)
    timing = _timing(merged, times, merged.number("startNumber", 1), first_tick=None)
    source = bases.resolve(media.uri)
    if media.identifier is None:
        if sum(run.count or 2 for run in timing.runs) > 1:
            raise ManifestError("MPD: a template for several segments has neither $Number$ nor $Time$")
        runs = tuple(Run(run.start, run.duration, run.count, 0) for run in timing.runs)
        return Listed(Timing(timing.anchor, runs, listed=True), init, [Part(source)], merged.kept(bases))
    if count_placeholders(f"{source.path}?{source.query}") != count_placeholders(media.uri):
        # Of a base URL, or written in percent-encoding.
        raise ManifestError("MPD: the path of a template holds a text that the relay reserves, (number) or (time)")
    if media.identifier == "$Time$" and not timing.listed:
        raise ManifestError("MPD: a $Time$ template without a SegmentTimeline")
    return Templated(timing, init, source, media.identifier, merged.kept(bases))


def _read_list(levels: Levels, bases: Bases, times: PeriodTimes) -> Listed:
    merged = _Merged(levels.elements("SegmentList"))
    media = []
    for entry in merged.children("SegmentURL"):
        media.append(Part(bases.resolve(entry.get("media", "")), byte_range(entry, "mediaRange")))
    # A list has no numbers of its own, but in live its startNumber says how many segments came before.
    before = merged.number("startNumber", 1, low=1) - 1
    timing = _timing(merged, times, 0, first_tick=before * merged.number("duration", 0))
    runs, left = [], len(media)
    for run in timing.runs:
        count = left if run.count is None else min(left, run.count)
        if count:
            runs.append(Run(run.start, run.duration, count, len(media) - left))
        left -= count
    # Timelines of lists are written out: what players make of @duration with @startNumber differs.
    return Listed(
        Timing(timing.anchor, tuple(runs), listed=True), _init(merged, bases, None), media, merged.kept(bases)
    )


def _timing(merged: "_Merged", times: PeriodTimes, start_number: int, first_tick: int | None) -> Timing:
    anchor = Anchor(
        times.origin_ms,
        merged.number("timescale", 1, low=1, high=_MAX_TIMESCALE),
        merged.number("presentationTimeOffset", 0),
    )
    timelines = merged.elements_of("SegmentTimeline")
    if timelines:
        runs = read_timeline(timelines[-1], start_number, anchor, times.length, times.now)
        return Timing(anchor, runs, listed=True)
    length = None if times.length is None else anchor.tick_of(times.length, up=True) - anchor.offset
    duration = merged.number("duration", 0)
    if not duration:
        # Neither: one segment that lasts as long as the Period (§5.3.9.5.3).
        if not length:
            raise ManifestError("MPD: nothing says how long a Representation's segments are")
        return Timing(anchor, (Run(anchor.offset, length, 1, start_number),), listed=False)
    count = None if length is None else max(1, -(-length // duration))
    if "endNumber" in merged.attributes:
        count = merged.number("endNumber", 0, low=start_number) - start_number + 1
    if count is None and times.now is None and first_tick is None:
        raise ManifestError("MPD: static, but nothing says how long it is")
    return Timing(anchor, (Run(anchor.offset + (first_tick or 0), duration, count, start_number),), listed=False)


def _init(merged: "_Merged", bases: Bases, initialization: str | None) -> Part | None:
    if initialization is not None:
        return Part(bases.resolve(initialization))
    found = merged.elements_of("Initialization")
    if not found:
        return None
    return Part(bases.resolve(found[-1].get("sourceURL", "")), byte_range(found[-1], "range"))


class _Merged:
    """The elements of one addressing form, outermost first, with inheritance applied."""

    def __init__(self, elements: Sequence[Element]) -> None:
        self._elements = elements
        self.attributes = {str(n): str(v) for element in elements for n, v in element.attrib.items()}

    def holder(self, name: str) -> Element:
        """The innermost element that has an attribute; any where none does."""
        return next((e for e in reversed(self._elements) if name in e.attrib), self._elements[-1])

    def number(self, name: str, default: int, low: int = 0, high: int | None = None) -> int:
        value = integer(self.holder(name), name, default, low)
        if high is not None and value > high:
            raise ManifestError(f"MPD: @{name} is over {high}")
        return value

    def text(self, name: str) -> str:
        if name not in self.attributes:
            raise ManifestError(f"MPD: a segment template has no @{name}")
        return self.attributes[name]

    def elements_of(self, name: str) -> list[Element]:
        """Child elements of a name, innermost last."""
        return [child for element in self._elements for child in children(element, name)]

    def children(self, name: str) -> list[Element]:
        """The child elements of a name at the innermost level that has any."""
        return next((found for e in reversed(self._elements) if (found := children(e, name))), [])

    def kept(self, bases: Bases) -> dict[str, str]:
        """The attributes that pass through."""
        passed = {name: value for name, value in self.attributes.items() if name not in _OWN}
        return dict(bases.availability) | passed
