"""One passage followed through asset and copy: segment by segment from where it was found, until it is lost."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from relay.watermark.analyse.align import LEAST_AGREEMENT, Copy, Original, refined
from relay.watermark.analyse.clocks import Clock
from relay.watermark.analyse.features import Finder
from relay.watermark.analyse.leak import Leak
from relay.watermark.analyse.proxy import Proxy
from relay.watermark.analyse.warp import Warp, oriented
from relay.watermark.picture.grid import Chips, chips
from relay.watermark.picture.mark import window
from relay.watermark.picture.planes import BytePlane
from relay.watermark.score import evidence, score, unexplained

FRAMES = 6
MORE_FRAMES = 12
_WEAK = 10.0
_EDGE_FRAMES = 2
_LOST_S = 5.0
_FARTHEST_SHIFT = 3
_BETTER = 0.01
_CONTROL, _CONTROLS = b"segmentgate/1 watermark control key", 64
_BETTER_TIME = 0.004
_CHANCE = 0.03
_SURE = 0.5


@dataclass(slots=True)
class Gathered:
    """The evidence of one position so far."""

    evidence: npt.NDArray[np.float64]
    silent: bool
    leak_s: float
    frames: int = 0
    aligned: int = 0
    """How many frames could be aligned by themselves: the others lie as their neighbours do."""
    agreements: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame of the copy that was aligned: when, and how."""

    leak_s: float
    asset_s: float
    segment: int
    kept: int
    warp: Warp
    agreement: float
    timed: bool
    """Whether it tells the time: the frames before and after agree less."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """Which frame of a segment a picture shows, how it lies, how well they agree, whether that tells the time."""

    number: int
    warp: Warp
    agreement: float
    timed: bool


class Follower:
    """Gathers evidence of an asset's positions from passages of a copy. Positions shown twice add up."""

    def __init__(self, leak: Leak, proxy: Proxy, finder: Finder, chips_of: Callable[[int], Chips]) -> None:
        self._leak, self._proxy, self._finder, self._chips_of = leak, proxy, finder, chips_of
        self.positions: dict[int, Gathered] = {}
        """By the segment's index."""

    def follow(self, clock: Clock, warp: Warp, anchor_s: float, between: tuple[float, float]) -> list[Seen]:
        """Score the segments of the passage around ``anchor_s``, within two times of the copy. Its aligned frames."""
        index = self._proxy.asset.segment_at(clock.asset_s(anchor_s))
        if index is None:
            return []
        seen: list[Seen] = []
        for direction, first in ((1, index), (-1, index - 1)):
            current, time = warp, Clock(clock.start_s, clock.speed, clock.late_s)
            lost_s = 0.0
            at = first
            while 0 <= at < len(self._proxy.asset.segments) and lost_s < _LOST_S:
                frames, flat = self._segment(at, time, current, between, direction)
                if frames is None:
                    break
                if frames:
                    seen += frames
                    current = frames[-1].warp if direction > 0 else frames[0].warp
                if frames or flat:
                    lost_s = 0.0
                else:
                    lost_s += float(self._proxy.asset.segments[at].frames / self._proxy.asset.fps)
                at += direction
        return sorted(seen, key=lambda frame: frame.leak_s)

    def bridge(self, before: Seen, after: Seen) -> list[Seen]:
        """Score what lies between two aligned frames that agree, at their time and place. The frames taken for it.

        Nothing there could be aligned by itself: too dark, too flat, covered. The mark may be there all the same.
        """
        asset, kept = self._proxy.asset, self._leak.kept
        inside = np.flatnonzero((kept > before.leak_s) & (kept < after.leak_s))
        shown = np.interp(kept[inside], (before.leak_s, after.leak_s), (before.asset_s, after.asset_s))
        frames: dict[int, list[tuple[int, int]]] = {}
        for index, time in zip(inside.tolist(), shown.tolist(), strict=True):
            at = asset.segment_at(time)
            if at is None:
                continue
            number = int((time - asset.segments[at].start_s) * asset.fps + 0.5)
            if _EDGE_FRAMES <= number < asset.segments[at].frames - _EDGE_FRAMES:
                frames.setdefault(at, []).append((index, number))
        seen = []
        for at, usable in frames.items():
            gathered = self.positions.get(at) or self._nothing_of(at, float(kept[usable[0][0]]))
            wanted = min(FRAMES - gathered.frames, len(usable))
            if wanted <= 0:
                continue
            originals = Originals(self._proxy.segment(at))
            for choice in np.unique(np.linspace(0, len(usable) - 1, wanted).round().astype(int)):
                index, number = usable[choice]
                if number >= len(originals):
                    continue
                nearest = min(before, after, key=lambda one: abs(one.kept - index))
                copy = Copy(oriented(self._leak.picture(index), nearest.warp.mirrored))
                agreement = copy.agreement(originals[number], nearest.warp)
                self._gather(gathered, originals, number, index, nearest.warp, asset.segments[at].frames)
                gathered.agreements.append(agreement)
                shown_s = asset.segments[at].start_s + float(number / asset.fps)
                seen.append(Seen(float(kept[index]), shown_s, at, index, nearest.warp, agreement, timed=False))
            if gathered.frames:
                self.positions[at] = gathered
        return seen

    def _nothing_of(self, at: int, leak_s: float) -> Gathered:
        asset = self._proxy.asset
        return Gathered(np.zeros((asset.grid.rows, asset.grid.columns)), asset.segments[at].silent, leak_s)

    def z(self, at: int) -> float:
        """The score of a segment that was gathered."""
        own = self._chips_of(self._proxy.asset.segments[at].position)
        return score(own, self.positions[at].evidence.astype(np.float32))

    def control(self) -> list[float]:
        """The scores under keys that nobody ever used: N(0, 1), or the scores mean nothing."""
        asset = self._proxy.asset
        return [
            score(
                chips(_CONTROL + key.to_bytes(2, "big"), asset.asset, at, asset.grid.rows, asset.grid.columns),
                gathered.evidence.astype(np.float32),
            )
            for at, gathered in self.positions.items()
            for key in range(_CONTROLS)
        ]

    def _segment(
        self, at: int, clock: Clock, warp: Warp, between: tuple[float, float], direction: int
    ) -> tuple[list[Seen] | None, bool]:
        """Score one segment. None where the copy shows none of it; whether it is too flat to tell."""
        segment = self._proxy.asset.segments[at]
        fps = float(self._proxy.asset.fps)
        kept = self._leak.kept
        inner = min(_EDGE_FRAMES, max(0, (segment.frames - 1) // 2))
        first = max(between[0], clock.leak_s(segment.start_s + (inner - 0.4) / fps))
        last = min(between[1], clock.leak_s(segment.start_s + (segment.frames - inner - 0.6) / fps))
        usable = np.arange(*np.searchsorted(kept, (first, last)))
        if not usable.size:
            return None, False
        originals = Originals(self._proxy.segment(at))
        gathered = self.positions.get(at) or self._nothing_of(at, float(kept[usable[0]]))
        seen: list[Seen] = []
        order = _spread(usable[::direction])
        for count, index in enumerate(order):
            if (
                count == FRAMES
                and gathered.frames
                and abs(score(self._chips_of(segment.position), gathered.evidence.astype(np.float32))) > _WEAK
            ):
                break
            if count >= FRAMES and not seen:
                break
            # The nearest frame in time that was aligned is the best start.
            start = min(seen, key=lambda other: abs(other.kept - index)).warp if seen else warp
            number = round((clock.asset_s(float(kept[index])) - segment.start_s) * fps)
            aligned = self._aligned(originals, number, int(index), start)
            if aligned is None:
                continue
            shown = segment.start_s + aligned.number / fps
            if aligned.timed:
                clock.late_s += 0.25 * float(np.clip(shown - clock.asset_s(float(kept[index])), -1.5 / fps, 1.5 / fps))
            self._gather(gathered, originals, aligned.number, int(index), aligned.warp, segment.frames)
            gathered.agreements.append(aligned.agreement)
            gathered.aligned += aligned.agreement >= LEAST_AGREEMENT
            seen.append(Seen(float(kept[index]), shown, at, int(index), aligned.warp, aligned.agreement, aligned.timed))
        if gathered.frames:
            self.positions[at] = gathered
        seen.sort(key=lambda frame: frame.leak_s)
        return seen, all(originals[k].flat for k in (inner, segment.frames // 2) if k < len(originals))

    def _aligned(self, originals: "Originals", number: int, kept: int, warp: Warp) -> "Aligned | None":
        """How a kept picture was aligned, or None; without a correction where the original is flat."""
        number = min(max(number, 0), len(originals) - 1)
        copy = Copy(oriented(self._leak.picture(kept), warp.mirrored))
        lay, best = warp, copy.agreement(originals[number], warp)
        if best < _SURE:
            # The wrong time in a pan looks like a move of the picture: where it lies as it lay at another time, it did
            # not move. (The mark stays with the picture's frame while what it shows passes through.)
            near = range(max(0, number - _FARTHEST_SHIFT), min(len(originals), number + _FARTHEST_SHIFT + 1))
            still, other = max((copy.agreement(originals[one], warp), one) for one in near)
            if still >= _SURE:
                number, best = other, still
        # Where it has moved, the warp that fits each frame best must be found first: it makes up for the wrong time.
        moves = best < _SURE and not originals[number].flat
        if moves:
            best, warp = self._moved(originals[number], copy, warp, best)
        tried = {number: best}
        for step in (1, -1):
            for other in range(number + step, number + step * (_FARTHEST_SHIFT + 1), step):
                if not 0 <= other < len(originals):
                    break
                own = refined(originals[other], copy, warp, level=0, rounds=2) if moves else warp
                tried[other] = copy.agreement(originals[other], own)
                # In a picture that stands still all frames agree alike: the clock is right then.
                if tried[other] < best + _margin(best):
                    break
                number, best, warp = other, tried[other], own
        timed = all(one == number or tried[one] < best - _margin(best) for one in tried)
        fine = refined(originals[number], copy, warp, level=1 if originals[number].flat else 0, rounds=3)
        better = copy.agreement(originals[number], fine)
        # Where there is little to align by, a move that does not help is noise.
        if better > best + (_margin(best) if best < _SURE else -_BETTER):
            best, warp = better, fine
        if best >= LEAST_AGREEMENT:
            return Aligned(number, warp, best, timed)
        return Aligned(number, lay, best, False) if originals[number].flat else None

    def _moved(self, original: Original, copy: Copy, warp: Warp, best: float) -> tuple[float, Warp]:
        """The best agreement and its warp, after a larger move: from where it lay, or from nothing."""
        starts: list[Callable[[], Warp | None]] = [lambda: warp, lambda: self._found_again(original, copy.luma, warp)]
        result = best, warp
        for start in starts:
            if result[0] >= _SURE:
                break
            begun = start()
            if begun is None:
                continue
            moved = refined(original, copy, begun, level=1, rounds=6)
            moved = refined(original, copy, moved, level=0, rounds=2)
            result = max(result, (copy.agreement(original, moved), moved), key=lambda one: one[0])
        return result

    def _found_again(self, original: Original, picture: BytePlane, warp: Warp) -> Warp | None:
        features = self._finder.features
        pair = (features(original.luma), features(picture))
        found = self._finder.homography([pair], warp.shape, warp.copy_shape, warp.mirrored, 3.0)
        if found is None:
            return None
        return replace(warp, homography=found.warp.homography)

    def _gather(
        self, gathered: Gathered, originals: "Originals", number: int, kept: int, warp: Warp, frames: int
    ) -> None:
        seen, inside = warp.laid_over(oriented(self._leak.picture(kept), warp.mirrored))
        original = originals[number].luma.astype(np.float32)
        try:
            beside = [originals[k].luma for k in (number - 1, number + 1) if 0 <= k < len(originals)]
            residual = unexplained(original, seen, inside, beside)
        except ValueError:
            return
        gathered.evidence += evidence(residual, original, window(number, frames), self._proxy.asset.grid, inside)
        gathered.frames += 1


def _margin(agreement: float) -> float:
    """How much better is better: beyond four standard deviations of a correlation over the pixels looked at."""
    return _BETTER_TIME + _CHANCE * (1 - agreement * agreement)


class Originals:
    """The frames of one segment, prepared as they are asked for."""

    def __init__(self, frames: list[BytePlane]) -> None:
        self._frames = frames
        self._prepared: dict[int, Original] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, number: int) -> Original:
        if number not in self._prepared:
            self._prepared[number] = Original(self._frames[number])
        return self._prepared[number]


def _spread(usable: npt.NDArray[np.intp]) -> list[int]:
    """Six of them evenly spread, in order, then more in between."""
    first = np.unique(np.linspace(0, len(usable) - 1, FRAMES).round().astype(int))
    others = [k for k in range(len(usable)) if k not in set(first.tolist())]
    if len(others) > MORE_FRAMES - FRAMES:
        others = [others[k] for k in np.linspace(0, len(others) - 1, MORE_FRAMES - FRAMES).round().astype(int)]
    return [int(usable[k]) for k in [*first.tolist(), *others]]
