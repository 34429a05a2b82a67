"""When each segment of a media playlist starts in stream time, and under which EXT-X-MAP it lies.

Stream time must come out the same at every refresh and on every node, because it names the crypto
period and with it the URL of a segment that players already know. So nothing here looks at a clock, at
the playlist's age or at ENDLIST alone, which a live playlist gains at its end:

* ``PLAYLIST-TYPE:VOD`` counts presentation time from zero, as does an untyped playlist that has
  ENDLIST, no date, and starts at sequence number 0: a finished title.
* Otherwise a playlist with EXT-X-PROGRAM-DATE-TIME counts wall clock, live or ended.
* Otherwise it counts media sequence numbers times the target duration, live or ended.

The one live playlist that this would tell apart wrongly at its end (no type, no date, nothing ever
slid out of it) is what the ``known`` clock of an earlier refresh is for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from keys.periods import Clock
from relay.errors import ManifestError, UnsupportedMediaError
from relay.manifest.dates import date_time
from relay.manifest.hls.attributes import MAX_INTEGER, byte_range, integer, microseconds
from relay.manifest.hls.mint import Mint
from relay.manifest.hls.playlist import Line, Playlist
from relay.sources import ByteRange, Source

SECOND = 1_000_000
"""Times within a playlist are whole microseconds."""

MAX_TARGET = 86_400
"""Seconds; the longest target duration believed."""


_ONCE = ("EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE", "EXT-X-PLAYLIST-TYPE", "EXT-X-PART-INF")


@dataclass(frozen=True, slots=True)
class Header:
    """What a media playlist says once. ``target`` is the target duration in whole seconds, ``part_target``
    that of parts in microseconds (None without parts)."""

    target: int
    sequence: int
    vod: bool
    ended: bool
    dated: bool
    part_target: int | None


@dataclass(frozen=True, slots=True)
class Map:
    """An EXT-X-MAP."""

    source: Source
    range: ByteRange | None


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment, or the one still growing at the live edge, of which parts or a hint are listed.

    ``start`` and ``duration`` are microseconds of stream time.
    """

    sequence: int
    start: int
    duration: int
    map: Map | None

    @property
    def start_ms(self) -> int:
        """Start in ms of stream time, as :mod:`keys.periods` wants it."""
        return self.start // 1000


@dataclass(frozen=True, slots=True)
class Timeline:
    """All segments in order, the growing one last."""

    header: Header
    clock: Clock
    segments: tuple[Segment, ...]

    @property
    def final(self) -> bool:
        """Whether nothing will be added."""
        return self.header.ended or self.header.vod


@dataclass(slots=True)
class _Draft:
    """What the lines of one segment say of it."""

    date: int | None = None
    duration: int = 0
    map: Map | None = None
    growing: bool = False


def read(playlist: Playlist, mint: Mint, known: Clock | None = None) -> Timeline:
    """The timeline of a media playlist.

    ``known`` is the clock on which earlier refreshes were rewritten, None at the first. Raises
    :class:`ManifestError` for a malformed or contradictory playlist, :class:`UnsupportedMediaError` for
    one of I-frames.
    """
    header = _header(playlist)
    drafts = list(_drafts(playlist, mint, header))
    clock = _clock(header, known)
    segments = [
        Segment(header.sequence + index, start, draft.duration, draft.map)
        for index, (start, draft) in enumerate(zip(_starts(header, clock, drafts), drafts, strict=True))
    ]
    return Timeline(header, clock, tuple(segments if drafts[-1].growing else segments[:-1]))


def map_of(line: Line, mint: Mint) -> Map:
    """The map that an EXT-X-MAP tag sets; without an offset its range starts at 0."""
    attributes = line.attributes()
    source = mint.source(line, line.read(attributes.require, "URI"))
    text = attributes.get("BYTERANGE")
    if text is None:
        return Map(source, None)
    length, start = line.read(byte_range, text)
    return Map(source, ByteRange(start or 0, length))


