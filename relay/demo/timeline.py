"""The clip repeated for ever from the Unix epoch: which segments there are at a time, and where each lies.

Segment ``n`` is segment ``n mod laps`` of the clip, moved to its place. Everything is a function of the
clock, so processes, restarts and machines with the same clip and the right time agree.
"""

from dataclasses import dataclass

from relay.demo.clip import SEGMENTS, Track
from relay.demo.scene import SEGMENT_S

WINDOW = 20
"""Segments that a live manifest lists."""

RETAINED = 10
"""Segments that can still be had after they have left the manifests."""


@dataclass(frozen=True, slots=True)
class Place:
    """Segment ``number`` of a track, from ``start`` for ``duration``, both in the track's timescale."""

    number: int
    start: int
    duration: int

    @property
    def end(self) -> int:
        """Where the next segment starts."""
        return self.start + self.duration


@dataclass(frozen=True, slots=True)
class Endless:
    """A track of the clip on the endless timeline."""

    track: Track

    def place(self, number: int) -> Place:
        """Where segment ``number`` lies."""
        lap, index = divmod(number, SEGMENTS)
        segment = self.track.segments[index]
        return Place(number, lap * self.track.lap + segment.start, segment.duration)

    def places(self, numbers: range) -> list[Place]:
        """Where these segments lie."""
        return [self.place(number) for number in numbers]

    def number_at(self, start: int) -> int | None:
        """The number of the segment that starts exactly at ``start``."""
        number = start // (SEGMENT_S * self.track.timescale)
        # A segment starts at its nominal time or, where frames do not fit, within a frame after it.
        return number if self.place(number).start == start else None

    def body(self, number: int, variant: int = 0) -> bytes:
        """The bytes of segment ``number`` in variant a (0) or b (1)."""
        return self.track.variants[variant][number % SEGMENTS].moved(number, self.place(number).start)

    def live_window(self, now: float) -> range:
        """The segments that a live manifest lists at ``now``: those that have ended, the last :data:`WINDOW`."""
        end = int(now // SEGMENT_S)
        while self.place(end - 1).end > now * self.track.timescale:
            end -= 1
        return range(end - WINDOW, end)

    def live_numbers(self, now: float) -> range:
        """The segments that can be had at ``now``."""
        window = self.live_window(now)
        return range(window.start - RETAINED, window.stop)


LAP = range(SEGMENTS)
"""The segments of the clip played once."""
