"""Hand-made boxes, init segments and fragments for tests, in forms that no packager at hand writes."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

BASE_IS_MOOF = 0x20000


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def large_box(kind: bytes, *parts: bytes) -> bytes:
    """With a 64-bit size."""
    body = b"".join(parts)
    return struct.pack(">I4sQ", 1, kind, 16 + len(body)) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def audio_entry(kind: bytes = b"mp4a", *children: bytes) -> bytes:
    return box(kind, bytes(6), b"\0\1", bytes(8), struct.pack(">HHHHI", 2, 16, 0, 0, 48000 << 16), *children)


def visual_entry(kind: bytes, *children: bytes, width: int = 640, height: int = 360) -> bytes:
    return box(kind, bytes(6), b"\0\1", bytes(16), struct.pack(">HH", width, height), bytes(50), *children)


def text_entry() -> bytes:
    return box(b"wvtt", bytes(6), b"\0\1", box(b"vttC", b"WEBVTT"))


def track(track_id: int, *entries: bytes, timescale: int = 48000) -> bytes:
    tkhd = full_box(b"tkhd", 0, 7, bytes(8), struct.pack(">I", track_id), bytes(68))
    mdhd = full_box(b"mdhd", 0, 0, bytes(8), struct.pack(">I", timescale), bytes(8))
    stsd = full_box(b"stsd", 0, 0, struct.pack(">I", len(entries)), *entries)
    return box(b"trak", tkhd, box(b"mdia", mdhd, box(b"minf", box(b"stbl", stsd))))


def trex(track_id: int, *, entry: int = 1, size: int = 0) -> bytes:
    return full_box(b"trex", 0, 0, struct.pack(">IIIII", track_id, entry, 1024, size, 0))


def init(*tracks: bytes, defaults: Sequence[bytes] = (), extra: bytes = b"") -> bytes:
    """An init segment; without ``defaults``, tracks 1, 2, … get a plain ``trex``."""
    defaults = defaults or [trex(number) for number in range(1, len(tracks) + 1)]
    return box(b"ftyp", b"cmfc", bytes(4)) + box(
        b"moov", box(b"mvhd", bytes(100)), *tracks, box(b"mvex", *defaults), extra
    )


@dataclass
class Traf:
    """A traf of runs of samples. ``placing`` says how offsets are given."""

    track: int
    runs: list[list[bytes]]
    placing: str = "moof"
    """``moof``; ``base``: base-data-offset; ``chain``: neither flag; ``bare``: as moof, later runs without offset."""
    tfhd_flags: int = 0
    tfhd_fields: bytes = b""
    extra: list[bytes] = field(default_factory=list)
    sizes: bool = True


def fragment(
    *trafs: Traf, position: int = 0, between: bytes = b"", large: bool = False, tail: bytes = b"", extra: bytes = b""
) -> bytes:
    """A moof and its mdat, at ``position`` of its file. Data lies in the order of trafs and runs."""
    moof = _moof(trafs, position, 0, extra)
    body = len(moof) + len(between) + (16 if large else 8)
    moof = _moof(trafs, position, body, extra)
    data = b"".join(sample for traf in trafs for run in traf.runs for sample in run) + tail
    return moof + between + (large_box if large else box)(b"mdat", data)


def _moof(trafs: Sequence[Traf], position: int, at: int, extra: bytes) -> bytes:
    parts = [full_box(b"mfhd", 0, 0, bytes(4))]
    previous_end = 0
    for traf in trafs:
        base = {"moof": 0, "bare": 0, "base": 5, "chain": previous_end}[traf.placing]
        flags, fields = traf.tfhd_flags, traf.tfhd_fields
        if traf.placing in {"moof", "bare"}:
            flags |= BASE_IS_MOOF
        elif traf.placing == "base":
            flags |= 1
            fields = struct.pack(">Q", position + base) + fields
        inside = [full_box(b"tfhd", 0, flags, struct.pack(">I", traf.track), fields)]
        inside.append(full_box(b"tfdt", 1, 0, bytes(8)))
        for number, run in enumerate(traf.runs):
            explicit = not (traf.placing == "bare" and number)
            sizes = b"".join(struct.pack(">II", 1024, len(sample)) for sample in run) if traf.sizes else b""
            offset = struct.pack(">i", at - base) if explicit else b""
            run_flags = (0x300 if traf.sizes else 0) | (1 if explicit else 0)
            inside.append(full_box(b"trun", 0, run_flags, struct.pack(">I", len(run)), offset, sizes))
            at += sum(map(len, run))
        previous_end = at if traf.runs else base
        parts.append(box(b"traf", *inside, *traf.extra))
    return box(b"moof", *parts, extra)
