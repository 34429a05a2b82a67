"""The sound of a source: AAC is passed on as it is, all else becomes AAC. It carries no mark."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.filter import Graph
from av.packet import Packet

from relay.watermark.embed.cmaf import Access
from relay.watermark.embed.errors import SourceError
from relay.watermark.embed.source import Input, Source, decoded, opening

BITRATE = 128_000
_FRAME = 1024
_LATE_S = 0.2  # sound that starts later than this after the picture is made anew, with silence before it
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000)  # in the order of their index, §1.6.3.4
_GLOBAL_HEADER = 1 << 22

Timed = tuple[int, bytes]
"""An access unit and its start, in samples from the first picture."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A track of AAC: samples a second, its AudioSpecificConfig, and its access units, which are read as they are
    asked for and may raise :class:`SourceError`."""

    rate: int
    channels: int
    language: str
    config: bytes
    units: Iterator[tuple[int, Access]]

    @property
    def codec(self) -> str:
        """As in RFC 6381: the object type is in the first five bits of the configuration."""
        return f"mp4a.40.{self.config[0] >> 3}"


def read_sound(given: Input, source: Source) -> Sound | None:
    """The first track of sound, timed against the first picture; None where there is none. Raises
    :class:`SourceError`."""
    for read in (_passed_on, _encoded):
        with ExitStack() as stack:
            container = stack.enter_context(opening(given, source.name))
            if not container.streams.audio:
                return None
            found = read(container, container.streams.audio[0], source, stack)
            if found is not None:
                return found
    return None


def _passed_on(container: InputContainer, stream: AudioStream, source: Source, stack: ExitStack) -> Sound | None:
    """The AAC that is there; None where there is none or it starts late."""
    codec = stream.codec_context
    if codec.name != "aac" or codec.sample_rate not in _RATES:
        return None
    config = bytes(codec.extradata or b"")
    # Without a configuration it is ADTS, as in transport streams: each unit has a header of its own.
    strip = None if config else BitStreamFilterContext("aac_adtstoasc", stream)
    units = _copied(container, stream, strip, source)
    first = next(units, None)
    if first is None or first[0] > _LATE_S * codec.sample_rate:
        return None
    config = config or _config(codec.sample_rate, codec.channels)
    kept = stack.pop_all()
    return Sound(codec.sample_rate, codec.channels, _language(stream), config, _lasting(first, units, kept, source))


def _copied(
    container: InputContainer, stream: AudioStream, strip: BitStreamFilterContext | None, source: Source
) -> Iterator[Timed]:
    for packet in container.demux(stream):
        for one in strip.filter(packet) if strip else [packet]:
            if one.pts is None or one.size == 0:
                continue
            start = round((one.pts * (one.time_base or Fraction(1)) - source.first) * stream.codec_context.sample_rate)
            # Half a unit early or late is not heard; what lies before the picture is left out.
            if start > -_FRAME // 2:
                yield max(start, 0), bytes(one)


def _encoded(container: InputContainer, stream: AudioStream, source: Source, stack: ExitStack) -> Sound | None:
    """The sound as new AAC, from the first picture on: silence fills what is missing."""
    codec = stream.codec_context
    rate = codec.sample_rate if codec.sample_rate in _RATES else 48000
    layout = "mono" if codec.channels == 1 else "stereo"
    encoder = AudioCodecContext.create("aac", "w")
    encoder.sample_rate, encoder.bit_rate, encoder.time_base = rate, BITRATE, Fraction(1, rate)
    encoder.layout, encoder.format = layout, "fltp"
    encoder.flags |= _GLOBAL_HEADER
    encoder.open()
    units = _made(container, stream, encoder, source)
    first = next(units, None)
    if first is None:
        return None
    channels, config = 1 if layout == "mono" else 2, bytes(encoder.extradata or b"")
    kept = stack.pop_all()
    return Sound(rate, channels, _language(stream), config, _lasting(first, units, kept, source))


def _made(
    container: InputContainer, stream: AudioStream, encoder: AudioCodecContext, source: Source
) -> Iterator[Timed]:
    steps = (
        f"asetpts=PTS-{float(source.first):.9f}/TB",
        f"aresample={encoder.sample_rate}:async=1:first_pts=0",
        f"aformat=sample_fmts=fltp:channel_layouts={encoder.layout.name}",
        f"asetnsamples=n={_FRAME}:p=0",
        "abuffersink",
    )
    graph = Graph()
    last = graph.add_abuffer(template=stream)
    for step in steps:
        name, _, arguments = step.partition("=")
        node = graph.add(name, arguments or None)
        last.link_to(node)
        last = node
    graph.configure()
    for frame in chain(decoded(container.demux(stream), source.name), [None]):
        graph.push(frame)
        for whole in _pulled(graph):
            yield from _shown(encoder.encode(whole))
    yield from _shown(encoder.encode(None))


def _shown(packets: "Iterable[Packet[AudioStream]]") -> Iterator[Timed]:
    """Packets that last beyond the start: the encoder's first is its own priming."""
    return ((packet.pts, bytes(packet)) for packet in packets if packet.pts is not None and packet.pts >= 0)


def _pulled(graph: Graph) -> Iterator[AudioFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        if isinstance(frame, AudioFrame):
            yield frame


def _lasting(first: Timed, rest: Iterator[Timed], kept: ExitStack, source: Source) -> Iterator[tuple[int, Access]]:
    """Each unit with how long it lasts: until the next one starts."""
    start, data = first
    duration = _FRAME
    with kept:
        try:
            for after, following in rest:
                if after <= start:
                    continue
                duration = after - start
                yield start, Access(data, duration)
                start, data = after, following
        except av.FFmpegError as err:
            raise SourceError(f"{source.name}: its sound cannot be read: {err.strerror}") from None
        yield start, Access(data, min(duration, 2 * _FRAME))


def _config(rate: int, channels: int) -> bytes:
    """An AudioSpecificConfig of AAC-LC (ISO/IEC 14496-3 §1.6.2.1): object type, index of the rate, channels."""
    return (2 << 11 | _RATES.index(rate) << 7 | channels << 3).to_bytes(2, "big")


def _language(stream: AudioStream) -> str:
    return stream.language or "und"
