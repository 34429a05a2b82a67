"""Rewriting HLS playlists (RFC 8216, RFC 8216bis) for one class of viewers."""

from keys.model import TrackType
from keys.periods import Clock
from relay.errors import ManifestError
from relay.manifest.context import RewriteContext, Rewritten
from relay.manifest.hls import media, multivariant
from relay.manifest.hls.mint import Mint
from relay.manifest.hls.playlist import Playlist, parse
from relay.manifest.hls.siblings import Siblings
from relay.sources import Source

ALONE = Siblings()
"""The siblings of a playlist whose multivariant is not known, or that has none."""

_MULTIVARIANT = frozenset({"EXT-X-STREAM-INF", "EXT-X-MEDIA", "EXT-X-I-FRAME-STREAM-INF", "EXT-X-SESSION-DATA"})
_MEDIA = frozenset(
    {"EXTINF", "EXT-X-BYTERANGE", "EXT-X-ENDLIST", "EXT-X-KEY", "EXT-X-MAP", "EXT-X-MEDIA-SEQUENCE", "EXT-X-PART"}
    | {"EXT-X-PREFETCH", "EXT-X-PRELOAD-HINT", "EXT-X-PROGRAM-DATE-TIME", "EXT-X-TARGETDURATION"}
)


def rewrite_playlist(
    data: bytes,
    ctx: RewriteContext,
    source: Source,
    at: str,
    track: TrackType | None,
    *,
    siblings: Siblings = ALONE,
    clock: Clock | None = None,
) -> Rewritten:
    """The playlist ``data`` as the relay serves it to viewers of ``ctx.cls``.

    ``source`` is where it was fetched from in the end (relative URIs resolve against it), ``at`` the path
    below the class folder under which it is served. ``track`` is the type of its video, or audio, if it
    is a media playlist; None is text, which stays clear. ``siblings`` is what :func:`read_siblings` said of
    its multivariant playlist: without it rendition reports go and imported variables are refused.
    ``clock`` is that of :class:`Observed` at an earlier refresh, if there was one.

    Equal arguments give equal bytes. Raises :class:`ManifestError` for what cannot be parsed,
    :class:`OriginForeignError` for a URI outside the origin, :class:`AlreadyProtectedError`,
    :class:`UnsupportedMediaError`, and :class:`TrackWithheldError` (403) where all there is lies above the
    ceiling of the class.
    """
    playlist = parse(data, siblings.variables)
    mint = Mint(ctx, source, at)
    if _is_multivariant(playlist):
        return multivariant.rewrite(playlist, ctx, mint)
    return media.rewrite(playlist, ctx, mint, track, siblings, clock)


def read_siblings(data: bytes, ctx: RewriteContext, source: Source) -> Siblings:
    """What the playlists listed in multivariant playlist ``data`` can be told of each other.

    Raises what :func:`rewrite_playlist` does; a media playlist has no siblings.
    """
    playlist = parse(data)
    return multivariant.siblings(playlist, ctx, Mint(ctx, source, "")) if _is_multivariant(playlist) else ALONE


def _is_multivariant(playlist: Playlist) -> bool:
    names = playlist.names()
    if names & _MULTIVARIANT and names & _MEDIA:
        raise ManifestError("HLS playlist is both multivariant and media playlist (RFC 8216 §4.3.4)")
    return bool(names & _MULTIVARIANT)
