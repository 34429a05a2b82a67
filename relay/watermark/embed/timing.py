"""Times of an asset: which frames a position has, and what they are in a track's ticks."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

_LEAST_TIMESCALE = 10_000


@dataclass(frozen=True, slots=True)
class Timing:
    """A constant rate cut into positions of ``segment_s`` seconds: position p starts at the first frame not before
    ``p * segment_s``."""

    rate: Fraction
    segment_s: Fraction

    @property
    def tick(self) -> int:
        """Ticks of the video's timescale that a frame lasts."""
        factor = 1
        while self.rate.numerator * factor < _LEAST_TIMESCALE:
            factor *= 2
        return self.rate.denominator * factor

    @property
    def timescale(self) -> int:
        """Ticks of video in a second: a frame is a whole number of them."""
        return int(self.rate * self.tick)

    def first_frame(self, position: int) -> int:
        """The frame that a position starts with."""
        return ceil(position * self.segment_s * self.rate)

    def frames(self, position: int) -> int:
        """How many frames a whole position has."""
        return self.first_frame(position + 1) - self.first_frame(position)

    def position(self, frame: int) -> int:
        """The position that a frame belongs to."""
        return int(frame / self.rate / self.segment_s)

    def ms(self, frame: int) -> int:
        """When a frame is shown, in milliseconds."""
        return round(frame / self.rate * 1000)
