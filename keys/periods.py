"""Crypto periods: which span of stream time lies under one set of content keys.

*Stream time* is milliseconds on the timeline all renditions of a stream agree on: wall clock for
live streams that carry it (EXT-X-PROGRAM-DATE-TIME, availabilityStartTime), else the media sequence
number times the target duration, else presentation time from zero.

A period is named by its nominal start: where a grid begins (an interval came into force, or all keys were
replaced), the steps of its interval from there, and extra boundaries (scene edges). Spans that start apart
never share a name.

Stream time starts at zero. A segment that starts earlier (a first one with material to be skipped, or
one that straddles the start of a DASH Period) lies in the first period.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

GUARD_MS = 1000
"""Added to a segment's start before its period is looked up.

Origins cut segments on round times, and EXTINF rounding moves a computed start by milliseconds
between refreshes, so a decision point *on* a boundary would flip exactly where segments start. One
second later lies inside a segment instead. A constant, never derived from data.
"""

SPREAD_SHARE = 2 / 3
"""Of the lead, what the telling of next keys is spread over; the rest is left for delivery and one more try."""

WHOLE = 0
"""Name of the first period, which is the only one of a stream that does not rotate."""


class Clock(StrEnum):
    """What a stream's timeline counts."""

    WALL = "wall"
    SEQUENCE = "sequence"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """How a stream rotates. ``interval_ms`` 0 means that it does not."""

    interval_ms: int = 600_000
    pre_delivery_ms: int = 30_000
    vod: bool = False

    def __post_init__(self) -> None:
        if self.interval_ms < 0 or self.pre_delivery_ms < 0:
            raise ValueError("rotation: interval and pre_delivery must not be negative")
        if self.interval_ms and self.interval_ms < 2 * GUARD_MS:
            raise ValueError(f"rotation: interval must be at least {2 * GUARD_MS} ms")
        if self.interval_ms and self.pre_delivery_ms >= self.interval_ms:
            raise ValueError("rotation: pre_delivery must be shorter than interval")

    def for_vod(self) -> "RotationPolicy":
        """That of a title that was finished from the start: it rotates only where ``vod`` says so."""
        return self if self.vod else replace(self, interval_ms=0, pre_delivery_ms=0)


@dataclass(frozen=True, slots=True)
class Grid:
    """From ``since`` (ms of stream time) on, a key rotates every ``interval_ms`` counted from there; 0: never."""

    since: int
    interval_ms: int


@dataclass(frozen=True, slots=True)
class CryptoPeriod:
    """Stream time [start, end) under one key per track type; ``end`` is None for the endless one."""

    start: int
    end: int | None

    @property
    def segments_until(self) -> int | None:
        """Stream time (ms) from which on segments start in the next period; None for the endless one."""
        return None if self.end is None else first_segment_at(self.end)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The crypto periods of one stream: a pure function of policy, events and stream time.

    ``policy`` is the rotation in force last. ``boundaries`` are extra ones, in ms of stream time; ``grids`` say what
    held before, and when it changed; without any the policy has held from the start. Raises :class:`ValueError` unless
    both are sorted, none is negative, and the first grid begins with the stream.
    """

    policy: RotationPolicy
    boundaries: tuple[int, ...] = ()
    grids: tuple[Grid, ...] = ()

    def __post_init__(self) -> None:
        # Unsorted ones would be searched wrongly without a sign, that is, give wrong keys.
        _check_sorted("boundaries", self.boundaries)
        _check_sorted("grids", [grid.since for grid in self.grids])
        if self.grids and self.grids[0].since != WHOLE:
            raise ValueError("schedule: the first grid must begin with the stream")

    def period_of(self, segment_start: int) -> CryptoPeriod:
        """The period of a segment that starts at ``segment_start``; a spanning one belongs here whole."""
        return self.period_at(segment_start + GUARD_MS)

    def period_at(self, time: int) -> CryptoPeriod:
        """The period whose nominal span holds ``time``."""
        time = max(time, 0)
        start, end = self._on_grid(time)
        at = bisect_right(self.boundaries, time)
        if at:
            start = max(start, self.boundaries[at - 1])
        if at < len(self.boundaries):
            end = self.boundaries[at] if end is None else min(end, self.boundaries[at])
        return CryptoPeriod(start, end)

    def between(self, first: int, last: int) -> Iterator[CryptoPeriod]:
        """The periods of all segments that start in [first, last], in order."""
        period = self.period_of(first)
        yield period
        while (until := period.segments_until) is not None and until <= last:
            period = self.period_of(until)
            yield period

    def releasable_until(self, stream_now: int) -> int:
        """Latest segment start whose key may be handed out now: the live edge plus the lead."""
        return stream_now + self.policy.pre_delivery_ms

    def _on_grid(self, time: int) -> tuple[int, int | None]:
        at = bisect_right(self.grids, time, key=_since)
        grid = (
            self.grids[at - 1]
            if at
            else Grid(WHOLE, self.grids[0].interval_ms if self.grids else self.policy.interval_ms)
        )
        following = self.grids[at].since if at < len(self.grids) else None
        if not grid.interval_ms:
            return grid.since, following
        start = time - (time - grid.since) % grid.interval_ms
        end = start + grid.interval_ms
        return start, end if following is None else min(end, following)


def _since(grid: Grid) -> int:
    return grid.since


def first_segment_at(period: int) -> int:
    """Earliest start (ms) of a segment of the period named ``period``: its nominal start less the guard."""
    return period - GUARD_MS


def _check_sorted(what: str, times: Sequence[int]) -> None:
    if list(times) != sorted(times) or (times and times[0] < 0):
        raise ValueError(f"schedule: {what} must be sorted and not negative")
