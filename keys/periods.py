"""Crypto periods: which span of stream time lies under one set of content keys.

*Stream time* is milliseconds on the timeline all renditions of a stream agree on: wall clock for
live streams that carry it (EXT-X-PROGRAM-DATE-TIME, availabilityStartTime), else the media sequence
number times the target duration, else presentation time from zero.

A period is named by its nominal start. Nominal starts are zero, the multiples of the interval and the
extra boundaries (scene edges, emergency rotations), so spans that start apart never share a name, even
across a change of the interval.

Stream time starts at zero. A segment that starts earlier (a first one with material to be skipped, or
one that straddles the start of a DASH Period) lies in the first period.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

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

    ``boundaries`` are the extra ones, in ms of stream time. Raises :class:`ValueError` unless they are
    sorted and none is negative.
    """

    policy: RotationPolicy
    boundaries: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # Unsorted ones would be searched wrongly without a sign, that is, give wrong keys.
        if list(self.boundaries) != sorted(self.boundaries) or (self.boundaries and self.boundaries[0] < 0):
            raise ValueError("schedule: boundaries must be sorted and not negative")

    def for_vod(self) -> "Schedule":
        """That of a title that was finished from the start: it rotates only where the policy says so."""
        if self.policy.vod:
            return self
        return replace(self, policy=replace(self.policy, interval_ms=0, pre_delivery_ms=0))

    def period_of(self, segment_start: int) -> CryptoPeriod:
        """The period of a segment that starts at ``segment_start``; a spanning one belongs here whole."""
        return self.period_at(segment_start + GUARD_MS)

    def period_at(self, time: int) -> CryptoPeriod:
        """The period whose nominal span holds ``time``."""
        time = max(time, 0)
        interval = self.policy.interval_ms
        start, end = _grid(time, interval) if interval else (WHOLE, None)
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


def first_segment_at(period: int) -> int:
    """Earliest start (ms) of a segment of the period named ``period``: its nominal start less the guard."""
    return period - GUARD_MS


def _grid(time: int, interval: int) -> tuple[int, int]:
    start = time - time % interval
    return start, start + interval
