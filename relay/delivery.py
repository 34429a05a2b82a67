"""Protected bytes on demand: from memory, else one flight per resource from the origin through the media core.

A protected segment belongs to its key slot, never to a viewer, so it is made once and served to all.
"""

import asyncio
import os
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b, sha256
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from keys.material import ContentKey
from keys.model import KeySlot, Scheme, TrackType
from keys.signalling.clearkey import common_pssh
from relay.bodies import Body, Growing, Whole
from relay.config import OriginConfig
from relay.errors import OriginError, RelayError, UnsupportedMediaError
from relay.media.aes128 import encrypt_aes128, iv_of_sequence
from relay.media.init_segment import InitSegment, parse_init, protect_init
from relay.media.ivs import HashedIvs
from relay.media.model import Protection, TrackKind
from relay.media.protect import StreamProtector, protect_segment
from relay.origin.cache import ByteCache, Flights
from relay.origin.client import Origin, OriginResponse
from relay.sources import ByteRange, Source
from relay.state.salts import Salts
from relay.streams import Stream
from relay.telemetry.metrics import MAKE
from relay.urls import ClearRef, InitRef, SegmentRef, SlotRef
from relay.watermark.etsi.arriving import Arriving
from relay.watermark.etsi.inband import overwritten
from relay.watermark.serving.marking import Marking
from relay.watermark.serving.neutral import get_neutral

if TYPE_CHECKING:
    from hashlib import _Hash

R = TypeVar("R")

INIT_SHELF_LIFE_S = 60.0
"""How long an init segment is trusted: an encoder restart may put another one under the same URL."""
INLINE_BYTES = 64 * 1024
"""Up to this size protecting costs less than handing it to a thread and back (a fraction of a millisecond)."""
_INIT_MEMORY = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _ParsedInit:
    init: InitSegment
    fresh_until: float

    @property
    def weight(self) -> int:
        # Parsed tracks and parameter sets weigh a few times the bytes they come from.
        return 8 * len(self.init.data)


