"""Multivariant playlists: every rendition under its URL and track type, within the class's ceiling.

Left out, because they lead around the relay or cannot be served: EXT-X-CONTENT-STEERING (its server sends
players to other hosts), EXT-X-I-FRAME-STREAM-INF (I-frame ranges end inside a fragment, which cannot be
protected by halves), EXT-X-IMAGE-STREAM-INF (thumbnails as playlists of images).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from keys.model import TrackType
from relay.errors import ManifestError, OriginForeignError, TrackWithheldError
from relay.manifest.context import RewriteContext, Rewritten
from relay.manifest.hls import protection, tags
from relay.manifest.hls.attributes import Attributes, resolution
from relay.manifest.hls.mint import Mint
from relay.manifest.hls.playlist import Line, Playlist
from relay.manifest.hls.siblings import Siblings
from relay.manifest.variants import HLS_ATTRIBUTE, neutral_of
from relay.media.codec_names import kind_of
from relay.media.model import TrackKind
from relay.model import Signalling
from relay.sources import Source
from relay.urls import ClearRef, PlaylistRef

SHELF_LIFE = 30.0
"""Seconds. A multivariant playlist rarely changes, and does not say when."""

_DROPPED = frozenset({"EXT-X-CONTENT-STEERING", "EXT-X-I-FRAME-STREAM-INF", "EXT-X-IMAGE-STREAM-INF"})
_SESSION_KEY_VERSION = 5
"""EXT-X-VERSION from which key tags may have KEYFORMAT (RFC 8216 §7)."""


@dataclass(frozen=True, slots=True)
class _Rendition:
    """A playlist that the multivariant lists: by EXT-X-MEDIA (``tag`` and ``place`` are one line) or as a
    variant (``place`` is the URI line). ``kind`` is the TYPE, empty for a variant."""

    tag: Line
    place: Line
    attributes: Attributes
    source: Source
    kind: str = ""

    @property
    def variant(self) -> str:
        """The watermark variant that it lists; empty where it lists the only one."""
        return self.attributes.get(HLS_ATTRIBUTE) or ""


def rewrite(playlist: Playlist, ctx: RewriteContext, mint: Mint) -> Rewritten:
    """The multivariant playlist as the relay serves it.

    Raises :class:`ManifestError`, :class:`OriginForeignError`, :class:`AlreadyProtectedError`, and
    :class:`TrackWithheldError` where no variant is at or below the class's ceiling.
    """
    renditions = list(_renditions(playlist, mint))
    if all(item.kind for item in renditions):
        raise ManifestError("HLS multivariant playlist without a variant")
    neutral = _neutral(renditions)
    shown = _shown(renditions, neutral)
    tracks = _tracks(shown, ctx)
    served = [item for item in shown if _rank(tracks[item.source]) <= ctx.cls.ceiling.rank]
    if all(item.kind for item in served):
        raise TrackWithheldError(f"the stream has no variant at or below this session's {ctx.cls.ceiling}")
    session_keys = list(_session_keys({tracks[item.source] for item in served}, ctx, mint, served[0].tag))
    if session_keys:
        playlist = tags.raise_version(playlist, _SESSION_KEY_VERSION)
    tag_lines = {item.tag.number for item in renditions}
    placed = {item.place.number: item for item in renditions}
    kept = {line.number for item in served for line in (item.tag, item.place)}
    out: list[str] = []
    for line in playlist.lines:
        if line.number == renditions[0].tag.number:
            out.extend(text + playlist.end for text in session_keys)
        if line.number in placed:
            text = _listed(placed[line.number], tracks, mint) if line.number in kept else None
        elif line.number in tag_lines:
            text = _unmarked(line) if line.number in kept else None
        else:
            text = _other(line, mint, neutral)
        if text is not None:
            out.append(text + line.end)
    return Rewritten("".join(out).encode("utf-8", "surrogateescape"), None, SHELF_LIFE)


def siblings(playlist: Playlist, ctx: RewriteContext, mint: Mint) -> Siblings:
    """What the media playlists need to be told of their multivariant playlist. Raises what :func:`rewrite` does."""
    renditions = list(_renditions(playlist, mint))
    shown = _shown(renditions, _neutral(renditions))
    variants = {item.source: item.variant for item in shown if item.variant}
    return Siblings(_tracks(shown, ctx), playlist.variables, variants)


def _renditions(playlist: Playlist, mint: Mint) -> Iterator[_Rendition]:
    pending: Line | None = None  # the EXT-X-STREAM-INF that still waits for its URI
    for line in playlist.lines:
        if line.name in ("EXT-X-STREAM-INF", "EXT-X-MEDIA"):
            if pending and line.name == "EXT-X-STREAM-INF":
                raise pending.error("no URI follows")
            attributes = line.attributes()
            if mint.names_origin(str(attributes.without("URI"))):
                raise line.error("an attribute names the origin's host")
            if line.name == "EXT-X-STREAM-INF":
                pending = line
            elif "URI" in attributes:
                kind = line.read(attributes.require, "TYPE")
                if kind not in ("AUDIO", "VIDEO", "SUBTITLES"):
                    raise line.error("no such TYPE has a URI")
                yield _Rendition(line, line, attributes, mint.source(line, attributes.get("URI") or ""), kind)
        elif line.uri:
            if not pending:
                raise line.error("no EXT-X-STREAM-INF stands before it")
            yield _Rendition(pending, line, pending.attributes(), mint.source(line, line.uri))
            pending = None
    if pending:
        raise pending.error("no URI follows")


def _neutral(renditions: Iterable[_Rendition]) -> str:
    """The watermark variant whose listing stands for all; empty where there are none."""
    variants = {item.variant for item in renditions} - {""}
    return neutral_of(variants) if variants else ""


def _shown(renditions: Iterable[_Rendition], neutral: str) -> list[_Rendition]:
    return [item for item in renditions if item.variant in ("", neutral)]


def _tracks(renditions: Iterable[_Rendition], ctx: RewriteContext) -> dict[Source, TrackType | None]:
    """The track type of each playlist. One that is listed several times takes the highest that is stated,
    so that no listing hands out better content under a lesser key; where none is, the default."""
    found: dict[Source, TrackType | None] = {}

    def state(source: Source, track: TrackType | None) -> None:
        if source not in found or _rank(track) > _rank(found[source]):
            found[source] = track

    variants = [item for item in renditions if not item.kind]
    stated = [(item, _stated_track(item)) for item in variants]
    for item, track in stated:
        if track is not None:
            state(item.source, track)
    for item in renditions:
        if item.kind in ("AUDIO", "SUBTITLES"):
            state(item.source, TrackType.AUDIO if item.kind == "AUDIO" else None)
    for item, track in stated:
        if track is None and found.get(item.source) is None:
            found[item.source] = ctx.default_track
    groups: dict[str, list[TrackType | None]] = {}
    for item in variants:
        groups.setdefault(item.attributes.get("VIDEO") or "", []).append(found[item.source])
    for item in renditions:
        if item.kind == "VIDEO":
            used_with = groups.get(item.attributes.get("GROUP-ID") or "", [ctx.default_track])
            state(item.source, max(used_with, key=_rank))
    return found


def _rank(track: TrackType | None) -> int:
    return -1 if track is None else track.rank


def _stated_track(variant: _Rendition) -> TrackType | None:
    """What a variant's attributes say of it: its picture size, or that it has no picture."""
    size = variant.attributes.get("RESOLUTION")
    if size is not None:
        return TrackType.of_picture(*variant.tag.read(resolution, size))
    kinds = {kind_of(codec) for codec in (variant.attributes.get("CODECS") or "").split(",")}
    return TrackType.AUDIO if TrackKind.AUDIO in kinds and kinds <= {TrackKind.AUDIO, TrackKind.CLEAR} else None


