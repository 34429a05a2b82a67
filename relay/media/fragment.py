"""Movie fragments: finding every sample, and rebuilding a ``moof`` that has grown (ISO/IEC 14496-12 §8.8)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from relay.errors import AlreadyProtectedError, MediaError
from relay.media.box import Box, Budget, children, grow, only
from relay.media.boxes.sample_entry import SampleEntry
from relay.media.boxes.seig import GROUPING_TYPE
from relay.media.boxes.senc import Senc
from relay.media.boxes.tfhd import Tfhd
from relay.media.boxes.trun import Trun
from relay.media.init_segment import InitSegment, Track
from relay.media.subsamples import Range

MAX_TRAFS = 64
MAX_SAMPLES = 10_000
"""Most samples of one fragment."""

_PROTECTION_BOXES = frozenset({b"senc", b"saiz", b"saio"})
_GROUP_BOXES = frozenset({b"sgpd", b"sbgp"})
_PIFF_SENC = bytes.fromhex("a2394f525a9b4f14a2446c427c648df4")
_DATA_OFFSET_AT = 16
_OFFSET_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class Run:
    """A ``trun`` and where its data lies, in bytes from the start of the ``moof``."""

    trun: Trun
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TrackFragment:
    """A ``traf``: its boxes in order, the known ones decoded, and its samples' places counted from the ``moof``."""

    box: Box
    track: Track
    entry: SampleEntry
    parts: tuple[Box | Tfhd | Run, ...]
    samples: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Auxiliary:
    """What protection adds at the end of a ``traf``: a ``seig`` group, ``saiz``, ``saio`` and ``senc``, if any."""

    groups: bytes
    senc: Senc | None

    def encode(self, at: int) -> bytes:
        """The boxes, to stand ``at`` bytes into the ``moof``; ``senc`` last."""
        return self.groups + (self.senc.encode(at + len(self.groups)) if self.senc else b"")


@dataclass(frozen=True, slots=True)
class Fragment:
    """A ``moof``."""

    box: Box
    parts: tuple[Box | TrackFragment, ...]

    @property
    def trafs(self) -> tuple[TrackFragment, ...]:
        """The track fragments, in order."""
        return tuple(part for part in self.parts if isinstance(part, TrackFragment))

    def rebuild(self, added: Sequence[Auxiliary | None]) -> bytes:
        """The ``moof`` with ``added`` at the end of its trafs, and every data offset moved by what it grew.

        Offsets that were implied or counted from elsewhere are written out and counted from the ``moof``:
        readers do not agree on the implied ones.
        """
        out = bytearray(self.box.header)
        pending = iter(added)
        offsets: list[tuple[int, Run]] = []
        for part in self.parts:
            if isinstance(part, Box):
                out += part.raw
            else:
                _append_traf(out, part, next(pending), offsets)
        growth = len(out) - self.box.size
        grow(out, 0, growth, self.box.where)
        for at, run in offsets:
            try:
                struct.pack_into(">i", out, at, run.start + growth)
            except struct.error:
                raise MediaError(f"{run.trun.box.where}: its data offset grew past 31 bits") from None
        return bytes(out)


def parse_fragment(moof: Box, mdat: Box, init: InitSegment, position: int) -> Fragment:
    """Read a ``moof`` whose samples lie in ``mdat``; ``position`` is where it starts in its file.

    Raises :class:`AlreadyProtectedError` for encrypted fragments, else :class:`MediaError`.
    """
    budget = Budget()
    # A sample may be empty, but nobody needs more samples than bytes: it keeps the work below the input's size.
    most = min(MAX_SAMPLES, MAX_TRAFS + mdat.size)
    parts: list[Box | TrackFragment] = []
    trafs = 0
    follow = 0
    for box in children(moof, budget):
        if box.kind == b"pssh":
            raise AlreadyProtectedError(f"{box.where}: in a clear fragment")
        if box.kind != b"traf":
            parts.append(box)
            continue
        trafs += 1
        if trafs > MAX_TRAFS:
            raise MediaError(f"{moof.where}: more than {MAX_TRAFS} trafs")
        traf, follow = _parse_traf(box, init, position, follow, most, budget)
        most -= len(traf.samples)
        parts.append(traf)
    fragment = Fragment(moof, tuple(parts))
    _check_runs(fragment, mdat)
    return fragment


