"""The sound of a source: AAC is passed on as it is, all else becomes AAC. It carries no mark."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Protocol

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.filter import Graph
from av.packet import Packet

from relay.watermark.embed.cmaf import Access
from relay.watermark.embed.errors import SourceError
from relay.watermark.embed.source import Input, Source, opening

BITRATE = 128_000
_FRAME = 1024
_LATE_S = 0.2  # sound that starts later than this after the picture is made anew, with silence before it
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000)  # in the order of their index, §1.6.3.4
_GLOBAL_HEADER = 1 << 22

Timed = tuple[int, Access]
"""An access unit and its start, in samples from the first picture."""


class Sound(Protocol):
    """Makes a track of AAC of the packets of a stream: ``rate`` samples a second; ``config`` is its
    AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1)."""

    rate: int
    channels: int
    language: str
    config: bytes

    def take(self, packet: "Packet[AudioStream] | None") -> Iterator[tuple[int, bytes]]:
        """The units that a packet gives (None: the stream has ended), each with its start."""


def codec_of(config: bytes) -> str:
    """As in RFC 6381: the object type is in the first five bits of the configuration."""
    return f"mp4a.40.{config[0] >> 3}"


def read_sound(given: Input, source: Source) -> tuple[Sound, Iterator[Timed]] | None:
    """The first track of sound, timed against the first picture; None where there is none.

    Its units are read as they are asked for. Raises :class:`SourceError`, then, too.
    """
    for fresh in (False, True):
        with opening(given, source.name) as container:
            if not container.streams.audio:
                return None
            stream = container.streams.audio[0]
            sound = sound_of(stream, source, fresh=fresh)
            first = next(_units(sound, container.demux(stream), source), None)
        if first is not None and (fresh or first[0] <= _LATE_S * sound.rate):
            return _read_again(given, source, fresh=fresh)
    return None


def _read_again(given: Input, source: Source, *, fresh: bool) -> tuple[Sound, Iterator[Timed]]:
    container = opening(given, source.name)
    stream = container.streams.audio[0]
    sound = sound_of(stream, source, fresh=fresh)

    def units() -> Iterator[Timed]:
        with container:
            yield from _units(sound, container.demux(stream), source)

    return sound, units()


def sound_of(stream: AudioStream, source: Source, *, fresh: bool = False) -> Sound:
    """What makes AAC of a stream: passes it on where it is AAC, unless a ``fresh`` encoding is asked for."""
    codec = stream.codec_context
    if codec.name == "aac" and codec.sample_rate in _RATES and not fresh:
        return _Copied(stream, source)
    return _Encoded(stream, source)


class Lasting:
    """Tells how long each unit lasts: until the next one starts."""

    def __init__(self) -> None:
        self._held: tuple[int, bytes] | None = None
        self._duration = _FRAME

    def take(self, start: int, data: bytes) -> Iterator[Timed]:
        """The unit before this one, if any. One that starts no later than it is left out."""
        if self._held is not None:
            if start <= self._held[0]:
                return
            self._duration = start - self._held[0]
            yield self._held[0], Access(self._held[1], self._duration)
        self._held = start, data

    def end(self) -> Iterator[Timed]:
        """The last unit."""
        if self._held is not None:
            yield self._held[0], Access(self._held[1], min(self._duration, 2 * _FRAME))


def _units(sound: Sound, packets: "Iterable[Packet[AudioStream]]", source: Source) -> Iterator[Timed]:
    lasting = Lasting()
    try:
        for packet in packets:
            for unit in sound.take(packet):
                yield from lasting.take(*unit)
        for unit in sound.take(None):
            yield from lasting.take(*unit)
    except av.FFmpegError as err:
        raise SourceError(f"{source.name}: its sound cannot be read: {err.strerror}") from None
    yield from lasting.end()


class _Copied:
    """AAC passed on."""

    def __init__(self, stream: AudioStream, source: Source) -> None:
        codec = stream.codec_context
        self.rate, self.channels, self.language = codec.sample_rate, codec.channels, _language(stream)
        self.config = bytes(codec.extradata or b"")
        self._first = source.first
        self._strip: BitStreamFilterContext | None = None
        if not self.config:
            # It is ADTS, as in transport streams: each unit has a header of its own.
            self._strip = BitStreamFilterContext("aac_adtstoasc", stream)
            self.config = (2 << 11 | _RATES.index(self.rate) << 7 | self.channels << 3).to_bytes(2, "big")

    def take(self, packet: "Packet[AudioStream] | None") -> Iterator[tuple[int, bytes]]:
        """See :class:`Sound`."""
        if packet is None:
            return
        for one in self._strip.filter(packet) if self._strip else [packet]:
            if one.pts is None or one.size == 0:
                continue
            start = round((one.pts * (one.time_base or Fraction(1)) - self._first) * self.rate)
            # Half a unit early or late is not heard; what lies before the picture is left out.
            if start > -_FRAME // 2:
                yield max(start, 0), bytes(one)


class _Encoded:
    """Anything, as new AAC from the first picture on: silence fills what is missing."""

    def __init__(self, stream: AudioStream, source: Source) -> None:
        codec = stream.codec_context
        self.rate = codec.sample_rate if codec.sample_rate in _RATES else 48000
        self.channels, self.language = min(codec.channels, 2), _language(stream)
        layout = "mono" if self.channels == 1 else "stereo"
        self._encoder = AudioCodecContext.create("aac", "w")
        self._encoder.sample_rate, self._encoder.bit_rate = self.rate, BITRATE
        self._encoder.time_base = Fraction(1, self.rate)
        self._encoder.layout, self._encoder.format = layout, "fltp"
        self._encoder.flags |= _GLOBAL_HEADER
        self._encoder.open()
        self.config = bytes(self._encoder.extradata or b"")
        self._graph: Graph | None = None
        self._first = source.first

    def take(self, packet: "Packet[AudioStream] | None") -> Iterator[tuple[int, bytes]]:
        """See :class:`Sound`."""
        for frame in self._decoded(packet):
            if self._graph is None:
                self._graph = self._graph_for(frame)
            self._graph.push(frame)
            yield from self._made(self._graph)
        if packet is None and self._graph is not None:
            self._graph.push(None)
            yield from self._made(self._graph)
            yield from _shown(self._encoder.encode(None))

    def _graph_for(self, frame: AudioFrame) -> Graph:
        # Of the first frame: some containers do not say what their sound is like before it is decoded.
        graph = Graph()
        last = graph.add_abuffer(
            sample_rate=frame.sample_rate, format=frame.format.name, layout=frame.layout.name, time_base=frame.time_base
        )
        for step in (
            f"asetpts=PTS-{float(self._first):.9f}/TB",
            f"aresample={self.rate}:async=1:first_pts=0",
            f"aformat=sample_fmts=fltp:channel_layouts={self._encoder.layout.name}",
            f"asetnsamples=n={_FRAME}:p=0",
            "abuffersink",
        ):
            name, _, arguments = step.partition("=")
            node = graph.add(name, arguments or None)
            last.link_to(node)
            last = node
        graph.configure()
        return graph

    def _made(self, graph: Graph) -> Iterator[tuple[int, bytes]]:
        while True:
            try:
                frame = graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            if isinstance(frame, AudioFrame):
                yield from _shown(self._encoder.encode(frame))

    def _decoded(self, packet: "Packet[AudioStream] | None") -> Iterator[AudioFrame]:
        try:
            yield from packet.decode() if packet is not None else ()
        except av.FFmpegError:
            # Damage: silence takes its place.
            return


def _shown(packets: "Iterable[Packet[AudioStream]]") -> Iterator[tuple[int, bytes]]:
    """Packets that last beyond the start: the encoder's first is its own priming."""
    return ((packet.pts, bytes(packet)) for packet in packets if packet.pts is not None and packet.pts >= 0)


def _language(stream: AudioStream) -> str:
    return stream.language or "und"
