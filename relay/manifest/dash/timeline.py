"""Segment timelines: runs of equal segments, and arithmetic on them that never expands a run."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor

from lxml.etree import SubElement
from lxml.etree import _Element as Element

from keys.periods import Schedule
from relay.errors import ManifestError, UnsupportedMediaError
from relay.manifest.dash.mpd import children, local, named
from relay.manifest.dash.values import MAX_NUMBER, integer


@dataclass(frozen=True, slots=True)
class Anchor:
    """Ties media time to stream time: ``offset`` ticks (@presentationTimeOffset) lie at ``origin_ms``."""

    origin_ms: int
    timescale: int
    offset: int

    def ms(self, tick: int) -> int:
        """Stream time of a tick, rounded down."""
        return self.origin_ms + (tick - self.offset) * 1000 // self.timescale

    def tick_at(self, ms: int) -> int:
        """The first tick whose stream time is at least ``ms``."""
        return self.offset - (self.origin_ms - ms) * self.timescale // 1000

    def seconds(self, tick: int) -> Fraction:
        """Time of a tick since the start of the Period, exactly."""
        return Fraction(tick - self.offset, self.timescale)

    def tick_of(self, seconds: Fraction, *, up: bool = False) -> int:
        """The last tick at or before a time since the start of the Period; ``up``: the first at or after it."""
        ticks = seconds * self.timescale
        return self.offset + (ceil(ticks) if up else floor(ticks))


@dataclass(frozen=True, slots=True)
class Run:
    """``count`` segments of ``duration`` ticks each, from ``start``; a count of None has no end yet.

    ``number`` is that of the first one.
    """

    start: int
    duration: int
    count: int | None
    number: int

    def part(self, first: int, count: int | None) -> "Run":
        """``count`` of its segments, from its ``first``-th on."""
        return Run(self.start + first * self.duration, self.duration, count, self.number + first)

    def cut(self, lower: int | None, upper: int | None) -> "Run | None":
        """The segments that overlap the ticks [lower, upper); None where none does."""
        first = 0 if lower is None else max(0, (lower - self.start) // self.duration)
        end = self.count
        if upper is not None:
            before = max(0, -((self.start - upper) // self.duration))
            end = before if end is None else min(end, before)
        if end is not None and end <= first:
            return None
        return self.part(first, None if end is None else end - first)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Segments in a row under one crypto period: ticks at which the first and last start, and their numbers."""

    period: int
    first_tick: int
    last_tick: int
    first_number: int
    last_number: int

    def until(self, tick: int, number: int) -> "Stretch":
        """The same, with another last segment."""
        return Stretch(self.period, self.first_tick, tick, self.first_number, number)


@dataclass(frozen=True, slots=True)
class Timing:
    """When the segments of a Representation start.

    ``listed`` says that a SegmentTimeline does; else the one run follows from @duration.
    """

    anchor: Anchor
    runs: tuple[Run, ...]
    listed: bool

    @property
    def open(self) -> bool:
        """Whether the last run has no end yet."""
        return bool(self.runs) and self.runs[-1].count is None

    def cut(self, start: Fraction | None, end: Fraction | None) -> "Timing":
        """The segments that overlap [start, end), seconds since the start of the Period.

        Timescales divide a boundary differently, so an overlap below a millisecond is none.
        """
        if start is None and end is None:
            return self
        slack = Fraction(1, 1000)
        lower = None if start is None else self.anchor.tick_of(start + slack)
        upper = None if end is None else self.anchor.tick_of(end - slack, up=True)
        runs = (run.cut(lower, upper) for run in self.runs)
        return replace(self, runs=tuple(run for run in runs if run))

    def within(self, first_ms: int | None, last_ms: int) -> "Timing":
        """The segments that overlap [first_ms, last_ms) of stream time."""
        lower = None if first_ms is None else self.anchor.tick_at(first_ms)
        runs = (run.cut(lower, self.anchor.tick_at(last_ms)) for run in self.runs)
        return replace(self, runs=tuple(run for run in runs if run))

    def stretches(self, schedule: Schedule, limit: int) -> list[Stretch] | None:
        """Which crypto period each segment lies in; None where there are more than ``limit`` of them.

        All runs must have an end.
        """
        found: list[Stretch] = []
        boundary: int | None = -1
        for run in self.runs:
            done, count = 0, run.count or 0
            while done < count:
                start = run.start + done * run.duration
                if boundary is not None and start >= boundary:
                    if len(found) == limit:
                        return None
                    period = schedule.period_of(self.anchor.ms(start))
                    until = period.segments_until
                    boundary = None if until is None else self.anchor.tick_at(until)
                    found.append(Stretch(period.start, start, start, run.number + done, run.number + done))
                left = count - done
                if boundary is not None:
                    left = min(left, -((start - boundary) // run.duration))
                done += left
                found[-1] = found[-1].until(start + (left - 1) * run.duration, run.number + done - 1)
        return found


def read_timeline(
    element: Element, start_number: int, anchor: Anchor, end: Fraction | None, now: Fraction | None
) -> tuple[Run, ...]:
    """The runs of a SegmentTimeline (ISO/IEC 23009-1 §5.3.9.6).

    A last run without an end lasts to the ``end`` of the Period or, live, as far as whole segments are
    there ``now`` (both seconds since the start of the Period). Raises :class:`ManifestError`.
    """
    entries = children(element, "S", "Pattern")
    runs: list[Run] = []
    tick, number, last_start = 0, start_number, -1
    for index, entry in enumerate(entries):
        if local(entry) == "Pattern" or "k" in entry.attrib or "p" in entry.attrib:
            raise UnsupportedMediaError("MPD: SegmentTimeline with patterns or segment sequences")
        tick = integer(entry, "t", tick)
        number = integer(entry, "n", number, low=number)
        duration = integer(entry, "d", low=1)
        repeat = integer(entry, "r", 0, low=-MAX_NUMBER)
        if tick <= last_start:
            raise ManifestError(f"MPD: S number {index} starts before the one that precedes it")
        if repeat >= 0:
            count = repeat + 1
        elif index + 1 < len(entries):
            count = -((tick - integer(entries[index + 1], "t")) // duration)
        elif end is not None:
            count = -((tick - anchor.tick_of(end)) // duration)
        elif now is not None:
            count = (anchor.tick_of(now) - tick) // duration
        else:
            raise ManifestError("MPD: S@r is -1 where nothing says when the Period ends")
        if count <= 0:
            continue
        runs.append(Run(tick, duration, count, number))
        last_start = tick + (count - 1) * duration
        tick += count * duration
        number += count
        if tick > MAX_NUMBER or number > MAX_NUMBER:
            raise ManifestError("MPD: SegmentTimeline runs past 2^62")
    return tuple(runs)


def write_timeline(parent: Element, runs: Iterable[Run]) -> None:
    """Append the SegmentTimeline of runs that have an end."""
    timeline = SubElement(parent, named(parent, "SegmentTimeline"))
    tick: int | None = None
    number: int | None = None
    for run in runs:
        entry = SubElement(timeline, named(parent, "S"))
        if run.start != tick:
            entry.set("t", str(run.start))
        if number is not None and run.number != number:
            entry.set("n", str(run.number))
        entry.set("d", str(run.duration))
        count = run.count or 0
        if count > 1:
            entry.set("r", str(count - 1))
        tick, number = run.start + count * run.duration, run.number + count