def _parse_traf(
    box: Box, init: InitSegment, position: int, follow: int, most: int, budget: Budget
) -> tuple[TrackFragment, int]:
    """Read a traf. ``follow`` is where the data of the one before ended, which this one may continue."""
    inside = list(children(box, budget))
    for child in inside:
        _refuse_protection(child)
    tfhd = Tfhd.decode(only(inside, b"tfhd", box.where))
    track = init.track(tfhd.track_id)
    if track is None:
        raise MediaError(f"{box.where}: track {tfhd.track_id} is not in the init segment")
    index = track.default_entry if tfhd.description_index is None else tfhd.description_index
    if not 1 <= index <= len(track.entries):
        raise MediaError(f"{box.where}: sample entry {index} of {len(track.entries)}")
    size = track.default_size if tfhd.default_size is None else tfhd.default_size
    if tfhd.base_data_offset is not None:
        base = tfhd.base_data_offset - position
    else:
        base = 0 if tfhd.base_is_moof else follow
    parts: list[Box | Tfhd | Run] = []
    samples: list[Range] = []
    at = base
    for child in inside:
        if child.kind == b"tfhd":
            parts.append(tfhd)
        elif child.kind == b"trun":
            trun = Trun.decode(child, most - len(samples))
            start = at if trun.data_offset is None else base + trun.data_offset
            sizes = [size] * trun.sample_count if trun.sizes is None else trun.sizes
            edges = list(accumulate(sizes, initial=start))
            samples += pairwise(edges)
            at = edges[-1]
            parts.append(Run(trun, start, at))
        else:
            parts.append(child)
    return TrackFragment(box, track, track.entries[index - 1], tuple(parts), tuple(samples)), at


def _refuse_protection(box: Box) -> None:
    """Raise :class:`AlreadyProtectedError` for a box that only protected trafs have."""
    payload = box.payload
    if (
        box.kind in _PROTECTION_BOXES
        or (box.kind in _GROUP_BOXES and bytes(payload[4:8]) == GROUPING_TYPE)
        or (box.kind == b"uuid" and bytes(payload[:16]) == _PIFF_SENC)
    ):
        raise AlreadyProtectedError(f"{box.where}: in a clear fragment")


def _check_runs(fragment: Fragment, mdat: Box) -> None:
    """All data lies in the ``mdat`` and none twice: bytes of two samples could not be encrypted for both."""
    first = mdat.body - fragment.box.start
    last = mdat.end - fragment.box.start
    runs = [part for traf in fragment.trafs for part in traf.parts if isinstance(part, Run)]
    end = first
    for run in sorted(runs, key=lambda run: run.start):
        if run.start < -_OFFSET_LIMIT or run.end >= _OFFSET_LIMIT:
            raise MediaError(f"{run.trun.box.where}: samples at {run.start}, past what a data offset can say")
        if run.start == run.end:
            continue
        if run.start < first or run.end > last:
            raise MediaError(
                f"{run.trun.box.where}: samples at {run.start} to {run.end} of the fragment,"
                f" outside its mdat at {first} to {last}"
            )
        if run.start < end:
            raise MediaError(f"{run.trun.box.where}: samples at {run.start} overlap those of another run")
        end = run.end


def _append_traf(out: bytearray, traf: TrackFragment, added: Auxiliary | None, offsets: list[tuple[int, Run]]) -> None:
    start = len(out)
    out += traf.box.header
    for part in traf.parts:
        match part:
            case Box():
                out += part.raw
            case Tfhd():
                out += part.encode_relative()
            case Run():
                offsets.append((len(out) + _DATA_OFFSET_AT, part))
                out += part.trun.encode_with_offset()
    if added is not None:
        out += added.encode(len(out))
    grow(out, start, len(out) - start - traf.box.size, traf.box.where)
