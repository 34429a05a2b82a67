"""The copy's clock against the asset's: one recording has one speed, however often it was cut.

Frames that tell the time are within half a frame of it, which is noise; over a passage of some length it averages out,
and the passages that agree are fitted together. Films are sped up by a few known factors: one of them is preferred.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

USUAL_SPEEDS = (1.0, 25 / 24, 24 / 25)
"""As it was, and as film becomes PAL and back: the asset's seconds in one of the copy's."""
_ROUND_SPEEDS = (*USUAL_SPEEDS, 1.05, 1 / 1.05, 1.02, 1 / 1.02, 1000 / 1001, 1001 / 1000)
_LEAST_S = 10.0
_SLACK = 3e-4
_DEVIATIONS = 3.0

Times = npt.NDArray[np.float64]


@dataclass(slots=True)
class Clock:
    """The asset's time for the copy's, kept right while a passage is followed."""

    start_s: float
    speed: float
    late_s: float = 0.0
    """The correction that frames so far ask for."""

    def asset_s(self, leak_s: float) -> float:
        """When the asset shows what the copy shows at ``leak_s``."""
        return self.start_s + self.speed * leak_s + self.late_s

    def leak_s(self, asset_s: float) -> float:
        """When the copy shows what the asset shows at ``asset_s``."""
        return (asset_s - self.start_s - self.late_s) / self.speed


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """The frames of a passage that tell the time, in both clocks, and the speed that it was found with."""

    leak_s: Times
    asset_s: Times
    speed: float

    @property
    def moment(self) -> float:
        """What the passage weighs in a fit: the squares of its times from their mean."""
        return float(np.square(self.leak_s - self.leak_s.mean()).sum()) if self.is_long else 0.0

    @property
    def is_long(self) -> bool:
        """Whether a speed can be fitted to it."""
        return len(self.leak_s) > 2 and float(np.ptp(self.leak_s)) >= _LEAST_S

    @property
    def slope(self) -> float:
        """Its own speed, where it is long."""
        return float(((self.leak_s - self.leak_s.mean()) * self.asset_s).sum()) / self.moment


def speeds(passages: Sequence[Timed], frame_s: float) -> list[float]:
    """The speed of each passage: a common one of those that agree with the longest, else what it was found with."""
    long = [one for one in passages if one.is_long]
    if not long:
        return [one.speed for one in passages]
    longest = max(long, key=lambda one: one.moment)
    agreeing = [
        one for one in long if abs(one.slope - longest.slope) <= _slack(one, frame_s) + _slack(longest, frame_s)
    ]
    moment = sum(one.moment for one in agreeing)
    common = sum(one.slope * one.moment for one in agreeing) / moment
    nearest = min(_ROUND_SPEEDS, key=lambda one: abs(one - common))
    if abs(nearest - common) <= _DEVIATIONS * frame_s / sqrt(12 * moment) + _SLACK:
        common = nearest
    return [_speed(one, common, agreeing, frame_s) for one in passages]


def _speed(passage: Timed, common: float, agreeing: Sequence[Timed], frame_s: float) -> float:
    if passage in agreeing:
        return common
    if passage.is_long:
        return passage.slope
    # Too short to tell: what fits it as well is taken.
    drift = abs(passage.speed - common) * (float(np.ptp(passage.leak_s)) if len(passage.leak_s) else 0.0)
    return common if drift <= 2 * frame_s else passage.speed


def _slack(passage: Timed, frame_s: float) -> float:
    """How far its slope may be off: frames are shown for a while, uniform noise."""
    return _DEVIATIONS * frame_s / sqrt(12 * passage.moment) + _SLACK
