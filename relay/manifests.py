"""Manifests on demand: fetched, rewritten, remembered, and taken note of."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from time import monotonic
from typing import TypeVar

from keys.model import Scheme
from relay.errors import ManifestError, OriginError, RequestError
from relay.manifest.context import LICENCE_URL, RewriteContext, Rewritten
from relay.manifest.dash.index import IndexRequest
from relay.manifest.dash.rewrite import index_requests, rewrite_mpd
from relay.manifest.hls.rewrite import ALONE, read_siblings, rewrite_playlist
from relay.model import ManifestClass
from relay.origin.cache import ByteCache, Flights
from relay.origin.client import Fetched, Origin
from relay.origin.documents import Documents
from relay.sources import Source
from relay.state.salts import Salts
from relay.streams import ENTRY_DASH, ENTRY_HLS, Stream
from relay.urls import PlaylistRef
from relay.watermark.serving.neutral import get_neutral

R = TypeVar("R")

MAX_SHELF_LIFE_S = 60.0
MAX_INDEX = 1024 * 1024
MAX_AHEAD = 2
_MEDIA_SEQUENCE = re.compile(rb"(?m)^#EXT-X-MEDIA-SEQUENCE:([0-9]{1,18})")
INLINE_BYTES = 32 * 1024
"""Up to this size reading takes single milliseconds; larger ones go to a thread and leave others their turn."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A rewritten manifest with its entity tag; ``names_licence`` when it holds the licence URL's stand-in.

    ``next_sequence`` is the media sequence number of the segment to come, where reloads may be held for it.
    """

    body: bytes
    etag: str
    names_licence: bool
    next_sequence: int | None
    fresh_until: float

    @property
    def weight(self) -> int:
        """Bytes kept alive."""
        return len(self.body)


@dataclass(frozen=True, slots=True)
class ManifestRequest:
    """One manifest as one class sees it: the entry manifest or, with ``ref``, an HLS media playlist.

    ``at`` is its path below the class folder, ``hold`` the query of a held low-latency reload.
    """

    stream: str
    cls: ManifestClass
    at: str
    ref: PlaylistRef | None = None
    hold: str = ""


class Manifests:
    """Serves rewritten manifests from memory or from the origin. ``clock`` gives seconds since the epoch."""

    def __init__(
        self, origin: Origin, salts: Salts, clock: Callable[[], float], memory: int, max_manifest: int
    ) -> None:
        self._origin = origin
        self._documents = Documents(origin, clock, memory // 2, max_manifest)
        self._salts = salts
        self._clock = clock
        self._cache: ByteCache[tuple[Stream, ManifestRequest], Manifest] = ByteCache(memory // 2)
        self._flights: Flights[tuple[Stream, ManifestRequest], Manifest] = Flights()

    async def get(self, stream: Stream, request: ManifestRequest) -> Manifest:
        """The rewritten manifest. Raises the :class:`relay.errors.OriginError` family; never caches a failure."""
        # Not by its name: a stream that was configured anew writes its manifests in another way.
        key = (stream, request)
        kept = self._cache.get(key)
        if kept and kept.fresh_until > monotonic():
            return kept
        return await self._flights.join(key, lambda: self._make(stream, request))

    async def get_held(self, stream: Stream, request: ManifestRequest, sequence: int) -> Manifest:
        """The playlist once it holds media sequence number ``sequence``, as ``request.hold`` asks of the origin.

        Where the origin holds no reloads, the playlist as it is. Raises :class:`RequestError` for a number
        further ahead than a player may ask for (rfc8216bis §6.2.5.2), each of which would hold a connection.
        """
        now = await self.get(stream, replace(request, hold=""))
        if now.next_sequence is None:
            return now
        if sequence > now.next_sequence + MAX_AHEAD:
            raise RequestError(f"_HLS_msn lies more than {MAX_AHEAD} ahead of the next segment")
        return await self.get(stream, request)

    async def ensure_timeline(self, stream: Stream) -> None:
        """See a manifest with segments, for what comes before any, as after a restart, or long after the last.

        Raises the :class:`relay.errors.OriginError` family only where nothing has been seen yet.
        """
        if not stream.timeline.stale(self._clock()):
            return
        try:
            await self._look(stream)
        except OriginError:
            if not stream.timeline.known:
                raise

    async def see(self, stream: Stream) -> None:
        """See where the stream stands, on every clock that it is listed on.

        Raises the :class:`relay.errors.OriginError` family only where nothing has been seen, now or before.
        """
        cls = stream.config.default_class()
        # Nothing of an MPD can be had as AES-128.
        sampled = next((scheme for scheme in (cls.scheme, *stream.config.schemes) if scheme is not Scheme.AES128), None)
        failure: OriginError | None = None
        if stream.config.dash and sampled:
            try:
                await self.get(stream, ManifestRequest(stream.name, replace(cls, scheme=sampled), ENTRY_DASH))
            except OriginError as err:
                failure = err
        if stream.config.hls:
            try:
                await self._see_playlist(stream, cls)
            except OriginError as err:
                failure = err
        if failure and not stream.timeline.known:
            raise failure

    async def _see_playlist(self, stream: Stream, cls: ManifestClass) -> None:
        entry = await self.get(stream, ManifestRequest(stream.name, cls, ENTRY_HLS))
        first = next(_playlists_in(entry), None)
        if first:
            await self._playlist(stream, cls, *first)

    async def _playlist(self, stream: Stream, cls: ManifestClass, path: str, query: str) -> Manifest:
        ref = stream.read_url(cls, path, query)
        assert isinstance(ref, PlaylistRef)
        return await self.get(stream, ManifestRequest(stream.name, cls, path, ref))

    async def _look(self, stream: Stream) -> None:
        cls = stream.config.default_class()
        if stream.config.dash and cls.scheme is not Scheme.AES128:
            with suppress(OriginError):
                await self.get(stream, ManifestRequest(stream.name, cls, ENTRY_DASH))
                return
        entry = await self.get(stream, ManifestRequest(stream.name, cls, ENTRY_HLS))
        for path, query in _playlists_in(entry):
            if stream.timeline.stale(self._clock()):
                await self._playlist(stream, cls, path, query)

    async def _make(self, stream: Stream, request: ManifestRequest) -> Manifest:
        source = request.ref.source if request.ref else stream.entry(request.at)
        document = await self._documents.get(stream.scope, source, request.hold)
        rewritten = await self._rewrite(stream, request, source, document.fetched)
        if rewritten.observed:
            stream.note(source, rewritten.observed, document.seen_at)
        await self._salts.settle()
        manifest = Manifest(
            rewritten.body,
            f'"{sha256(rewritten.body).hexdigest()[:32]}"',
            LICENCE_URL.encode() in rewritten.body,
            _next_sequence(rewritten.body),
            monotonic() + min(MAX_SHELF_LIFE_S, rewritten.shelf_life or MAX_SHELF_LIFE_S),
        )
        self._cache.put((stream, request), manifest)
        return manifest

    async def _rewrite(self, stream: Stream, request: ManifestRequest, source: Source, fetched: Fetched) -> Rewritten:
        context = stream.context(request.cls)
        head = fetched.data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
        work: Callable[[], Rewritten]
        if head.startswith(b"#EXTM3U"):
            await self._read_siblings(stream, request, fetched)
            work = partial(
                rewrite_playlist,
                fetched.data,
                context,
                fetched.source,
                request.at,
                request.ref.track if request.ref else context.default_track,
                siblings=stream.siblings or ALONE,
                clock=stream.clocks.get(source),
            )
        elif request.ref is None and head.startswith(b"<"):
            indexes = await self._indexes(stream, context, fetched)
            now_ms = int(self._clock() * 1000)
            work = partial(rewrite_mpd, fetched.data, context, fetched.source, request.at, now_ms, indexes)
        else:
            raise ManifestError("neither an HLS playlist nor an MPD")
        return await _off_loop(len(fetched.data), work)

    async def _read_siblings(self, stream: Stream, request: ManifestRequest, fetched: Fetched) -> None:
        if request.ref is None:
            read = partial(read_siblings, fetched.data, stream.context(request.cls), fetched.source)
            stream.siblings = await _off_loop(len(fetched.data), read)
            stream.timeline.note_tracks(frozenset(track for track in stream.siblings.tracks.values() if track))
        elif stream.siblings is None:
            # A player goes on with its media playlist across a restart of this node.
            await self.get(stream, ManifestRequest(stream.name, request.cls, ENTRY_HLS))

    async def _indexes(self, stream: Stream, context: RewriteContext, fetched: Fetched) -> dict[IndexRequest, bytes]:
        indexes = {}
        list_requests = partial(index_requests, fetched.data, context, fetched.source)
        for wanted in await _off_loop(len(fetched.data), list_requests):
            index = await get_neutral(self._origin, stream, wanted.source, MAX_INDEX, wanted.range)
            indexes[wanted] = index.data
        return indexes


def _playlists_in(entry: Manifest) -> Iterator[tuple[str, str]]:
    """Path and query of the media playlists that a rewritten multivariant playlist lists."""
    for line in entry.body.decode(errors="replace").splitlines():
        if line.startswith("m/"):
            path, _, query = line.partition("?")
            yield path, query


async def _off_loop(size: int, work: Callable[[], R]) -> R:
    return work() if size <= INLINE_BYTES else await asyncio.to_thread(work)


def _next_sequence(body: bytes) -> int | None:
    if b"CAN-BLOCK-RELOAD=YES" not in body:
        return None
    first = _MEDIA_SEQUENCE.search(body)
    return (int(first[1]) if first else 0) + body.count(b"#EXTINF:")
