"""Segment indexes of on-demand files: where in the file each subsegment is (ISO/IEC 14496-12 §8.16.3)."""

from dataclasses import dataclass
from itertools import pairwise

from relay.errors import MediaError, UnsupportedMediaError
from relay.manifest.dash.timeline import Run
from relay.media.box import read_header
from relay.media.boxes.sidx import Sidx
from relay.sources import ByteRange, Source

MAX_INDEX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """A segment index to fetch before an MPD can be rewritten."""

    source: Source
    range: ByteRange


@dataclass(frozen=True, slots=True)
class Index:
    """Subsegments in a row from ``start``: their ``durations`` in ticks, and their ``ranges`` in the file."""

    timescale: int
    start: int
    durations: tuple[int, ...]
    ranges: tuple[ByteRange, ...]

    def runs(self) -> tuple[Run, ...]:
        """The timeline; a subsegment's number is its place in ``ranges``."""
        runs: list[Run] = []
        tick = self.start
        for number, duration in enumerate(self.durations):
            if runs and runs[-1].duration == duration:
                runs[-1] = Run(runs[-1].start, duration, (runs[-1].count or 0) + 1, runs[-1].number)
            else:
                runs.append(Run(tick, duration, 1, number))
            tick += duration
        return tuple(runs)


def read_index(data: bytes, position: int) -> Index:
    """Read the ``sidx`` in ``data``, which was fetched from ``position`` of the file.

    Raises :class:`MediaError`, and :class:`UnsupportedMediaError` for an index of indexes.
    """
    view = memoryview(data)
    at = 0
    while (box := read_header(view, at)) is not None and box.end <= len(view):
        if box.kind == b"sidx":
            break
        at = box.end
    else:
        raise MediaError("segment index: no whole sidx box in @indexRange")
    sidx = Sidx.decode(box)
    if sidx.nested:
        raise UnsupportedMediaError("segment index: a sidx that points to other sidx boxes")
    if not sidx.timescale or not all(sidx.durations) or sidx.start >= 2**62:
        raise MediaError("segment index: a timescale or duration of 0, or a start past 2^62")
    ranges = tuple(ByteRange(position + first, end - first) for first, end in pairwise(sidx.spans()))
    if not all(span.length for span in ranges):
        raise MediaError("segment index: an empty subsegment")
    return Index(sidx.timescale, sidx.start, sidx.durations, ranges)
