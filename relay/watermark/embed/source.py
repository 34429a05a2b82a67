"""Reading a source: its video as frames of one size at a constant rate, whatever it is in the file.

Frames are numbered by ticks from the first: time stamps decide, so a source of a varying rate, or one whose time
stamps are rounded, gives the same frames wherever reading begins. Flagged interlace is taken out, rotation is
applied, pixels become square, all luma has 8 bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av
from av.container import InputContainer
from av.filter import Graph
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from relay.watermark.embed.errors import SourceError
from relay.watermark.embed.growing import Growing

MIN_HEIGHT = 144
MAX_SIDE = 8192
_MAX_RATE = 120
_MAX_GAP_S = 60
_BEFORE_S = 2  # read ahead of a seek's target: leading pictures of an open GOP and the deinterlacer's past
_HDR = {16: "PQ (HDR10, Dolby Vision)", 18: "HLG"}  # transfer characteristics, ITU-T H.273
_RGB = 0
_BT709 = 1

_DAMAGED = 100  # packets that may be lost before anything is shown

Input = Path | Growing
T = TypeVar("T", bound=Stream)


@dataclass(frozen=True, slots=True)
class Colour:
    """Colour description (ITU-T H.273 numbers; 2 is unspecified). The range is always limited."""

    primaries: int
    transfer: int
    matrix: int


@dataclass(frozen=True, slots=True)
class Source:
    """What a source shows: display size with square pixels, frames per second, time of its first frame.

    ``first`` is in the stream's time base; ``duration_s`` is what the container says, None where it says nothing.
    """

    name: str
    width: int
    height: int
    rate: Fraction
    first: Fraction
    duration_s: float | None
    rotation: int
    colour: Colour


def probe(given: Input, name: str) -> Source:
    """Look at a source. Raises :class:`SourceError`."""
    with opened(given, name) as (container, stream):
        return described(container, stream, next(decoded(container.demux(stream), name), None), name)


def described(container: InputContainer, stream: VideoStream, frame: VideoFrame | None, name: str) -> Source:
    """What the first decoded frame and its stream say. Raises :class:`SourceError` for what is not marked."""
    if frame is None:
        raise SourceError(f"{name}: not one frame of its video can be decoded")
    if frame.pts is None or frame.time_base is None:
        raise SourceError(f"{name}: its frames have no time stamps. Put it into a container first, as MP4 or Matroska.")
    transfer = int(frame.color_trc)
    if transfer in _HDR:
        raise SourceError(
            f"{name}: HDR, {_HDR[transfer]}. The mark is made for standard dynamic range: convert the source first."
        )
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width, height = round(frame.width * aspect) if aspect > 0 else frame.width, frame.height
    if frame.rotation % 180:
        width, height = height, width
    width, height = width - width % 2, height - height % 2
    if min(width, height) < MIN_HEIGHT or max(width, height) > MAX_SIDE:
        raise SourceError(f"{name}: {width}x{height}, expected sides from {MIN_HEIGHT} to {MAX_SIDE}")
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    if rate is None or not 1 <= rate <= _MAX_RATE:
        raise SourceError(f"{name}: {rate} frames a second, expected 1 to {_MAX_RATE}")
    duration = None if container.duration is None else container.duration / av.time_base
    matrix = _BT709 if frame.colorspace == _RGB else int(frame.colorspace)
    colour = Colour(int(frame.color_primaries), transfer, matrix)
    first = frame.pts * frame.time_base
    return Source(name, width, height, _plain_rate(rate), first, duration, frame.rotation, colour)


def frames(given: Input, source: Source, size: tuple[int, int], start: int = 0) -> Iterator[tuple[int, VideoFrame]]:
    """Every tick from ``start`` on with its frame, ``size`` large, planar 4:2:0. Raises :class:`SourceError`."""
    with opened(given, source.name) as (container, stream):
        if start:
            _seek(container, stream, source, start)
        ticks = paced(decoded(container.demux(stream), source.name), stream, source, size)
        first = next(ticks, None)
        if first is None:
            return
        if first[0] <= start:
            yield from _from(start, first, ticks)
            return
    # The seek went past its target, as in files without an index: read it all.
    with opened(given, source.name) as (container, stream):
        ticks = paced(decoded(container.demux(stream), source.name), stream, source, size)
        first = next(ticks, None)
        if first is not None:
            yield from _from(start, first, ticks)


def opening(given: Input, name: str) -> InputContainer:
    """The container. Raises :class:`SourceError`."""
    try:
        return av.open(str(given) if isinstance(given, Path) else given, "r")
    except (av.FFmpegError, OSError) as err:
        raise SourceError(f"{name}: cannot be read as media: {err.strerror or err}") from None


@contextmanager
def opened(given: Input, name: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video. Raises :class:`SourceError`."""
    with opening(given, name) as container:
        # Cover pictures are video streams, too.
        videos = [one for one in container.streams.video if not one.disposition & av.stream.Disposition.attached_pic]
        if not videos:
            raise SourceError(f"{name}: has no video")
        videos[0].thread_type = "AUTO"
        yield container, videos[0]


