"""The parts of a plan, each of which a process makes on its own: runs of positions, and the sound."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

import av
import msgspec
import numpy as np
from av.video.frame import VideoFrame

from relay.watermark.embed.audio import codec_of, read_sound
from relay.watermark.embed.cmaf import Access, audio_init, fragment, video_init
from relay.watermark.embed.encode import DELAY, Encoded, Encoding, encode, luma_of, view_of
from relay.watermark.embed.errors import EmbedError, SourceError
from relay.watermark.embed.folder import Done, Folder, put, segment_name
from relay.watermark.embed.plan import Plan, Rendition
from relay.watermark.embed.segment import mark_segment, proxy_size
from relay.watermark.embed.source import frames
from relay.watermark.embed.timing import Timing
from relay.watermark.picture.planes import shrunk

AUDIO = "audio"
_GREY = 128


class SoundDone(msgspec.Struct, frozen=True):
    """What the sound came to: for each segment its number, start and duration in ticks of ``rate``, and bytes."""

    codec: str
    rate: int
    channels: int
    language: str
    segments: list[tuple[int, int, int, int]]


def make_positions(plan: Plan, rendition: Rendition, wanted: range, stopped: Callable[[], bool]) -> int:
    """Make a run of positions, or as many of it as the source has; returns how many.

    Raises :class:`EmbedError`.
    """
    size = (rendition.encoding.width, rendition.encoding.height)
    made = 0
    ticks = frames(plan.path, plan.source, size, plan.timing.first_frame(wanted.start))
    try:
        for position, pictures in by_position(ticks, plan.timing):
            if stopped() or position >= wanted.stop:
                break
            make_position(plan, rendition, position, pictures)
            made += 1
    except av.FFmpegError as err:
        raise SourceError(f"{plan.source.name}: {err.strerror}") from None
    return made


def make_position(plan: Plan, rendition: Rendition, position: int, pictures: Sequence[VideoFrame]) -> Done:
    """Mark, encode and write one position; with the first rendition its piece of the proxy, too."""
    encoding, timing = rendition.encoding, plan.timing
    marked = mark_segment(pictures, position, plan.pattern, encoding, plan.gain)
    _put_init(plan.folder, rendition.name, init_of(marked.variants[0], encoding, timing))
    if rendition == plan.renditions[0]:
        small, proxy_encoding = proxy_of(pictures, encoding)
        encoded = encode(small, proxy_encoding)
        put(plan.folder.proxy_init, init_of(encoded, proxy_encoding, timing))
        plan.folder.put_proxy(position, video_fragment(encoded, position, timing))
    bodies = [video_fragment(variant, position, timing) for variant in marked.variants]
    sizes = (len(bodies[0]), len(bodies[1]))
    done = Done(position, len(pictures), sizes, marked.mark)
    plan.folder.put_segment(rendition.name, bodies, done)
    return done


def make_sound(plan: Plan) -> None:
    """Write the sound in segments of the positions' length, and what they are. Raises :class:`EmbedError`."""
    found = read_sound(plan.path, plan.source)
    if found is None:
        return
    sound, units = found
    put(plan.folder.origin / AUDIO / "init.mp4", audio_init(sound.rate, sound.channels, sound.config))
    cut = SoundCut(plan.folder, sound.rate, plan.timing.segment_s)
    segments = [done for start, unit in units for done in cut.take(start, unit)] + cut.end()
    note = SoundDone(codec_of(sound.config), sound.rate, sound.channels, sound.language, segments)
    put(plan.folder.sound_note, msgspec.json.encode(note))


class SoundCut:
    """Writes sound in segments, each of the units that start within one position."""

    def __init__(self, folder: Folder, rate: int, segment_s: Fraction) -> None:
        self._folder = folder
        self._length = segment_s * rate
        self._held: list[Access] = []
        self._begun = 0

    def take(self, start: int, unit: Access) -> list[tuple[int, int, int, int]]:
        """Add a unit. The segment that this has completed, if any, as :class:`SoundDone` lists it."""
        done = self.end() if self._number(start) != self._number(self._begun) else []
        if not self._held:
            self._begun = start
        self._held.append(unit)
        return done

    def end(self) -> list[tuple[int, int, int, int]]:
        """Write what is held."""
        if not self._held:
            return []
        number = self._number(self._begun)
        body = fragment(number + 1, self._begun, self._held)
        put(self._folder.origin / AUDIO / segment_name(number), body)
        duration = sum(one.duration for one in self._held)
        self._held = []
        return [(number, self._begun, duration, len(body))]

    def _number(self, start: int) -> int:
        return int(start / self._length)


def by_position(ticks: Iterable[tuple[int, VideoFrame]], timing: Timing) -> Iterator[tuple[int, list[VideoFrame]]]:
    """Frames gathered into positions."""
    gathered: list[VideoFrame] = []
    at = -1
    for tick, frame in ticks:
        position = timing.position(tick)
        if position != at and gathered:
            yield at, gathered
            gathered = []
        at = position
        gathered.append(frame)
    if gathered:
        yield at, gathered


def video_fragment(encoded: Encoded, position: int, timing: Timing) -> bytes:
    """The media segment of an encoded position: decoding starts at the position's start, at a constant pace."""
    samples = [
        Access(sample.data, timing.tick, (sample.shown - decoded + DELAY) * timing.tick, sample.is_sync)
        for decoded, sample in enumerate(encoded.samples)
    ]
    return fragment(position + 1, timing.first_frame(position) * timing.tick, samples)


def proxy_of(pictures: Sequence[VideoFrame], encoding: Encoding) -> tuple[list[VideoFrame], Encoding]:
    """The luma of frames at the proxy's size, without colour, and how it is encoded."""
    width, height = proxy_size(encoding.width, encoding.height)
    small: list[VideoFrame] = []
    for picture in pictures:
        frame = VideoFrame(width, height, "yuv420p")
        luma_of(frame)[...] = np.rint(shrunk(luma_of(picture), width, height))
        for plane in frame.planes[1:]:
            view_of(plane)[...] = _GREY
        small.append(frame)
    return small, Encoding(width, height, encoding.rate, encoding.colour)


def init_of(encoded: Encoded, encoding: Encoding, timing: Timing) -> bytes:
    """The init segment that an encoded position needs."""
    return video_init(
        timing.timescale, encoding.width, encoding.height, encoded.config, encoding.colour, DELAY * timing.tick
    )


def _put_init(folder: Folder, name: str, init: bytes) -> None:
    """Write a rendition's init segment, or find that the one there serves this position, too."""
    path = folder.origin / name / "init.mp4"
    if not path.exists():
        put(path, init)
    elif path.read_bytes() != init:
        raise EmbedError(f"{path}: a position needs another init segment. Was the encoder exchanged meanwhile?")
