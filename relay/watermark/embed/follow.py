"""Near-live: marks a source while it is being written, and shows a window of it as a stream that goes on.

Positions are epoch-locked, ``floor(time / segment)``, so that a restart goes on in the code where it would have been.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from typing import Any, TypeVar

import av
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from relay.watermark.embed.audio import Lasting, codec_of, sound_of
from relay.watermark.embed.cmaf import audio_init
from relay.watermark.embed.errors import SourceError
from relay.watermark.embed.folder import Done, put
from relay.watermark.embed.growing import Growing
from relay.watermark.embed.live import Parts, Window
from relay.watermark.embed.plan import Plan, Rendition
from relay.watermark.embed.source import Source, decoded, described, opened, paced
from relay.watermark.embed.work import AUDIO, SoundCut, SoundDone, by_position, make_position

_DRIFT_S = 60
_CLOCK = "clock"
T = TypeVar("T")


def follow(
    growing: Growing,
    name: str,
    planned: Callable[[Source], Plan],
    clock: Callable[[], float],
    *,
    window_s: float,
    epoch: Fraction | None = None,
    progress: Callable[[int, float], None] = lambda position, behind_s: None,
) -> int:
    """Mark a source until it ends; returns how many positions were made.

    ``clock`` is Unix time. ``epoch`` is the Unix time of the source's time stamp 0; left out, the source is taken to
    be live when it is first read, and to go on with the same time stamps after a restart. ``progress`` hears each
    position, and how far behind its end it was published. Raises :class:`EmbedError`.
    """
    with opened(growing, name) as (container, stream):
        sounds = container.streams.audio[:1]
        heard = _Heard()
        packets = heard.video_of(container.demux(stream, *sounds))
        shown = decoded(packets, name)
        first = next(shown, None)
        source = described(container, stream, first, name)
        assert first is not None, "else it is refused"
        plan = planned(source)
        offset = epoch if epoch is not None else _offset(plan, source, clock())
        # From here on the first frame is that of the epoch.
        plan = replace(plan, source=replace(source, first=-offset, duration_s=None))
        plan.folder.clear_segments()
        window = Window(plan, max(3, int(window_s / plan.timing.segment_s)))
        if sounds:
            heard.listen(sounds[0], plan, source, offset, window)
        parts = Parts(plan)
        ticks = paced(chain([first], shown), stream, plan.source, (source.width, source.height))
        made = 0
        try:
            for position, pictures in _ahead(_whole(by_position(ticks, plan.timing), plan), growing):
                done = _made(plan, position, pictures)
                window.add(done)
                parts.add(position, done)
                window.publish(clock())
                made += 1
                progress(position, clock() - float((position + 1) * plan.timing.segment_s))
        except av.FFmpegError as err:
            raise SourceError(f"{name}: {err.strerror}") from None
        heard.end()
        window.publish(clock(), ended=True)
        return made


def _ahead(positions: Iterator[T], growing: Growing) -> Iterator[T]:
    """The positions, the next one read while one is being made: a live source does not wait."""
    with ThreadPoolExecutor(1) as reader:
        try:
            coming = reader.submit(next, positions, None)
            while (found := coming.result()) is not None:
                coming = reader.submit(next, positions, None)
                yield found
        finally:
            growing.stop()


def _made(plan: Plan, position: int, pictures: list[VideoFrame]) -> dict[str, Done]:
    """One position of all renditions, each in a thread: the codecs and OpenCV let others run meanwhile."""
    with ThreadPoolExecutor(len(plan.renditions)) as pool:
        futures = {one.name: pool.submit(_make, plan, one, position, pictures) for one in plan.renditions}
        return {name: future.result() for name, future in futures.items()}


def _make(plan: Plan, rendition: Rendition, position: int, pictures: list[VideoFrame]) -> Done:
    """One position of one rendition, of frames in the source's size. For a thread of its own."""
    scaler = VideoReformatter()
    width, height = rendition.encoding.width, rendition.encoding.height
    sized = [scaler.reformat(one, width, height, "yuv420p", interpolation=Interpolation.BICUBIC) for one in pictures]
    return make_position(plan, rendition, position, sized)


def _whole(positions: Iterator[tuple[int, list[VideoFrame]]], plan: Plan) -> Iterator[tuple[int, list[VideoFrame]]]:
    """Positions that were seen from their start: other nodes that make the first one would cut it elsewhere."""
    for position, pictures in positions:
        if len(pictures) == plan.timing.frames(position):
            yield position, pictures


def _offset(plan: Plan, source: Source, now: float) -> Fraction:
    """Unix time of the source's time stamp 0: as it was before a restart, if that is still about right."""
    note = plan.folder.work / _CLOCK
    if note.exists():
        kept = Fraction(note.read_text(encoding="ascii"))
        if abs(float(kept + source.first) - now) < _DRIFT_S:
            return kept
    offset = Fraction(round(now * 1000), 1000) - source.first
    put(note, str(offset).encode())
    return offset


class _Heard:
    """The sound of a source that is demuxed once: it is written as it passes by."""

    def __init__(self) -> None:
        self._early: list[Packet[Any]] = []
        self._write: Callable[[Packet[Any] | None], None] | None = None

    def video_of(self, packets: "Iterator[Packet[Any]]") -> "Iterator[Packet[Any]]":
        """The packets that are not sound."""
        for packet in packets:
            if not isinstance(packet.stream, AudioStream):
                yield packet
            elif packet.size == 0:
                continue
            elif self._write is None:
                self._early.append(packet)
            else:
                self._write(packet)

    def listen(self, stream: AudioStream, plan: Plan, source: Source, offset: Fraction, window: Window) -> None:
        """Write this stream's packets from now on, and those that came before."""
        sound = sound_of(stream, source)
        # Units count from the first picture; segments from the epoch.
        shift = round((source.first + offset) * sound.rate)
        cut, lasting = SoundCut(plan.folder, sound.rate, plan.timing.segment_s), Lasting()
        put(plan.folder.origin / AUDIO / "init.mp4", audio_init(sound.rate, sound.channels, sound.config))
        window.begin_sound(SoundDone(codec_of(sound.config), sound.rate, sound.channels, sound.language, []))

        def write(packet: "Packet[Any] | None") -> None:
            units = [unit for begun, data in sound.take(packet) for unit in lasting.take(begun + shift, data)]
            if packet is None:
                units += lasting.end()
            for start, unit in units:
                for segment in cut.take(start, unit):
                    window.add_sound(segment)
            if packet is None:
                for segment in cut.end():
                    window.add_sound(segment)

        self._write = write
        for packet in self._early:
            write(packet)
        self._early = []

    def end(self) -> None:
        """There is no more."""
        if self._write is not None:
            self._write(None)