def _session_keys(tracks: Iterable[TrackType | None], ctx: RewriteContext, mint: Mint, line: Line) -> Iterator[str]:
    if ctx.cls.signalling is Signalling.STABLE:
        for track in sorted((track for track in tracks if track is not None), key=_rank):
            yield from protection.session_key_tags(ctx, ctx.stable(track), lambda ref: mint.url(line, ref))


def _listed(item: _Rendition, tracks: Mapping[Source, TrackType | None], mint: Mint) -> str:
    url = mint.url(item.place, PlaylistRef(item.source, tracks[item.source]))
    return f"#{item.tag.name}:{item.attributes.without(HLS_ATTRIBUTE).quoting('URI', url)}" if item.kind else url


def _unmarked(line: Line) -> str:
    """A tag's text without the watermark variant that it may name."""
    attributes = line.attributes()
    return f"#{line.name}:{attributes.without(HLS_ATTRIBUTE)}" if HLS_ATTRIBUTE in attributes else line.text


def _other(line: Line, mint: Mint, neutral: str) -> str | None:
    if line.name in _DROPPED:
        return None
    if line.name == "EXT-X-SESSION-KEY":
        tags.refuse_key(line)
        return None
    if line.name == "EXT-X-SESSION-DATA":
        return _session_data(line, mint)
    if line.name == "EXT-X-MEDIA":
        # Without a URI: closed captions, or muxed into the variant.
        return _unmarked(line) if line.attributes().get(HLS_ATTRIBUTE) in (None, neutral) else None
    return tags.pass_on(line, mint)


def _session_data(line: Line, mint: Mint) -> str | None:
    """Session data in a resource of the origin is passed through; in someone else's it is left out."""
    attributes = line.attributes()
    if "URI" not in attributes:
        return tags.pass_on(line, mint)
    try:
        source = mint.source(line, attributes.get("URI") or "")
    except OriginForeignError:
        return None
    rest = attributes.without("URI")
    if mint.holds_address(str(rest)):
        return None
    return f"#{line.name}:{attributes.quoting('URI', mint.url(line, ClearRef(source)))}"
