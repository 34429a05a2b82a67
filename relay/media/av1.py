"""AV1: where the tiles of a sample lie (AV1 §5; AV1 Codec ISO Media File Format Binding §3).

Only tile data is protected; OBU and frame headers stay clear. Finding a header's end takes the state of
the reference frames, so a segment must start at a key frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from keys.model import Scheme
from relay.errors import MediaError, UnsupportedMediaError
from relay.media.av1_frame import SLOTS, Frame, FrameHeader, read_frame_header
from relay.media.av1_sequence import SequenceHeader, parse_sequence_header
from relay.media.av1_tiles import tile_ranges
from relay.media.bits import BitReader, read_head
from relay.media.subsamples import Range, RangeMapper

MAX_OBUS = 4096
"""Per sample: 8 layers of at most 4 × 128 tile groups, and metadata."""

_MAX_SEQUENCE_HEADER = 1024

_SEQUENCE_HEADER, _TEMPORAL_DELIMITER, _FRAME_HEADER, _TILE_GROUP = 1, 2, 3, 4
_FRAME, _REDUNDANT_FRAME_HEADER, _TILE_LIST = 6, 7, 8


@dataclass(frozen=True, slots=True)
class Obu:
    """One open bitstream unit (§5.3): its payload lies from ``start`` to ``end`` of what was walked."""

    type: int
    layers: tuple[int, int] | None
    start: int
    end: int


def obus(data: memoryview) -> Iterator[Obu]:
    """The OBUs of a sample or of ``configOBUs``. Raises :class:`MediaError`."""
    size = len(data)
    at = 0
    for _ in range(MAX_OBUS):
        if at == size:
            return
        header = data[at]
        at += 1
        if header & 0x80:
            raise MediaError("AV1 OBU: forbidden bit is set")
        layers = None
        if header & 4:
            if at == size:
                raise MediaError("AV1 OBU: truncated header")
            layers = data[at] >> 5, data[at] >> 3 & 3
            at += 1
        end = size
        if header & 2:
            length, at = _read_leb128(data, at)
            end = at + length
            if end > size:
                raise MediaError(f"AV1 OBU: {length} bytes at {at} overrun a sample of {size}")
        yield Obu(header >> 3 & 15, layers, at, end)
        at = end
    if at != size:
        raise MediaError(f"sample: more than {MAX_OBUS} OBUs")


def _read_leb128(data: memoryview, at: int) -> tuple[int, int]:
    """``leb128()`` (§4.10.5) and where it ends."""
    value = 0
    for index, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise MediaError("AV1 OBU: bad size field")


@dataclass(frozen=True, slots=True)
class Av1Codec:
    """An AV1 track: the sequence header of its ``av1C``, if it holds one."""

    sequence: SequenceHeader | None

    @classmethod
    def parse(cls, config: bytes) -> "Av1Codec":
        """Read an AV1CodecConfigurationRecord (binding §2.3.3). Raises :class:`MediaError`."""
        if len(config) < 4 or config[0] != 0x81:
            raise MediaError("av1C: not a version 1 configuration record")
        record = memoryview(config)[4:]
        sequence = None
        for obu in obus(record):
            if obu.type == _SEQUENCE_HEADER:
                sequence = _sequence_header(record[obu.start : obu.end])
        return cls(sequence)

    def mapper(self, scheme: Scheme) -> RangeMapper:
        """See :meth:`relay.media.subsamples.VideoCodec.mapper`."""
        return RangeMapper(_TileFinder(self.sequence), scheme, aligned=scheme is Scheme.CENC)


def _sequence_header(payload: memoryview) -> SequenceHeader:
    if len(payload) > _MAX_SEQUENCE_HEADER:
        raise MediaError(f"AV1 sequence header: {len(payload)} bytes, over the limit of {_MAX_SEQUENCE_HEADER}")
    return parse_sequence_header(bytes(payload))


class _TileFinder:
    """Finds tiles, and follows sequence headers and reference frames."""

    __slots__ = ("_header", "_next_tile", "_sequence", "_slots")

    def __init__(self, sequence: SequenceHeader | None) -> None:
        self._sequence = sequence
        self._slots: list[Frame | None] = [None] * SLOTS
        # The frame whose tiles are not all there yet.
        self._header: FrameHeader | None = None
        self._next_tile = 0

    def find(self, sample: memoryview) -> list[Range]:
        """See :meth:`relay.media.subsamples.RangeFinder.find`."""
        ranges: list[Range] = []
        for obu in obus(sample):
            if obu.type == _SEQUENCE_HEADER:
                self._sequence = _sequence_header(sample[obu.start : obu.end])
            elif obu.type == _TEMPORAL_DELIMITER:
                self._header = None
            elif obu.type in (_FRAME_HEADER, _REDUNDANT_FRAME_HEADER):
                # While tiles are missing it repeats the header at hand (§5.9.1).
                if self._header is None:
                    self._start_frame(sample, obu)
            elif obu.type == _FRAME:
                header = self._start_frame(sample, obu)
                ranges += self._tile_group(sample, obu.start + ((header.bits + 7) >> 3), obu.end)
            elif obu.type == _TILE_GROUP:
                ranges += self._tile_group(sample, obu.start, obu.end)
            elif obu.type == _TILE_LIST:
                raise UnsupportedMediaError("AV1: large scale tile coding")
        if self._header:
            raise MediaError("AV1: the sample ends before the last tile of a frame")
        return ranges

    def _start_frame(self, sample: memoryview, obu: Obu) -> FrameHeader:
        sequence = self._sequence
        if sequence is None:
            raise UnsupportedMediaError("AV1: the segment does not start at a key frame with a sequence header")
        if self._header:
            raise MediaError("AV1: a frame starts before the last tile of another")
        temporal_id, spatial_id = obu.layers or (0, 0)
        chosen = sequence.operating_points[0].idc
        if obu.layers and chosen and not (chosen >> temporal_id & 1 and chosen >> (spatial_id + 8) & 1):
            raise UnsupportedMediaError("AV1: a layer outside the first operating point")

        def parse(r: BitReader) -> FrameHeader:
            return read_frame_header(r, sequence, self._slots, temporal_id, spatial_id)

        header = read_head(sample[obu.start : obu.end], parse)
        if header.tiles:
            self._header = header
            self._next_tile = 0
        else:
            self._keep(header)
        return header

    def _tile_group(self, sample: memoryview, start: int, end: int) -> list[Range]:
        header = self._header
        if header is None or header.tiles is None:
            raise MediaError("AV1: tiles without a frame header")
        ranges, self._next_tile = tile_ranges(sample, start, end, header.tiles, self._next_tile)
        if self._next_tile == header.tiles.count:
            self._header = None
            self._keep(header)
        return ranges

    def _keep(self, header: FrameHeader) -> None:
        for slot in range(SLOTS):
            if header.refreshed >> slot & 1:
                self._slots[slot] = header.frame
