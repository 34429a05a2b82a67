"""Media playlists: every segment under the URL of its key slot, and the key tags that go with it.

EXT-X-MAP and EXT-X-KEY are written anew, right before the first line of the segment from which they
hold, always in this order: a map under a key tag would itself be encrypted by AES-128 (RFC 8216 §4.3.2.5).
No discontinuity is added where a crypto period begins: neither timestamps nor codecs change there.
"""

from keys.model import Scheme, TrackType
from keys.periods import Clock
from relay.errors import OriginForeignError, TrackWithheldError, UnsupportedMediaError
from relay.manifest.context import Observed, RewriteContext, Rewritten
from relay.manifest.hls import protection, tags, timeline
from relay.manifest.hls.attributes import Attributes, byte_range
from relay.manifest.hls.mint import Mint
from relay.manifest.hls.playlist import Line, Playlist
from relay.manifest.hls.siblings import Siblings
from relay.manifest.variants import HLS_PACE_INFO, without_variant
from relay.model import Signalling
from relay.sources import ByteRange, Source
from relay.urls import ClearRef, InitRef, PlaylistRef, Ref, SegmentRef, SlotRef

_MAP_VERSION = 6
"""EXT-X-VERSION from which a playlist of ordinary segments may hold EXT-X-MAP (RFC 8216 §7)."""

_LEFT_OUT = frozenset({"EXT-X-MAP", "EXT-X-TILES", HLS_PACE_INFO})
"""Maps are written where they begin to hold; thumbnails are not served; sidecars are for edges."""

_LOW_LATENCY = frozenset({"EXT-X-PART", "EXT-X-PART-INF", "EXT-X-PRELOAD-HINT", "EXT-X-RENDITION-REPORT"})


def rewrite(
    playlist: Playlist,
    ctx: RewriteContext,
    mint: Mint,
    track: TrackType | None,
    siblings: Siblings,
    known: Clock | None = None,
) -> Rewritten:
    """The media playlist as the relay serves it. ``track`` None is text, which stays clear and, having
    no keys, is not observed either.

    Raises :class:`ManifestError`, :class:`OriginForeignError`, :class:`AlreadyProtectedError`,
    :class:`UnsupportedMediaError`, and :class:`TrackWithheldError` for a track type above the class's ceiling.
    """
    if track is not None and track.rank > ctx.cls.ceiling.rank:
        raise TrackWithheldError(f"the stream's {track} rendition is above this session's {ctx.cls.ceiling}")
    times = timeline.read(playlist, mint, known)
    if track is not None and any(segment.map for segment in times.segments):
        playlist = tags.raise_version(playlist, _MAP_VERSION)
    writer = _Writer(playlist, ctx, mint, track, siblings, times)
    for line in playlist.lines:
        writer.line(line)
    body = "".join(writer.out).encode("utf-8", "surrogateescape")
    return Rewritten(body, _observed(times, track), _shelf_life(times, ctx))


