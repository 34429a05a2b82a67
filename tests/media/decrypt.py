"""An independent reader and decrypter of protected fragmented MP4, the judge of what the product writes.

It shares no code with the product and follows the specifications in the plainest way: per-sample information is found
through ``saiz`` and ``saio`` (ISO/IEC 14496-12 §8.7.8, §8.7.9) and compared with ``senc``; key and IV come from the
``seig`` group where there is one, else from ``tenc`` (ISO/IEC 23001-7 §6, §8.2).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf", b"sinf", b"schi"}


@dataclass(frozen=True)
class Params:
    """What ``tenc`` or a ``seig`` entry says."""

    crypt: int
    skip: int
    iv_size: int
    kid: bytes
    constant_iv: bytes = b""


@dataclass(frozen=True)
class TrackInfo:
    scheme: bytes | None
    params: Params | None
    default_size: int


def u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "big")


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int, int]]:
    """Type, start, payload start and end of each box."""
    end = len(data) if end is None else end
    while start < end:
        size, header = u32(data, start), 8
        if size == 1:
            size, header = u64(data, start + 8), 16
        if size == 0:
            size = end - start
        assert header <= size <= end - start, (data[start + 4 : start + 8], start)
        yield data[start + 4 : start + 8], start, start + header, start + size
        start += size


def find(data: bytes, *path: bytes, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Payload start and end of all boxes at a path."""
    found = [(body, stop) for kind, _, body, stop in boxes(data, start, end) if kind == path[0]]
    if len(path) == 1:
        return found
    return [inner for body, stop in found for inner in find(data, *path[1:], start=body, end=stop)]


def read_init(init: bytes) -> dict[int, TrackInfo]:
    """The tracks of an init segment by ID."""
    sizes = {u32(init, body + 4): u32(init, body + 16) for body, _ in find(init, b"moov", b"mvex", b"trex")}
    tracks = {}
    for start, end in find(init, b"moov", b"trak"):
        ((tkhd, _),) = find(init, b"tkhd", start=start, end=end)
        track_id = u32(init, tkhd + (20 if init[tkhd] else 12))
        ((stsd, stsd_end),) = find(init, b"mdia", b"minf", b"stbl", b"stsd", start=start, end=end)
        kind, _, body, stop = next(boxes(init, stsd + 8, stsd_end))
        if kind in {b"encv", b"enca"}:
            body += 78 if kind == b"encv" else 28
            ((schm, _),) = find(init, b"sinf", b"schm", start=body, end=stop)
            ((tenc, tenc_end),) = find(init, b"sinf", b"schi", b"tenc", start=body, end=stop)
            scheme = init[schm + 4 : schm + 8]
            assert init[tenc] == (1 if scheme == b"cbcs" else 0)
            tracks[track_id] = TrackInfo(scheme, _params(init[tenc + 4 : tenc_end]), sizes[track_id])
        else:
            tracks[track_id] = TrackInfo(None, None, sizes[track_id])
    return tracks


def read_samples(init: bytes, media: bytes, keys: Mapping[bytes, bytes] | None = None) -> dict[int, list[bytes]]:
    """All samples of a file by track, decrypted with ``keys`` (key by key ID) where they are protected."""
    tracks = read_init(init)
    samples: dict[int, list[bytes]] = {track: [] for track in tracks}
    for kind, moof, body, end in boxes(media):
        if kind != b"moof":
            continue
        follow = moof
        for start, stop in find(media, b"traf", start=body, end=end):
            track_id, ranges, follow = _ranges(media, moof, follow, start, stop, tracks)
            info = tracks[track_id]
            clear = [media[a:b] for a, b in ranges]
            if info.params is not None:
                params = _group_params(media, start, stop, len(clear)) or info.params
                entries = _auxiliary(media, moof, start, stop, params.iv_size, len(clear))
                clear = [
                    _decrypt(info.scheme, (keys or {})[params.kid], params, iv, subsamples, sample)
                    for sample, (iv, subsamples) in zip(clear, entries, strict=True)
                ]
            samples[track_id] += clear
    return samples


Entry = tuple[bytes, list[tuple[int, int]] | None]


def read_entries(media: bytes, moof_index: int, traf_index: int, iv_size: int) -> list[Entry]:
    """IV and subsamples of each sample of one traf."""
    moofs = [(start, body, end) for kind, start, body, end in boxes(media) if kind == b"moof"]
    moof, body, end = moofs[moof_index]
    start, stop = find(media, b"traf", start=body, end=end)[traf_index]
    count = sum(u32(media, body + 4) for body, _ in find(media, b"trun", start=start, end=stop))
    return _auxiliary(media, moof, start, stop, iv_size, count)