def _header(playlist: Playlist) -> Header:
    once: dict[str, Line] = {}
    for line in playlist.lines:
        if line.name in _ONCE:
            if line.name in once:
                raise line.error("given twice")
            once[line.name] = line
        elif line.name == "EXT-X-SKIP":
            raise line.error("a delta update, which was never asked for")
        elif line.name == "EXT-X-I-FRAMES-ONLY":
            # Its ranges end inside a fragment; protecting needs the fragment whole.
            raise UnsupportedMediaError(f"HLS playlist, line {line.number}: a playlist of I-frames only")
    target, sequence, kind, parts = (once.get(name) for name in _ONCE)
    if target is None:
        raise ManifestError("HLS media playlist without EXT-X-TARGETDURATION")
    seconds = target.read(integer, target.value)
    if seconds > MAX_TARGET:
        raise target.error(f"longer than {MAX_TARGET} seconds")
    names = playlist.names()
    return Header(
        target=max(seconds, 1),  # rounding gives 0 for segments shorter than half a second
        sequence=sequence.read(integer, sequence.value) if sequence else 0,
        vod=kind is not None and kind.value.strip() == "VOD",
        ended="EXT-X-ENDLIST" in names,
        dated="EXT-X-PROGRAM-DATE-TIME" in names,
        part_target=parts.read(microseconds, parts.attributes().get("PART-TARGET") or "") if parts else None,
    )


def _clock(header: Header, known: Clock | None) -> Clock:
    finished = header.vod or (header.ended and not header.dated and header.sequence == 0)
    if known is None:
        return Clock.MEDIA if finished else Clock.WALL if header.dated else Clock.SEQUENCE
    # A wall clock cannot be kept once the last date has slid out of the window.
    return Clock.SEQUENCE if known is Clock.WALL and not header.dated else known


def _drafts(playlist: Playlist, mint: Mint, header: Header) -> Iterator[_Draft]:
    """The segments, then always the one that may be growing, since its date counts for those before it."""
    draft = _Draft()
    pending: Line | None = None  # the EXTINF that still waits for its URI
    for line in playlist.lines:
        match line.name:
            case "EXTINF":
                if pending:
                    raise pending.error("no URI follows")
                pending = line
                draft.duration = line.read(microseconds, line.value.partition(",")[0])
            case "EXT-X-PROGRAM-DATE-TIME":
                draft.date = line.read(date_time, line.value)
            case "EXT-X-MAP":
                draft.map = map_of(line, mint)
            case "EXT-X-PART":
                draft.growing = True
                if not pending:
                    draft.duration += line.read(microseconds, line.read(line.attributes().require, "DURATION"))
            case "EXT-X-PRELOAD-HINT" if line.attributes().get("TYPE") == "PART":
                draft.growing = True
                draft.duration += header.part_target or 0
            case "EXT-X-PREFETCH":
                draft.growing = True
                draft.duration = header.target * SECOND
            case _ if line.uri:
                if not pending:
                    raise line.error("no EXTINF stands before it")
                pending = None
                yield draft
                draft = _Draft(map=draft.map)
    if pending:
        raise pending.error("no URI follows")
    yield draft


def _starts(header: Header, clock: Clock, drafts: list[_Draft]) -> Iterator[int]:
    """Starts in microseconds. A date holds until the next one, and backwards from the first."""
    if clock is Clock.SEQUENCE:
        if (header.sequence + len(drafts)) * header.target * 1000 > MAX_INTEGER:
            raise ManifestError("HLS media playlist without dates: its sequence numbers count past 2^63 ms")
        yield from ((header.sequence + index) * header.target * SECOND for index in range(len(drafts)))
        return
    time = 0
    if clock is Clock.WALL:
        for draft in drafts:
            if draft.date is not None:
                time += draft.date
                break
            time -= draft.duration
    for draft in drafts:
        if clock is Clock.WALL and draft.date is not None:
            time = draft.date
        yield time
        time += draft.duration