class _Writer:
    """Takes the lines in order and collects those of the rewritten playlist in ``out``."""

    def __init__(
        self,
        playlist: Playlist,
        ctx: RewriteContext,
        mint: Mint,
        track: TrackType | None,
        siblings: Siblings,
        times: timeline.Timeline,
    ) -> None:
        self.out: list[str] = []
        self._end = playlist.end
        self._ctx = ctx
        self._mint = mint
        self._track = track
        self._siblings = siblings
        self._variant = siblings.variants.get(mint.playlist, "") if ctx.marked else ""
        self._segments = times.segments
        self._schedule = ctx.schedule_of(times.clock)
        self._whole = track is not None and ctx.cls.scheme is Scheme.AES128
        self._index = 0
        self._map: timeline.Map | None = None
        self._slot: SlotRef | None = None
        self._range: tuple[int, int | None] | None = None
        self._range_ends: dict[tuple[bool, Source], int] = {}
        self._ranged_parts = False
        self._prefetched = False

    def line(self, line: Line) -> None:
        """Write what becomes of one line."""
        if self._whole and line.name in _LOW_LATENCY:
            # Each part would be a message of its own under the IV of its segment, and equal first
            # blocks would show.
            return
        match line.name:
            case "EXTINF":
                self._protect(line)
                self._keep(line)
            case "EXT-X-BYTERANGE":
                self._range = line.read(byte_range, line.value)
            case "EXT-X-KEY":
                tags.refuse_key(line)
            case _ if line.name in _LEFT_OUT:
                pass
            case "EXT-X-PART":
                self._part(line)
            case "EXT-X-PRELOAD-HINT":
                self._hint(line)
            case "EXT-X-RENDITION-REPORT":
                self._report(line)
            case "EXT-X-SERVER-CONTROL":
                self._server_control(line)
            case "EXT-X-PREFETCH":
                self._prefetch(line)
            case _ if line.uri:
                self._segment(line)
            case _:
                self._keep(line)

    def _keep(self, line: Line) -> None:
        text = tags.pass_on(line, self._mint)
        if text is not None:
            self.out.append(text + line.end)

    def _tag(self, line: Line, attributes: Attributes) -> None:
        if self._mint.names_origin(str(attributes.without("URI"))):
            raise line.error("an attribute names the origin's host")
        if attributes.items:
            self.out.append(f"#{line.name}:{attributes}{line.end}")

    def _add(self, text: str) -> None:
        self.out.append(text + self._end)

    def _segment(self, line: Line) -> None:
        source = self._neutral(line, line.uri)
        span = self._span(line, source, self._range, part=False)
        self.out.append(self._mint.url(line, self._media(source, span)) + line.end)
        self._range = None
        self._index += 1

    def _part(self, line: Line) -> None:
        self._protect(line)
        attributes = line.attributes()
        source = self._neutral(line, line.read(attributes.require, "URI"))
        text = attributes.get("BYTERANGE")
        self._ranged_parts |= text is not None
        span = self._span(line, source, None if text is None else line.read(byte_range, text), part=True)
        url = self._mint.url(line, self._media(source, span))
        self._tag(line, attributes.without("BYTERANGE").quoting("URI", url))

    def _hint(self, line: Line) -> None:
        """A hint gets the very URL that the part or map will have, or goes: a hint is optional."""
        attributes = line.attributes()
        kind = attributes.get("TYPE")
        start, length = attributes.get("BYTERANGE-START"), attributes.get("BYTERANGE-LENGTH")
        if length is None and (start is not None or self._ranged_parts):
            return  # a range whose end is not known yet has no URL yet
        uri = line.read(attributes.require, "URI")
        source = self._mint.source(line, uri) if kind == "MAP" else self._neutral(line, uri)
        given = None if length is None else line.read(byte_range, f"{length}@{start or 0}")
        span = self._span(line, source, given, part=True)
        if kind == "PART":
            self._protect(line)
            url = self._mint.url(line, self._media(source, span))
        elif kind == "MAP" and self._index < len(self._segments):
            url = self._mint.url(line, self._init(timeline.Map(source, span)))
        else:
            return
        self._tag(line, attributes.without("BYTERANGE-START", "BYTERANGE-LENGTH").quoting("URI", url))

    def _report(self, line: Line) -> None:
        """A report names its playlist as the multivariant did, or goes: players would take another URL
        for another rendition, and one above the ceiling is none of theirs."""
        attributes = line.attributes()
        try:
            source = self._mint.source(line, line.read(attributes.require, "URI"))
        except OriginForeignError:
            return
        if source not in self._siblings.tracks:
            return
        track = self._siblings.tracks[source]
        if track is None or track.rank <= self._ctx.cls.ceiling.rank:
            url = self._mint.url(line, PlaylistRef(source, track))
            self._tag(line, attributes.quoting("URI", url))

    def _server_control(self, line: Line) -> None:
        # Delta updates hide the tags from which keys and periods are worked out.
        attributes = line.attributes().without("CAN-SKIP-UNTIL", "CAN-SKIP-DATERANGES")
        self._tag(line, attributes.without("PART-HOLD-BACK") if self._whole else attributes)

    def _prefetch(self, line: Line) -> None:
        """The segment that grows at the live edge of community low-latency HLS. A second one starts at a
        time not known yet, so it has no URL yet."""
        if not self._prefetched:
            self._prefetched = True
            self._protect(line)
            source = self._neutral(line, line.value.strip(" \t"))
            self.out.append(f"#{line.name}:{self._mint.url(line, self._media(source, None))}{line.end}")

    def _neutral(self, line: Line, uri: str) -> Source:
        """The source of a segment or part, by the name that its watermark variants share if one will be chosen."""
        return self._mint.source(line, without_variant(uri, self._variant))

    def _span(
        self, line: Line, source: Source, given: tuple[int, int | None] | None, *, part: bool
    ) -> ByteRange | None:
        """The byte range of a segment or part. One without an offset goes on where the last of the same
        resource ended; the origin's ranges mean nothing to players, as protecting changes sizes."""
        if given is None:
            return None
        length, start = given
        if start is None:
            start = self._range_ends.get((part, source))
            if start is None:
                raise line.error("byte range without an offset continues no earlier one")
        self._range_ends[part, source] = start + length
        return ByteRange(start, length)

    def _media(self, source: Source, span: ByteRange | None) -> Ref:
        if self._track is None:
            return ClearRef(source, span)
        segment = self._segments[self._index]
        return SegmentRef(
            source,
            self._period_slot(self._track),
            span,
            segment.map.source if segment.map else None,
            segment.map.range if segment.map else None,
            segment.sequence if self._whole else None,
        )

    def _init(self, map_: timeline.Map) -> Ref:
        if self._track is None:
            return ClearRef(map_.source, map_.range)
        # Under AES-128 it stays clear and outlives its period; any constant slot names it.
        slot = self._ctx.stable(self._track) if self._whole else self._shown_slot(self._track)
        return InitRef(map_.source, slot, map_.range)

    def _period_slot(self, track: TrackType) -> SlotRef:
        """The slot under whose key the current segment lies."""
        return self._ctx.slot(track, self._schedule.period_of(self._segments[self._index].start_ms).start)

    def _shown_slot(self, track: TrackType) -> SlotRef:
        """The slot that the key tags over the current segment show."""
        stable = self._ctx.cls.signalling is Signalling.STABLE and not self._whole
        return self._ctx.stable(track) if stable else self._period_slot(track)

    def _protect(self, line: Line) -> None:
        """Write the map and key tags of the current segment, unless they are in force already."""
        map_ = self._segments[self._index].map
        slot = None if self._track is None else self._shown_slot(self._track)
        if slot and not map_ and not self._whole:
            raise UnsupportedMediaError(
                f"HLS playlist, line {line.number}: segment without EXT-X-MAP; "
                "MPEG-TS and packed audio can only be served with the aes-128 scheme"
            )
        new_map = map_ is not None and (map_ != self._map or (slot != self._slot and not self._whole))
        if map_ is not None and new_map:
            if self._whole and self._slot:
                self._add(protection.END_OF_KEYS)  # or the map would count as encrypted
            self._add(f'#EXT-X-MAP:URI="{self._mint.url(line, self._init(map_))}"')
        if slot and (new_map or slot != self._slot):
            for text in protection.key_tags(self._ctx, slot, lambda ref: self._mint.url(line, ref)):
                self._add(text)
        self._map, self._slot = map_, slot


def _observed(times: timeline.Timeline, track: TrackType | None) -> Observed | None:
    if track is None or not times.segments:
        return None
    first = min(segment.start for segment in times.segments)
    edge = max(segment.start + segment.duration for segment in times.segments)
    if times.clock is Clock.SEQUENCE:
        edge = times.segments[-1].start + times.header.target * timeline.SECOND
    # The edge lies past the last start even where that segment's duration is 0.
    last_ms = max(segment.start_ms for segment in times.segments)
    usual = 0 if times.header.part_target else (edge - first) // (1000 * len(times.segments))
    return Observed(times.clock, first // 1000, max(edge // 1000, last_ms + 1), times.final, frozenset({track}), usual)


def _shelf_life(times: timeline.Timeline, ctx: RewriteContext) -> float | None:
    """Half the time after which players ask again (RFC 8216 §6.3.4), for the part target with parts."""
    if times.final:
        return None
    parts = times.header.part_target if ctx.cls.scheme is not Scheme.AES128 else None
    return (parts or times.header.target * timeline.SECOND) / (2 * timeline.SECOND)