class Delivery:
    """Makes and keeps what viewers are served, up to ``memory`` bytes."""

    def __init__(self, origin: Origin, salts: Salts, memory: int, limits: OriginConfig) -> None:
        self._origin = origin
        self._salts = salts
        self._limits = limits
        self.cache: ByteCache[Hashable, Whole] = ByteCache(memory)
        self._inits: ByteCache[Hashable, _ParsedInit] = ByteCache(_INIT_MEMORY)
        self._init_flights: Flights[Hashable, InitSegment] = Flights()
        self._flights: Flights[Hashable, Body] = Flights()
        self._clear_flights: Flights[Hashable, Whole] = Flights()
        self._growing: dict[Hashable, Growing] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="protect")

    def close(self) -> None:
        """Stop what is still under way."""
        for task in self._tasks:
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def segment(self, stream: Stream, scheme: Scheme, ref: SegmentRef) -> Body:
        """A protected media segment; still growing where the origin is still producing it."""
        key = (stream.name, scheme, ref)
        found = self.cache.get(key) or self._growing.get(key)
        return found or await self._flights.join(key, lambda: self._make_segment(key, stream, scheme, ref))

    async def variant(self, stream: Stream, scheme: Scheme, ref: SegmentRef, marking: Marking, variant: int) -> Body:
        """The same of one variant of a watermarked segment. All of it, parts and ranges too, is of that one."""
        key = (stream.name, scheme, ref, variant)
        found = self.cache.get(key) or self._growing.get(key)
        if found:
            return found
        placed = replace(ref, source=marking.variant(ref.source, variant))
        return await self._flights.join(key, lambda: self._make_segment(key, stream, scheme, placed))

    def at_hand(self, stream: Stream, scheme: Scheme, ref: SegmentRef, variant: int | None = None) -> Whole | None:
        """A protected media segment, or a variant of it, if it is in memory."""
        key = (stream.name, scheme, ref) if variant is None else (stream.name, scheme, ref, variant)
        return self.cache.get(key)

    async def init(self, stream: Stream, scheme: Scheme, ref: InitRef) -> Whole:
        """A protected init segment."""
        init = await self.parsed_init(stream, ref.source, ref.range)
        protection = self._protection(stream, scheme, ref.slot, init)
        data = init.data
        if scheme is not Scheme.AES128:
            # Browsers fire 'encrypted' only for an init with a pssh, and un-hooked Clear Key players need that.
            kids = [protection.audio.kid] if ref.slot.track is TrackType.AUDIO else [protection.video.kid]
            data = protect_init(init, protection, [common_pssh(kids)])
        await self._salts.settle()
        return Whole(data, _tag(data), _media_type(ref.slot))

    async def clear(self, stream: Stream, ref: ClearRef) -> Whole:
        """A resource that stays clear, passed on as it is."""
        key = (stream.name, ref)
        found = self.cache.get(key)
        if found:
            return found
        return await self._clear_flights.join(key, lambda: self._pass_on(key, stream, ref))

    async def _pass_on(self, key: Hashable, stream: Stream, ref: ClearRef) -> Whole:
        fetched = await self._origin.get(stream.scope, ref.source, self._limits.max_segment, span=ref.range)
        whole = Whole(fetched.data, _tag(fetched.data), fetched.content_type or "application/octet-stream")
        self.cache.put(key, whole)
        return whole

    async def parsed_init(self, stream: Stream, source: Source, span: ByteRange | None) -> InitSegment:
        """A clear init segment."""
        key = (stream.name, source, span)
        parsed = self._inits.get(key)
        if parsed and parsed.fresh_until > monotonic():
            return parsed.init
        return await self._init_flights.join(key, lambda: self._fetch_init(key, stream, source, span))

    async def _fetch_init(self, key: Hashable, stream: Stream, source: Source, span: ByteRange | None) -> InitSegment:
        fetched = await get_neutral(self._origin, stream, source, self._limits.max_init, span)
        init = parse_init(fetched.data)
        self._inits.put(key, _ParsedInit(init, monotonic() + INIT_SHELF_LIFE_S))
        return init

    async def _make_segment(self, key: Hashable, stream: Stream, scheme: Scheme, ref: SegmentRef) -> Body:
        if scheme is Scheme.AES128:
            return await self._make_aes128(key, stream, ref)
        if ref.init is None:
            raise UnsupportedMediaError("a segment without an init segment cannot be protected sample by sample")
        init = await self.parsed_init(stream, ref.init, ref.init_range)
        protection = self._protection(stream, scheme, ref.slot, init)
        await self._salts.settle()
        started: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._pull(key, stream, ref, init, protection, started))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await started
        except asyncio.CancelledError:
            task.cancel()
            raise

    async def _pull(
        self,
        key: Hashable,
        stream: Stream,
        ref: SegmentRef,
        init: InitSegment,
        protection: Protection,
        started: "asyncio.Future[Body]",
    ) -> None:
        """Fetch and protect; ``started`` is set to the whole body, or early to one that still grows."""
        task = asyncio.current_task()
        assert task is not None
        growing: Growing | None = None
        try:
            async with self._origin.open(
                stream.scope, ref.source, self._limits.max_segment, span=ref.range
            ) as response:
                if response.length is None:
                    growing = Growing(_media_type(ref.slot), self._limits.max_segment, task.cancel)
                    self._growing[key] = growing
                    started.set_result(growing)
                    await self._grow(key, growing, response, init, protection, ref, marked=stream.marking is not None)
                else:
                    tag = _tag_of_origin(response.validator, key, protection.video)
                    with MAKE.time():
                        data, marked = await response.read(), stream.marking is not None
                        body = await self._protect(data, init, protection, ref, tag, marked=marked)
                    self.cache.put(key, body)
                    started.set_result(body)
        except BaseException as err:
            if growing is not None:
                growing.fail(err if isinstance(err, RelayError) else OriginError("origin fetch was given up"))
            if not started.done():
                started.set_exception(err if isinstance(err, Exception) else OriginError("origin fetch was given up"))
            if not isinstance(err, RelayError | asyncio.CancelledError):
                raise
        finally:
            self._growing.pop(key, None)

    async def _grow(
        self,
        key: Hashable,
        growing: Growing,
        response: OriginResponse,
        init: InitSegment,
        protection: Protection,
        ref: SegmentRef,
        *,
        marked: bool,
    ) -> None:
        protector = StreamProtector(
            init, protection, HashedIvs(), max_unit=self._limits.max_segment, position=_position(ref.range)
        )
        arriving = Arriving() if marked else None
        digest, waiting = sha256(), 0
        async for chunk in response.chunks():
            if arriving is not None:
                chunk = arriving.feed(chunk)
            waiting += len(chunk)
            pieces = await self._off_loop(waiting, partial(protector.feed, chunk))
            for piece in pieces:
                digest.update(piece)
                growing.add(piece)
                waiting = 0
        last = protector.feed(arriving.finish()) if arriving is not None else []
        for piece in [*last, *await self._off_loop(waiting, protector.finish)]:
            digest.update(piece)
            growing.add(piece)
        self.cache.put(key, Whole(growing.finish(), _quoted(digest), growing.content_type))

    async def _protect(
        self, data: bytes, init: InitSegment, protection: Protection, ref: SegmentRef, tag: str, *, marked: bool
    ) -> Whole:
        def protect() -> Whole:
            clear = overwritten(data) if marked else data
            body = protect_segment(clear, init, protection, HashedIvs(), position=_position(ref.range))
            return Whole(body, tag or _tag(body), _media_type(ref.slot))

        return await self._off_loop(len(data), protect)

    async def _make_aes128(self, key: Hashable, stream: Stream, ref: SegmentRef) -> Whole:
        if ref.sequence is None:
            raise UnsupportedMediaError("HLS AES-128 needs the media sequence number for its IV")
        content = stream.content_key(stream.slot(ref.slot, Scheme.AES128))
        await self._salts.settle()
        fetched = await self._origin.get(stream.scope, ref.source, self._limits.max_segment, span=ref.range)
        media_type = fetched.content_type or "application/octet-stream"
        sequence, data, tag = ref.sequence, fetched.data, _tag_of_origin(fetched.validator, key, content)
        marked = stream.marking is not None

        def encrypt() -> Whole:
            clear = overwritten(data) if marked else data
            body = encrypt_aes128(clear, content.key, iv_of_sequence(sequence))
            return Whole(body, tag or _tag(body), media_type)

        whole = await self._off_loop(len(data), encrypt)
        self.cache.put(key, whole)
        return whole

    async def _off_loop(self, size: int, work: Callable[[], R]) -> R:
        if size <= INLINE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _protection(self, stream: Stream, scheme: Scheme, ref: SlotRef, init: InitSegment) -> Protection:
        video = stream.slot(ref, scheme)
        if ref.track is TrackType.AUDIO and any(track.kind is TrackKind.VIDEO for track in init.tracks):
            # Else a viewer entitled to audio alone would be given the picture.
            raise UnsupportedMediaError("an audio rendition holds a video track")
        audio = KeySlot(stream.name, TrackType.AUDIO, scheme, ref.generation, ref.period)
        return Protection(scheme, stream.content_key(video), stream.content_key(audio))


def _tag(data: bytes) -> str:
    return _quoted(sha256(data))


def _quoted(digest: "_Hash | blake2b") -> str:
    return f'"{digest.hexdigest()[:32]}"'


def _tag_of_origin(validator: str, key: Hashable, content: ContentKey) -> str:
    """An entity tag from the origin's own, if that is a strong one; empty if not.

    Protecting is a pure function of the clear bytes and the slot, and hashing a segment would cost as much
    as protecting it does. Under a secret: what a tag was made of is the origin's business, and which variant of a
    watermarked segment it stands for must not be told by trying.
    """
    if not validator.startswith('"'):
        return ""
    named = f"{validator} {key!r} {content.kid.hex()}".encode()
    return _quoted(blake2b(named, key=content.iv_key, digest_size=16))


def _position(span: ByteRange | None) -> int:
    return span.start if span else 0


def _media_type(slot: SlotRef) -> str:
    return "audio/mp4" if slot.track is TrackType.AUDIO else "video/mp4"
