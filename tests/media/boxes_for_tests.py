"""Just enough of ISO/IEC 14496-12 to cut a fragmented file into samples, apart from the product's own reader."""

from collections.abc import Iterator
from dataclasses import dataclass, field

Subsamples = list[tuple[int, int]]

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mvex", b"sinf", b"schi"}


@dataclass
class Sample:
    """The bytes of one sample, and its entry in ``senc`` if there is one."""

    data: bytes
    subsamples: Subsamples | None = None


@dataclass
class Fragment:
    """The samples of one ``moof``, which has one track."""

    samples: list[Sample] = field(default_factory=list)


def u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Type, payload start and end of each box."""
    end = len(data) if end is None else end
    while start < end:
        size = u32(data, start) or end - start
        header = 8
        if size == 1:
            size, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        assert size >= header
        yield data[start + 4 : start + 8], start + header, start + size
        start += size


def find(data: bytes, *path: bytes) -> bytes:
    """The payload of the first box at a path."""
    start, end = 0, len(data)
    for name in path:
        start, end = next((s, e) for kind, s, e in boxes(data, start, end) if kind == name)
    return data[start:end]


def sample_entry(init: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """The original format of a video track and the child boxes of its sample entry."""
    stsd = find(init, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    kind, start, end = next(boxes(stsd, 8))
    children = {name: stsd[s:e] for name, s, e in boxes(stsd, start + 78, end)}
    if kind == b"encv":
        kind = find(children[b"sinf"], b"frma")
    return kind, children


def iv_size(init: bytes) -> int:
    """Per_Sample_IV_Size of the track, 0 when it is clear."""
    _, children = sample_entry(init)
    return find(children[b"sinf"], b"schi", b"tenc")[7] if b"sinf" in children else 0


def fragments(data: bytes, iv_size: int = 0, trex_size: int = 0) -> Iterator[Fragment]:
    """The fragments of a file whose offsets count from each ``moof``."""
    for kind, start, end in boxes(data):
        if kind == b"moof":
            yield _fragment(data, start - 8, start, end, iv_size, trex_size)


def samples(data: bytes) -> list[Sample]:
    """All samples of a file that starts with its ``moov``."""
    return [sample for fragment in fragments(data, iv_size(data)) for sample in fragment.samples]


def _fragment(data: bytes, moof: int, start: int, end: int, iv_size: int, trex_size: int) -> Fragment:
    traf = next((s, e) for kind, s, e in boxes(data, start, end) if kind == b"traf")
    fragment = Fragment()
    lists: list[Subsamples] = []
    default_size = trex_size
    for kind, s, e in boxes(data, *traf):
        flags = u32(data, s) & 0xFFFFFF
        if kind == b"tfhd" and flags & 0x10:
            default_size = u32(data, s + 8 + sum(n for bit, n in ((1, 8), (2, 4), (8, 4)) if flags & bit))
        elif kind == b"trun":
            fragment.samples += _run(data, s, flags, moof, default_size)
        elif kind == b"senc":
            lists = _senc(data[s:e], iv_size)
    for sample, subsamples in zip(fragment.samples, lists, strict=False):
        sample.subsamples = subsamples
    return fragment


def _run(data: bytes, at: int, flags: int, moof: int, default_size: int) -> list[Sample]:
    count = u32(data, at + 4)
    offset = moof + u32(data, at + 8)
    at += 8 + (4 if flags & 1 else 0) + (4 if flags & 4 else 0)
    samples = []
    for _ in range(count):
        at += 4 if flags & 0x100 else 0
        size = u32(data, at) if flags & 0x200 else default_size
        at += sum(4 for bit in (0x200, 0x400, 0x800) if flags & bit)
        samples.append(Sample(data[offset : offset + size]))
        offset += size
    return samples


def _senc(body: bytes, iv_size: int) -> list[Subsamples]:
    assert u32(body, 0) & 2
    at = 8
    lists = []
    for _ in range(u32(body, 4)):
        at += iv_size
        count = int.from_bytes(body[at : at + 2], "big")
        at += 2
        lists.append([(int.from_bytes(body[i : i + 2], "big"), u32(body, i + 2)) for i in range(at, at + 6 * count, 6)])
        at += 6 * count
    return lists