def _ranges(
    media: bytes, moof: int, follow: int, start: int, stop: int, tracks: Mapping[int, TrackInfo]
) -> tuple[int, list[tuple[int, int]], int]:
    ((tfhd, _),) = find(media, b"tfhd", start=start, end=stop)
    flags = u32(media, tfhd) & 0xFFFFFF
    track_id = u32(media, tfhd + 4)
    base = u64(media, tfhd + 8) if flags & 1 else moof if flags & 0x20000 else follow
    size_at = tfhd + 8 + sum(width for bit, width in ((1, 8), (2, 4), (8, 4)) if flags & bit)
    default = u32(media, size_at) if flags & 0x10 else tracks[track_id].default_size
    ranges = []
    position = base
    for trun, _ in find(media, b"trun", start=start, end=stop):
        flags = u32(media, trun) & 0xFFFFFF
        at = trun + 8
        if flags & 1:
            position = base + int.from_bytes(media[at : at + 4], "big", signed=True)
            at += 4
        if flags & 4:
            at += 4
        for _ in range(u32(media, trun + 4)):
            at += 4 if flags & 0x100 else 0
            size = u32(media, at) if flags & 0x200 else default
            at += sum(4 for bit in (0x200, 0x400, 0x800) if flags & bit)
            ranges.append((position, position + size))
            position += size
    return track_id, ranges, position


def _params(fields: bytes) -> Params:
    assert fields[2] == 1
    params = Params(fields[1] >> 4, fields[1] & 15, fields[3], fields[4:20])
    if params.iv_size:
        assert len(fields) == 20
        return params
    assert len(fields) == 21 + fields[20]
    return replace(params, constant_iv=fields[21:])


def _group_params(media: bytes, start: int, stop: int, count: int) -> Params | None:
    sbgp = [body for body, _ in find(media, b"sbgp", start=start, end=stop) if media[body + 4 : body + 8] == b"seig"]
    sgpd = [(a, b) for a, b in find(media, b"sgpd", start=start, end=stop) if media[a + 4 : a + 8] == b"seig"]
    assert len(sbgp) == len(sgpd) <= 1
    if not sbgp:
        return None
    assert [u32(media, sbgp[0] + at) for at in (0, 8, 12, 16)] == [0, 1, count, 0x10001]
    body, end = sgpd[0]
    assert u32(media, body) == 1 << 24
    assert u32(media, body + 12) == 1
    assert u32(media, body + 8) == end - body - 16
    return _params(media[body + 16 : end])


def _auxiliary(media: bytes, moof: int, start: int, stop: int, iv_size: int, count: int) -> list[Entry]:
    found = {kind: (body, end) for kind, _, body, end in boxes(media, start, stop)}
    if b"saiz" not in found:
        assert b"saio" not in found
        assert iv_size == 0 or count == 0
        return [(b"", None)] * count
    assert next(kind for kind, _, _, end in boxes(media, start, stop) if end == stop) == b"senc"
    saiz, _ = found[b"saiz"]
    assert u32(media, saiz) == 0
    assert u32(media, saiz + 5) == count
    default = media[saiz + 4]
    sizes = [default] * count if default else list(media[saiz + 9 : saiz + 9 + count])
    saio, _ = found[b"saio"]
    assert [u32(media, saio), u32(media, saio + 4)] == [0, 1]
    at = moof + u32(media, saio + 8)
    senc, senc_end = found[b"senc"]
    assert at == senc + 8
    assert u32(media, senc + 4) == count
    subsampled = bool(u32(media, senc) & 2)
    entries: list[Entry] = []
    for size in sizes:
        iv, rest = media[at : at + iv_size], media[at + iv_size : at + size]
        subsamples = None
        if subsampled:
            subsamples = [(u16(rest, i), u32(rest, i + 2)) for i in range(2, len(rest), 6)]
            assert u16(rest, 0) == len(subsamples) > 0
        else:
            assert not rest
        entries.append((iv, subsamples))
        at += size
    assert at == senc_end
    return entries


def _decrypt(
    scheme: bytes | None, key: bytes, params: Params, iv: bytes, subsamples: list[tuple[int, int]] | None, sample: bytes
) -> bytes:
    if subsamples is None:
        subsamples = [(0, len(sample))]
    assert sum(map(sum, subsamples)) == len(sample)
    ranges = []
    at = 0
    for clear, protected in subsamples:
        ranges.append((at + clear, at + clear + protected))
        at += clear + protected
    out = bytearray(sample)
    if scheme == b"cenc":
        joined = b"".join(sample[a:b] for a, b in ranges)
        plain = Cipher(algorithms.AES(key), modes.CTR(iv + bytes(8))).decryptor().update(joined)
        for a, b in ranges:
            out[a:b], plain = plain[: b - a], plain[b - a :]
        return bytes(out)
    assert scheme == b"cbcs"
    for a, b in ranges:
        decryptor = Cipher(algorithms.AES(key), modes.CBC(params.constant_iv)).decryptor()
        for index in range((b - a) // 16):
            if params.skip == 0 or index % (params.crypt + params.skip) < params.crypt:
                block = a + 16 * index
                out[block : block + 16] = decryptor.update(sample[block : block + 16])
    return bytes(out)
