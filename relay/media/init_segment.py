"""Init segments: what tracks there are, and announcing their protection (ISO/IEC 14496-12 §8.2, CMAF §7.3.1)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keys.model import Scheme
from relay.errors import AlreadyProtectedError, MediaError, UnsupportedMediaError
from relay.media.box import Box, Budget, children, grow, only, read_header
from relay.media.boxes.sample_entry import SampleEntry, decode_stsd
from relay.media.boxes.sinf import Sinf
from relay.media.boxes.trex import Trex
from relay.media.cursor import Cursor
from relay.media.model import Protection, TrackKind

MAX_INIT_BYTES = 8 << 20
MAX_TRACKS = 64

_INDEX_BOXES = frozenset({b"sidx", b"ssix", b"mfra"})
_ENTRY_KINDS = {TrackKind.VIDEO: b"encv", TrackKind.AUDIO: b"enca"}


@dataclass(frozen=True, slots=True)
class Track:
    """One track. ``containers`` are the boxes that enclose its sample entries, outermost first.

    ``timescale`` is in ticks per second; ``default_size`` and ``default_entry`` are what fragments that do not say
    otherwise use, the latter counting sample entries from 1.
    """

    id: int
    timescale: int
    entries: tuple[SampleEntry, ...]
    default_entry: int
    default_size: int
    containers: tuple[Box, ...]

    @property
    def kind(self) -> TrackKind:
        """What the track holds."""
        return self.entries[0].kind


@dataclass(frozen=True, slots=True)
class InitSegment:
    """A clear init segment."""

    data: bytes
    tracks: tuple[Track, ...]
    moov: Box

    def track(self, track_id: int) -> Track | None:
        """The track of that ID."""
        return next((track for track in self.tracks if track.id == track_id), None)


def split_init(data: bytes) -> tuple[bytes, bytes]:
    """Split a file that holds an init segment and its fragments behind the ``moov``. Raises :class:`MediaError`."""
    for box in _top_level(memoryview(data)):
        if box.kind == b"moov":
            return data[: box.end], data[box.end :]
    raise MediaError("file: has no moov box")


def parse_init(data: bytes) -> InitSegment:
    """Read an init segment.

    Raises :class:`AlreadyProtectedError` for encrypted tracks, :class:`UnsupportedMediaError` for sample entries
    that nobody here knows how to protect and for files that are not fragmented, else :class:`MediaError`.
    """
    if len(data) > MAX_INIT_BYTES:
        raise MediaError(f"init segment: {len(data)} bytes, the limit is {MAX_INIT_BYTES}")
    top = list(_top_level(memoryview(data)))
    for box in top:
        if box.kind in {b"moof", b"mdat"}:
            raise MediaError(f"init segment: holds media ({box.where})")
    moov = only(top, b"moov", "init segment")
    budget = Budget()
    inside = list(children(moov, budget))
    if any(box.kind == b"pssh" for box in inside):
        raise AlreadyProtectedError(f"{moov.where}: has a pssh box")
    extends = [box for box in inside if box.kind == b"mvex"]
    if not extends:
        raise UnsupportedMediaError(f"{moov.where}: no mvex box, so the file is not fragmented")
    defaults = [Trex.decode(box) for box in children(only(extends, b"mvex", moov.where), budget) if box.kind == b"trex"]
    tracks = tuple(_track(moov, box, defaults, budget) for box in inside if box.kind == b"trak")
    if not 0 < len(tracks) <= MAX_TRACKS:
        raise MediaError(f"{moov.where}: {len(tracks)} tracks, expected 1 to {MAX_TRACKS}")
    if len({track.id for track in tracks}) != len(tracks):
        raise MediaError(f"{moov.where}: two tracks with one ID")
    return InitSegment(data, tracks, moov)


def protect_init(init: InitSegment, protection: Protection, pssh: Sequence[bytes] = ()) -> bytes:
    """The init segment with its video and audio announced as protected, and ``pssh`` boxes last in its ``moov``.

    Nothing else moves: every box that is not an ancestor of a sample entry stays byte for byte, save ``sidx`` and its
    kin outside ``moov``, whose byte counts no longer hold. One without video and audio, and any under HLS AES-128,
    whose maps stay clear, comes back as it is.
    """
    tracks = [track for track in init.tracks if track.kind is not TrackKind.CLEAR]
    if protection.scheme is Scheme.AES128 or not tracks:
        return init.data
    out = bytearray(init.data)
    inserts: list[tuple[int, bytes]] = [(init.moov.end, b"".join(pssh))]
    grow(out, init.moov.start, len(inserts[0][1]), init.moov.where)
    for track in tracks:
        encryption = protection.of(track.kind)
        for entry in track.entries:
            sinf = Sinf(entry.box.kind, encryption).encode()
            inserts.append((entry.box.end, sinf))
            out[entry.box.start + 4 : entry.box.start + 8] = _ENTRY_KINDS[track.kind]
            for box in (*track.containers, entry.box):
                grow(out, box.start, len(sinf), box.where)
    edits = [(at, at, new) for at, new in inserts]
    edits += [(box.start, box.end, b"") for box in _top_level(memoryview(init.data)) if box.kind in _INDEX_BOXES]
    # From the back, so that positions further forward keep their meaning.
    for start, end, new in sorted(edits, reverse=True):
        out[start:end] = new
    return bytes(out)


def _top_level(view: memoryview) -> Iterator[Box]:
    at = 0
    budget = Budget()
    while at < len(view):
        budget.spend("init segment")
        box = read_header(view, at)
        if box is None or box.end > len(view):
            raise MediaError(f"init segment: truncated in the box at {at}")
        yield box
        at = box.end


def _track(moov: Box, trak: Box, defaults: list[Trex], budget: Budget) -> Track:
    inside = list(children(trak, budget))
    track_id = _track_id(only(inside, b"tkhd", trak.where))
    mdia = only(inside, b"mdia", trak.where)
    inside = list(children(mdia, budget))
    timescale = _timescale(only(inside, b"mdhd", mdia.where))
    minf = only(inside, b"minf", mdia.where)
    stbl = only(list(children(minf, budget)), b"stbl", minf.where)
    stsd = only(list(children(stbl, budget)), b"stsd", stbl.where)
    trex = [trex for trex in defaults if trex.track_id == track_id]
    if len(trex) != 1:
        raise MediaError(f"{moov.where}: {len(trex)} trex boxes for track {track_id}, expected one")
    return Track(
        track_id,
        timescale,
        decode_stsd(stsd, budget),
        trex[0].description_index,
        trex[0].default_size,
        (moov, trak, mdia, minf, stbl, stsd),
    )


def _track_id(tkhd: Box) -> int:
    cursor = Cursor(tkhd.payload, tkhd.where)
    version, _ = cursor.full_box(0, 1)
    cursor.take(16 if version else 8)
    return cursor.u32()


def _timescale(mdhd: Box) -> int:
    cursor = Cursor(mdhd.payload, mdhd.where)
    version, _ = cursor.full_box(0, 1)
    cursor.take(16 if version else 8)
    timescale = cursor.u32()
    if not timescale:
        raise MediaError(f"{mdhd.where}: timescale 0")
    return timescale
