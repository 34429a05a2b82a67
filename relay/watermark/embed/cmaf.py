"""Writing CMAF: init segments and single-fragment media segments (ISO/IEC 23000-19 §7.3, ISO/IEC 14496-12)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import pack

from relay.media.box import encode_box, encode_full_box
from relay.watermark.embed.source import Colour

TRACK_ID = 1
_SYNC, _NOT_SYNC = 0x02000000, 0x01010000  # depends on no other; depends on others and is no access point
_MATRIX = pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNITY = pack(">I", 0x10000)


@dataclass(frozen=True, slots=True)
class Access:
    """A sample as a fragment has it: ticks that it lasts, ticks by which it is shown after it is decoded."""

    data: bytes = field(repr=False)
    duration: int
    shown_after: int = 0
    is_sync: bool = True


def video_init(timescale: int, width: int, height: int, config: bytes, colour: Colour, delay: int) -> bytes:
    """The init segment of H.264 video with square pixels. ``config`` is the payload of ``avcC``.

    Samples are shown up to ``delay`` ticks later than their composition times say: an edit takes it off. Signed
    offsets would need none, but FFmpeg reads those of fragments as times that are all late.
    """
    visual = encode_box(
        b"avc1",
        bytes(6) + pack(">H", 1) + bytes(16) + pack(">HH", width, height),
        pack(">II", 0x480000, 0x480000) + bytes(4) + pack(">H", 1) + bytes(32) + pack(">Hh", 24, -1),
        encode_box(b"avcC", config),
        encode_box(b"colr", b"nclx", pack(">HHHB", colour.primaries, colour.transfer, colour.matrix, 0)),
        encode_box(b"pasp", pack(">II", 1, 1)),
    )
    header = encode_full_box(b"vmhd", 0, 1, bytes(8))
    return _init(timescale, b"vide", header, visual, pack(">II", width << 16, height << 16), bytes(2), delay)


def audio_init(timescale: int, channels: int, config: bytes) -> bytes:
    """The init segment of AAC. ``config`` is the AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1)."""
    decoder = _descriptor(4, b"\x40\x15" + bytes(11) + _descriptor(5, config))
    stream = _descriptor(3, bytes(3) + decoder + _descriptor(6, b"\x02"))
    entry = encode_box(
        b"mp4a",
        bytes(6) + pack(">H", 1) + bytes(8) + pack(">HHIHH", channels, 16, 0, timescale & 0xFFFF, 0),
        encode_full_box(b"esds", 0, 0, stream),
    )
    return _init(timescale, b"soun", encode_full_box(b"smhd", 0, 0, bytes(4)), entry, bytes(8), b"\x01\x00")


def fragment(number: int, start: int, samples: Sequence[Access]) -> bytes:
    """A media segment: number in sequence, decode time of its first sample, its samples in decoding order."""
    table = b"".join(
        pack(">IIII", one.duration, len(one.data), _SYNC if one.is_sync else _NOT_SYNC, one.shown_after)
        for one in samples
    )

    def moof(offset: int) -> bytes:
        return encode_box(
            b"moof",
            encode_full_box(b"mfhd", 0, 0, pack(">I", number & 0xFFFFFFFF)),
            encode_box(
                b"traf",
                encode_full_box(b"tfhd", 0, 0x020000, pack(">I", TRACK_ID)),
                encode_full_box(b"tfdt", 1, 0, pack(">Q", start)),
                encode_full_box(b"trun", 0, 0xF01, pack(">Ii", len(samples), offset), table),
            ),
        )

    head = moof(len(moof(0)) + 8)
    brands = encode_box(b"styp", b"cmfs", bytes(4), b"cmfsiso6")
    return brands + head + encode_box(b"mdat", *(one.data for one in samples))


def moved(segment: bytes, ticks: int) -> bytes:
    """A segment that :func:`fragment` made, decoded ``ticks`` earlier."""
    at = segment.index(b"tfdt") + 8
    start = int.from_bytes(segment[at : at + 8], "big")
    return segment[:at] + pack(">Q", start - ticks) + segment[at + 8 :]


def segment_index(timescale: int, start: int, references: Sequence[tuple[int, int]]) -> bytes:
    """A ``sidx`` in front of the segments that it indexes, each given by its bytes and its ticks."""
    entries = b"".join(pack(">III", size, ticks, 0x90000000) for size, ticks in references)
    fields = pack(">IIQQHH", TRACK_ID, timescale, start, 0, 0, len(references))
    return encode_full_box(b"sidx", 1, 0, fields, entries)


def _init(
    timescale: int, kind: bytes, header: bytes, entry: bytes, size: bytes, volume: bytes, delay: int = 0
) -> bytes:
    handler = encode_full_box(b"hdlr", 0, 0, bytes(4), kind, bytes(12), b"\0")
    reference = encode_full_box(b"dref", 0, 0, pack(">I", 1), encode_full_box(b"url ", 0, 1))
    tables = (
        encode_full_box(b"stsd", 0, 0, pack(">I", 1), entry),
        *(encode_full_box(name, 0, 0, bytes(4)) for name in (b"stts", b"stsc")),
        encode_full_box(b"stsz", 0, 0, bytes(8)),
        encode_full_box(b"stco", 0, 0, bytes(4)),
    )
    track = encode_box(
        b"trak",
        encode_full_box(b"tkhd", 0, 3, bytes(8), pack(">I", TRACK_ID), bytes(20), volume, bytes(2), _MATRIX, size),
        encode_box(b"edts", encode_full_box(b"elst", 0, 0, pack(">IIIi", 1, 0, delay, 0x10000))) if delay else b"",
        encode_box(
            b"mdia",
            encode_full_box(b"mdhd", 0, 0, bytes(8), pack(">IIHH", timescale, 0, 0x55C4, 0)),
            handler,
            encode_box(b"minf", header, encode_box(b"dinf", reference), encode_box(b"stbl", *tables)),
        ),
    )
    movie = encode_full_box(
        b"mvhd",
        0,
        0,
        bytes(8),
        pack(">II", timescale, 0),
        _UNITY,
        b"\x01\x00",
        bytes(10),
        _MATRIX,
        bytes(24),
        b"\0\0\0\x02",
    )
    extends = encode_box(b"mvex", encode_full_box(b"trex", 0, 0, pack(">IIIII", TRACK_ID, 1, 0, 0, 0)))
    brands = encode_box(b"ftyp", b"cmfc", bytes(4), b"iso6cmfc")
    return brands + encode_box(b"moov", movie, track, extends)


def _descriptor(tag: int, payload: bytes) -> bytes:
    """An MPEG-4 descriptor (ISO/IEC 14496-1 §8.3.3); all here are shorter than 128 bytes."""
    return bytes((tag, len(payload))) + payload