def decoded(packets: Iterator["Packet[T]"], name: str) -> Iterator[Any]:
    """All frames of a stream's packets that can be decoded: damaged ones are left out.

    Raises :class:`SourceError` where nothing but damage comes.
    """
    shown, failed = 0, 0
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            for frame in packet.decode():
                shown += 1
                yield frame
        except av.FFmpegError as err:
            failed += 1
            if failed > _DAMAGED + shown:
                raise SourceError(f"{name}: cannot be decoded: {err.strerror}") from None


def paced(
    shown: Iterator[VideoFrame], stream: VideoStream, source: Source, size: tuple[int, int]
) -> Iterator[tuple[int, VideoFrame]]:
    """Decoded frames as :func:`frames` gives them."""
    return _at_rate(_prepared(shown, stream, source, size), source)


def _prepared(
    decoded: Iterator[VideoFrame], stream: VideoStream, source: Source, size: tuple[int, int]
) -> Iterator[VideoFrame]:
    graph: Graph | None = None
    kind: tuple[int, int, str] | None = None
    for frame in decoded:
        if kind != (frame.width, frame.height, frame.format.name):
            if graph is not None:
                yield from _pulled(graph, end=True)
            kind = (frame.width, frame.height, frame.format.name)
            graph = _graph(frame, stream, source, size)
        assert graph is not None
        graph.vpush(frame)
        yield from _pulled(graph, end=False)
    if graph is not None:
        yield from _pulled(graph, end=True)


def _pulled(graph: Graph, end: bool) -> Iterator[VideoFrame]:
    if end:
        graph.vpush(None)
    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return


def _graph(frame: VideoFrame, stream: VideoStream, source: Source, size: tuple[int, int]) -> Graph:
    turned = {90: ["transpose=cclock"], 180: ["hflip", "vflip"], 270: ["transpose=clock"]}.get(
        source.rotation % 360, []
    )
    matrix = ":out_color_matrix=bt709" if frame.colorspace == _RGB else ""
    steps = [
        "bwdif=mode=send_frame:deint=interlaced",
        *turned,
        f"scale={size[0]}:{size[1]}:flags=bicubic+accurate_rnd:out_range=tv{matrix}",
        "format=yuv420p",
    ]
    graph = Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base or frame.time_base
    )
    for step in [*steps, "buffersink"]:
        name, _, arguments = step.partition("=")
        node = graph.add(name, arguments or None)
        last.link_to(node)
        last = node
    graph.configure()
    return graph


def _at_rate(shown: Iterator[VideoFrame], source: Source) -> Iterator[tuple[int, VideoFrame]]:
    """Frames at a constant rate: each tick shows the last frame that is due, so some repeat and some are left out."""
    held: VideoFrame | None = None
    at = 0
    for frame in shown:
        if frame.pts is None or frame.time_base is None:
            tick = at + 1
        else:
            tick = round((frame.pts * frame.time_base - source.first) * source.rate)
        if held is not None:
            if tick - at > _MAX_GAP_S * source.rate or at - tick > source.rate:
                seconds = float((tick - at) / source.rate)
                raise SourceError(f"{source.name}: time stamps jump by {seconds:.1f} s. Remux the source first.")
            for due in range(at, tick):
                yield due, held
        at = max(at, tick) if held is not None else tick
        held = frame
    if held is not None:
        yield at, held


def _from(
    start: int, first: tuple[int, VideoFrame], rest: Iterator[tuple[int, VideoFrame]]
) -> Iterator[tuple[int, VideoFrame]]:
    if first[0] >= start:
        yield first
    for tick, frame in rest:
        if tick >= start:
            yield tick, frame


def _seek(container: InputContainer, stream: VideoStream, source: Source, start: int) -> None:
    target = source.first + start / source.rate - _BEFORE_S
    try:
        container.seek(int(target / (stream.time_base or 1)), stream=stream)
    except av.FFmpegError:
        # Not seekable: what comes next is the beginning, which serves as well.
        return


def _plain_rate(rate: Fraction) -> Fraction:
    """The usual rate that is meant: container arithmetic gives 29.97 as 2997/100, or a hundredth beside it."""
    for usual in (Fraction(whole * 1000, 1001) for whole in (24, 30, 48, 60, 120)):
        if abs(rate / usual - 1) < 3e-4:
            return usual
    whole = Fraction(round(rate))
    return whole if abs(rate / whole - 1) < 3e-4 else rate.limit_denominator(1001)
