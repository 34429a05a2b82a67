"""Where a stream's live edge is now, learnt from its manifests.

The clock domain is the origin's: a wall clock that differs from ours, or a recording played as live,
must not release keys early or late. So stream time now is the last edge seen plus the time since then.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from math import inf
from typing import NamedTuple

from keys.model import TrackType
from keys.periods import Clock, CryptoPeriod, Schedule, first_segment_at
from relay.errors import ManifestError
from relay.manifest.context import Observed

MAX_EXTRAPOLATION_MS = 60_000
"""How long the edge is thought to go on without being seen: an origin that stopped releases no more keys."""
RESTART_MS = 120_000
"""An edge this far behind is no lagging rendition: the origin was restarted, or had shown a wrong date before."""
STALE_S = 20.0
"""Players of some streams never ask for the manifest again; past this the relay has to look by itself."""
KEPT_MS = 60_000
"""How long what has left the window still matters: to players that lag, to nodes that saw another window."""
MAX_PERIODS = 260
"""Most periods whose keys are handed out at once, whatever span a manifest claims to list."""

Heads = tuple[tuple[Clock, int], ...]
"""The start of the newest released period on each clock, sorted."""


class Window(NamedTuple):
    """What of a stream is handed out now: the periods of its window and, inside the lead, the next one.

    ``tracks`` and ``clocks`` are those that it was seen with. While nothing changes it is one and the same object.
    """

    periods: tuple[CryptoPeriod, ...]
    tracks: frozenset[TrackType]
    clocks: frozenset[Clock]


class StreamTimeline:
    """What has been observed of one stream. ``now`` is always seconds of the node's clock.

    A stream may be listed on two clocks at once (HLS without dates beside DASH); each has its periods.
    """

    def __init__(self, schedule_of: Callable[[Clock], Schedule], keep_ms: int) -> None:
        self._schedule_of = schedule_of
        self._keep_ms = keep_ms
        self._seen: dict[Clock, _Seen] = {}
        self._looked_at = 0.0
        self._window = Window((), frozenset(), frozenset())
        self._window_from, self._window_until = inf, -inf
        self.tracks: frozenset[TrackType] = frozenset()
        self.segment_s = 0.0
        """How long a segment plays, 0 where that is not known."""

    def configure(self, schedule_of: Callable[[Clock], Schedule], keep_ms: int) -> None:
        """Read what was observed under other schedules from now on."""
        self._schedule_of, self._keep_ms = schedule_of, keep_ms
        self._window_until = -inf
        seen, self._seen = self._seen, {}
        for clock, one in seen.items():
            # Where it is not known what holds on a clock, nothing of it is served any more.
            with suppress(ManifestError):
                self._seen[clock] = _Seen(one.observed, one.at, schedule_of(clock), keep_ms)

    @property
    def clocks(self) -> dict[Clock, Observed]:
        """What was observed last, on each clock that the stream was seen on."""
        return {clock: seen.observed for clock, seen in self._seen.items()}

    @property
    def seen_on(self) -> frozenset[Clock]:
        """The clocks that the stream was seen on."""
        return frozenset(self._seen)

    def edges(self, now: float) -> dict[Clock, int]:
        """The live edge on each clock, in ms of stream time; of what has ended, its end."""
        return {clock: seen.edge(now) for clock, seen in self._seen.items()}

    def tails(self, now: float) -> dict[Clock, int]:
        """On each clock, where what can still be watched begins, in ms of stream time."""
        return {clock: seen.tail(now) for clock, seen in self._seen.items()}

    def released_until(self, now: float) -> dict[Clock, int]:
        """On each clock, the latest start of a segment whose key may be handed out now."""
        return {clock: seen.release_until(now) for clock, seen in self._seen.items()}

    @property
    def known(self) -> bool:
        """Whether any manifest with segments has been seen."""
        return bool(self._seen)

    def stale(self, now: float) -> bool:
        """Whether a live edge has gone unseen for too long, or nothing was seen at all."""
        live = not self._seen or any(not seen.observed.final for seen in self._seen.values())
        return live and abs(now - self._looked_at) > STALE_S

    def observe(self, observed: Observed, now: float) -> None:
        """Take note of a manifest. Renditions lag one another, so the furthest edge counts."""
        self.tracks |= observed.tracks
        self._window_until = -inf
        self.segment_s = observed.segment_ms / 1000
        self._looked_at = now
        seen = self._seen.get(observed.clock)
        if seen and observed.final:
            # Nor do they end alike: the keys of the longest stay released.
            observed = replace(
                observed,
                first=min(observed.first, seen.observed.first),
                edge=max(observed.edge, seen.observed.edge),
            )
        ahead = seen.edge(now) - observed.edge if seen else 0
        if ahead <= 0 or observed.final or ahead > RESTART_MS:
            self._seen[observed.clock] = _Seen(observed, now, self._schedule_of(observed.clock), self._keep_ms)

    def note_tracks(self, tracks: frozenset[TrackType]) -> None:
        """Take note of track types that a multivariant playlist lists."""
        self.tracks |= tracks
        self._window_until = -inf

    def released(self, period: int, now: float) -> bool:
        """Whether the key of the period that starts at ``period`` may be handed out now."""
        return any(first_segment_at(period) <= seen.release_until(now) for seen in self._seen.values())

    def may_be_told(self, period: int, now: float) -> bool:
        """The same, unless it left the window so long ago that its terms may have been forgotten."""
        return any(
            first_segment_at(period) <= seen.release_until(now) and seen.keeps(period, now)
            for seen in self._seen.values()
        )

    def window(self, now: float) -> Window:
        """What is handed out now."""
        if not self._window_from <= now < self._window_until:
            seen = self._seen.values()
            periods = sorted({period for one in seen for period in one.periods(now)}, key=_start)
            self._window = Window(tuple(periods), self.tracks, self.seen_on)
            self._window_from, self._window_until = now, now + min((one.steady_s(now) for one in seen), default=inf)
        return self._window

    def periods(self, now: float) -> tuple[CryptoPeriod, ...]:
        """The periods of the window and, inside the lead, the next one."""
        return self.window(now).periods

    def next_release(self, now: float) -> float | None:
        """When (node clock, s) the next key is released; None where no further key will come."""
        return min((at for seen in self._seen.values() if (at := seen.next_release(now)) is not None), default=None)

    def heads(self, now: float) -> Heads:
        """The newest period released on each clock."""
        return tuple((clock, seen.newest(now).start) for clock, seen in sorted(self._seen.items()))

    def after(self, heads: Heads, now: float) -> list[CryptoPeriod]:
        """The periods released since ``heads`` were the newest."""
        told = dict(heads)
        return [
            period
            for clock, seen in self._seen.items()
            for period in seen.periods(now)
            # Another node may be ahead of this one. Far ahead, the stream began anew since.
            if (at := told.get(clock)) is None or period.start > at or at - seen.newest(now).start > RESTART_MS
        ]

    def coming(self, now: float) -> list[CryptoPeriod]:
        """The periods that are released and whose first segment may not be listed yet: it is not too late for them."""
        return [period for seen in self._seen.values() for period in seen.coming(now)]

    def stream_now(self, now: float) -> int:
        """The live edge in ms of stream time; 0 before anything was seen."""
        return max((seen.edge(now) for seen in self._seen.values()), default=0)


class _Seen:
    """The latest manifest on one clock."""

    def __init__(self, observed: Observed, at: float, schedule: Schedule, keep_ms: int) -> None:
        self.observed = observed
        self.at = at
        self._schedule = schedule
        self._keep_ms = keep_ms

    def edge(self, now: float) -> int:
        if self.observed.final:
            return self.observed.edge
        return self.observed.edge + min(MAX_EXTRAPOLATION_MS, max(0, int((now - self.at) * 1000)))

    def release_until(self, now: float) -> int:
        edge = self.edge(now)
        return edge if self.observed.final else self._schedule.releasable_until(edge)

    def newest(self, now: float) -> CryptoPeriod:
        return self._schedule.period_of(self.release_until(now))

    def periods(self, now: float) -> Iterator[CryptoPeriod]:
        return islice(self._schedule.between(self.tail(now), self.release_until(now)), MAX_PERIODS)

    def steady_s(self, now: float) -> float:
        """For how long :meth:`periods` stays the same, at least."""
        if self.observed.final:
            return inf
        tail, release = self.tail(now), self.next_release(now)
        leaves = self._schedule.period_of(tail).segments_until
        # Both are whole milliseconds, rounded down.
        steady_ms = min(inf if leaves is None else leaves - tail, inf if release is None else (release - now) * 1000)
        return max(0.0, steady_ms - 2) / 1000

    def tail(self, now: float) -> int:
        if self.observed.clock is Clock.MEDIA:
            return self.observed.first
        return max(self.observed.first, self.edge(now) - self._keep_ms)

    def keeps(self, period: int, now: float) -> bool:
        end = self._schedule.period_at(period).end
        return end is None or end > self.tail(now) - KEPT_MS

    def coming(self, now: float) -> Iterator[CryptoPeriod]:
        if self.observed.final:
            return
        # The segment over a period's start may be of the one before, and the next is listed when it is complete.
        listed = self.edge(now) - 2 * self.observed.segment_ms
        for period in islice(self._schedule.between(max(0, listed), self.release_until(now)), MAX_PERIODS):
            if first_segment_at(period.start) > listed:
                yield period

    def next_release(self, now: float) -> float | None:
        if self.observed.final:
            return None
        until = self.release_until(now)
        release = self._schedule.period_of(until).segments_until
        return None if release is None else now + max(0, release - until) / 1000


def _start(period: CryptoPeriod) -> int:
    return period.start
