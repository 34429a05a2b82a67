"""The whole analysis of a copy: search, registration, passages followed, what they say put together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import BinaryIO

import numpy as np

from relay.watermark.analyse.align import LEAST_AGREEMENT, Copy, Original, refined
from relay.watermark.analyse.asset import Asset
from relay.watermark.analyse.bend import bent
from relay.watermark.analyse.clocks import USUAL_SPEEDS, Clock, Timed, speeds
from relay.watermark.analyse.features import Features, Finder, Found
from relay.watermark.analyse.follow import Follower, Gathered, Seen
from relay.watermark.analyse.leak import Leak, Progress, read_leak
from relay.watermark.analyse.limits import Limits
from relay.watermark.analyse.pictures import pictures
from relay.watermark.analyse.proxy import Proxy
from relay.watermark.analyse.reading import AssetReading, Geometry, PositionReading, Reading, Run
from relay.watermark.analyse.search import OTHER_SPEEDS, Candidate, candidates
from relay.watermark.analyse.warp import Warp, oriented
from relay.watermark.picture.grid import Chips, chips

_PASSAGE_S = 40.0
_SHORTEST_S = 3.0
_LEAST_S = 2.0
_PAIRS, _MANY_PAIRS = 8, 20
_SURE_INLIERS = 150
_TOLERANCE, _FINE_TOLERANCE = 3.0, 2.0
_BEND_PAIRS = 12
_SLIGHT = 0.2
_TIME_FRAMES = 6
_STARTS = 16
_STILL = 0.6
_PICTURES = 3
_LEAST_FRAMES = 2
_CACHED_FEATURES = 200
_LEAST_GAP_S, _LONGEST_GAP_S = 0.5, 60.0
_CUT_FRAMES = 4.0
_CORNERS_PX = 4.0  # half a cell of the mark


def analyse(
    leak: BinaryIO,
    assets: Sequence[Asset],
    chip_key_of: Callable[[str], bytes],
    limits: Limits,
    progress: Progress,
) -> Reading:
    """Read the marks of all assets that a copy shows.

    ``chip_key_of`` gives the chip key of an asset by its name. Raises a
    :class:`relay.watermark.analyse.errors.LeakError` where the copy cannot be read at all, and
    :class:`relay.watermark.analyse.errors.AssetError` where an asset cannot. That it is of none of the assets is
    no error: then the reading has none.
    """
    with read_leak(leak, limits, progress) as copy, ExitStack() as stack:
        proxies = [stack.enter_context(Proxy(asset)) for asset in assets]
        search = _Search(copy, proxies, chip_key_of, limits, progress)
        search.run()
        return Reading(
            assets=tuple(sorted(search.readings(), key=lambda one: -len(one.positions))),
            width=copy.size[0],
            height=copy.size[1],
            duration_s=copy.duration_s,
            cut_short=copy.cut_short,
            unknown_s=search.unknown_s,
        )


@dataclass(frozen=True, slots=True)
class _Anchor:
    """A passage that was registered: which asset, when, and how it lies."""

    asset: int
    clock: Clock
    warp: Warp
    leak_s: float


@dataclass(slots=True)
class _Passage:
    """What was followed without a break."""

    frames: list[Seen]
    clock: Clock


class _Search:
    """Passages of the copy that are not explained yet, and what was found so far."""

    def __init__(
        self,
        leak: Leak,
        proxies: Sequence[Proxy],
        chip_key_of: Callable[[str], bytes],
        limits: Limits,
        progress: Progress,
    ) -> None:
        self._leak, self._proxies, self._limits, self._progress = leak, proxies, limits, progress
        self._finder = Finder()
        self._followers = [
            Follower(leak, proxy, self._finder, _chips_of(proxy.asset, chip_key_of)) for proxy in proxies
        ]
        self._passages: list[list[_Passage]] = [[] for _ in proxies]
        self._attempts = limits.attempts
        self._features: dict[tuple[int, int, int], Features] = {}
        self._thumbs, self._times = leak.thumbs, leak.times
        self.unknown_s = 0.0

    def run(self) -> None:
        """Explain the copy from its longest unexplained stretch on, until nothing more is found."""
        open_stretches = [(0.0, self._leak.duration_s + 1e-3)]
        while open_stretches:
            open_stretches.sort(key=lambda stretch: stretch[0] - stretch[1])
            start, end = open_stretches.pop(0)
            done = 1 - (self.unknown_s + sum(e - s for s, e in [*open_stretches, (start, end)])) / (
                self._leak.duration_s + 1e-3
            )
            self._progress("align", min(1.0, max(0.0, done)))
            if self._is_bridged(start, end):
                continue
            anchor = self._anchor(start, end) if end - start >= _LEAST_S else None
            if anchor is None:
                self.unknown_s += end - start
                continue
            seen = self._followers[anchor.asset].follow(anchor.clock, anchor.warp, anchor.leak_s, (start, end))
            if not seen:
                self.unknown_s += end - start
                continue
            self._passages[anchor.asset].append(_Passage(seen, anchor.clock))
            # Up to half a second beyond the last aligned frame may belong to the passage.
            for rest in ((start, seen[0].leak_s - 0.5), (seen[-1].leak_s + 0.5, end)):
                if rest[1] - rest[0] >= _SHORTEST_S:
                    open_stretches.append(rest)

        for passage, follower, before, after in list(self._gaps()):
            passage.frames += follower.bridge(before, after)

    def _gaps(self) -> Iterator[tuple[_Passage, Follower, Seen, Seen]]:
        """Frames of an asset, one after the other in the copy, that agree in clock and place, and not what is between.

        With the passage of the earlier.
        """
        every = [
            (frame, asset, passage)
            for asset, passages in enumerate(self._passages)
            for passage in passages
            for frame in passage.frames
        ]
        every.sort(key=lambda one: one[0].leak_s)
        for (before, asset, passage), (after, same, _) in pairwise(every):
            gap = after.leak_s - before.leak_s
            if asset == same and _LEAST_GAP_S < gap < _LONGEST_GAP_S:
                frame_s = 1 / float(self._proxies[asset].asset.fps)
                if _one_clock(before, after, passage.clock.speed, frame_s) and _one_place(before, after):
                    yield passage, self._followers[asset], before, after

    def _is_bridged(self, start: float, end: float) -> bool:
        return any(before.leak_s <= start and end <= after.leak_s for _, _, before, after in self._gaps())

    def _anchor(self, start: float, end: float) -> _Anchor | None:
        """A registered place in a stretch: long passages first, for they are surest, then shorter ones."""
        # What was cut from one recording has one speed.
        known = tuple({one.clock.speed for passages in self._passages for one in passages} - set(USUAL_SPEEDS))
        for tried in (known + USUAL_SPEEDS, OTHER_SPEEDS):
            length = min(_PASSAGE_S, end - start)
            while True:
                firsts = _starts(start, end, length)
                # Of a short stretch all of it is looked at, the likeliest place first.
                for group in [firsts] if length < _PASSAGE_S else [[first] for first in firsts]:
                    for candidate, first in self._ranked(group, length, tried):
                        if self._attempts <= 0:
                            return None
                        self._attempts -= 1
                        anchor = self._registered(candidate, first, first + length)
                        if anchor is not None:
                            self._attempts = self._limits.attempts
                            return anchor
                length /= 2
                # Any speed will do for a short passage somewhere: only long ones tell.
                if length < _SHORTEST_S or tried is OTHER_SPEEDS:
                    break
        return None

    def _ranked(self, firsts: Sequence[float], length: float, tried: Sequence[float]) -> list[tuple[Candidate, float]]:
        """The places where passages may lie, with the passages' beginnings, best first."""
        curves = [proxy.asset.activity for proxy in self._proxies]
        found = [
            (candidate, first)
            for first in firsts
            for candidate in candidates(self._thumbs, self._times, first, first + length, curves, tried)
        ]
        return sorted(found, key=lambda one: -one[0].agreement)

    def _registered(self, candidate: Candidate, start: float, end: float) -> _Anchor | None:
        proxy = self._proxies[candidate.asset]
        clock = Clock(candidate.start_s - candidate.speed * start, candidate.speed)
        found = None
        for mirrored in (False, True):
            one = self._homography(candidate.asset, clock, (start, end), _PAIRS, mirrored, _TOLERANCE)
            if one is not None and (found is None or one.inliers > found.inliers):
                found = one
            if found is not None and found.inliers > _SURE_INLIERS:
                break
        if found is None:
            return None
        clock = self._timed(proxy, clock, found.warp, start, end)
        if found.inliers <= _SURE_INLIERS:
            more = self._homography(
                candidate.asset, clock, (start, end), _MANY_PAIRS, found.warp.mirrored, _FINE_TOLERANCE
            )
            if more is not None and more.inliers >= found.inliers:
                found = more
        warp = self._bent(proxy, clock, found.warp, start, end)
        if np.abs(warp.bend).max() >= _SLIGHT:
            clock = self._timed(proxy, clock, warp, start, end)
        agreements = []
        for kept, original in self._pairs(proxy, clock, start, end, _PAIRS):
            if not original.flat:
                own, copy = self._moved(original, kept, warp)
                agreements.append((copy.agreement(original, own), kept))
        good = [(agreement, kept) for agreement, kept in agreements if agreement >= LEAST_AGREEMENT]
        # One frame in common may be a logo's doing.
        if len(good) < 2:
            return None
        return _Anchor(candidate.asset, clock, warp, float(self._leak.kept[max(good)[1]]))

    def _homography(
        self, asset: int, clock: Clock, between: tuple[float, float], count: int, mirrored: bool, tolerance: float
    ) -> Found | None:
        """From features of ``count`` pairs of frames, which are kept for the next time they are asked for."""
        proxy = self._proxies[asset]
        pairs = []
        for kept, segment, number in self._times_of_pairs(proxy, clock, *between, count):
            original, copy = (asset, segment, number), (-1, kept, int(mirrored))
            if original not in self._features:
                self._features[original] = self._finder.features(proxy.segment(segment)[number])
            if copy not in self._features:
                self._features[copy] = self._finder.features(oriented(self._leak.picture(kept), mirrored))
            pairs.append((self._features[original], self._features[copy]))
        while len(self._features) > _CACHED_FEATURES:
            self._features.pop(next(iter(self._features)))
        return self._finder.homography(pairs, proxy.shape, self._leak.shape, mirrored, tolerance)

    def _bent(self, proxy: Proxy, clock: Clock, warp: Warp, start: float, end: float) -> Warp:
        """With the bend of the lens, from frames aligned each by itself: two rounds."""
        for _ in range(2):
            frames = []
            for kept, original in self._pairs(proxy, clock, start, end, _BEND_PAIRS):
                own, copy = self._moved(original, kept, warp)
                if not original.flat and copy.agreement(original, own) >= LEAST_AGREEMENT:
                    frames.append((original.luma, copy.luma, own))
            before, warp = warp, bent(warp, frames)
            if np.abs(warp.bend - before.bend).max() < _SLIGHT:
                break
        return warp

    def _moved(self, original: Original, kept: int, warp: Warp) -> tuple[Warp, Copy]:
        """The warp that fits one frame best, starting from that of all, and the frame of the copy."""
        copy = Copy(oriented(self._leak.picture(kept), warp.mirrored))
        own = refined(original, copy, warp, level=1, rounds=4)
        return (own if copy.agreement(original, own) > copy.agreement(original, warp) else warp), copy

    def _timed(self, proxy: Proxy, clock: Clock, warp: Warp, start: float, end: float) -> Clock:
        """The clock with the shift, up to six frames, at which the pictures agree best."""
        fps = float(proxy.asset.fps)
        sums = np.zeros(13)
        for kept, _, _ in self._times_of_pairs(proxy, clock, start, end, _TIME_FRAMES):
            copy = Copy(oriented(self._leak.picture(kept), warp.mirrored))
            time = clock.asset_s(float(self._leak.kept[kept]))
            shown = [proxy.shown_at(time + (index - 6) / fps) for index in range(13)]
            originals = [Original(proxy.segment(at[0])[at[1]]) if at else None for at in shown]
            agreements = np.array([copy.agreement(one, warp) if one else 0.0 for one in originals])
            if agreements.max() < _STILL:
                # The picture has moved: each frame with the warp that fits it best.
                own = [refined(one, copy, warp, level=1, rounds=4) if one else warp for one in originals]
                agreements = np.array([copy.agreement(o, w) if o else 0.0 for o, w in zip(originals, own, strict=True)])
            sums += agreements
        # Among equals the middle: a picture that stands still says nothing of time.
        best = int((sums - 1e-3 * np.abs(np.arange(13) - 6)).argmax())
        return Clock(clock.start_s + (best - 6) / fps, clock.speed)

    def _pairs(self, proxy: Proxy, clock: Clock, start: float, end: float, count: int) -> list[tuple[int, Original]]:
        return [
            (kept, Original(proxy.segment(segment)[number]))
            for kept, segment, number in self._times_of_pairs(proxy, clock, start, end, count)
        ]

    def _times_of_pairs(
        self, proxy: Proxy, clock: Clock, start: float, end: float, count: int
    ) -> Iterator[tuple[int, int, int]]:
        """Kept pictures of the copy between two times, evenly spread; segment and number of what they should show."""
        kept = self._leak.kept
        inside = np.flatnonzero((kept >= start) & (kept < end))
        if not inside.size:
            return
        for index in inside[np.unique(np.linspace(0, len(inside) - 1, count + 2)[1:-1].round().astype(int))]:
            shown = proxy.shown_at(clock.asset_s(float(kept[index])))
            if shown is not None:
                yield int(index), *shown

    def readings(self) -> list[AssetReading]:
        """What was found, asset by asset."""
        found = []
        for proxy, follower, passages in zip(self._proxies, self._followers, self._passages, strict=True):
            if not passages:
                continue
            seen = sorted((frame for one in passages for frame in one.frames), key=lambda frame: frame.leak_s)
            geometry = _geometry(self._leak, seen)
            steady = geometry.moved_px <= _CORNERS_PX
            positions = tuple(
                _position(proxy.asset, follower, at, gathered, steady)
                for at, gathered in sorted(follower.positions.items())
            )
            readable = [abs(one.z) for one in positions if not one.erased]
            self._progress("pictures", 0.0)
            found.append(
                AssetReading(
                    asset=proxy.asset.asset,
                    positions=positions,
                    runs=_runs(passages, 1 / float(proxy.asset.fps)),
                    geometry=geometry,
                    pictures=pictures(self._leak, proxy, seen, _PICTURES),
                    median_z=float(np.median(readable)) if readable else 0.0,
                    control_rms=float(np.sqrt(np.mean(np.square(follower.control())))),
                )
            )
        return found


def _chips_of(asset: Asset, chip_key_of: Callable[[str], bytes]) -> Callable[[int], Chips]:
    @lru_cache(maxsize=64)
    def of(position: int) -> Chips:
        return chips(chip_key_of(asset.asset), asset.asset, position, asset.grid.rows, asset.grid.columns)

    return of


def _starts(start: float, end: float, length: float) -> list[float]:
    """Where passages of a length begin that cover a stretch, each half over the next, the middle first."""
    spare = end - start - length
    if spare <= 1e-6:
        return [start]
    count = min(_STARTS, 1 + int(np.ceil(2 * spare / length)))
    starts = np.linspace(start, start + spare, count)
    return [float(one) for one in sorted(starts, key=lambda one: abs(one - start - spare / 2))]


def _position(asset: Asset, follower: Follower, at: int, gathered: Gathered, steady: bool) -> PositionReading:
    segment = asset.segments[at]
    # A hand moves the camera on while there is nothing to align by: where the cells lie is a guess then.
    lost = not steady and not gathered.aligned
    erased = gathered.silent or gathered.frames < _LEAST_FRAMES or lost
    return PositionReading(
        position=segment.position,
        z=0.0 if erased else follower.z(at),
        erased=erased,
        frames=gathered.frames,
        agreement=float(np.median(gathered.agreements)) if gathered.agreements else 0.0,
        start_s=segment.start_s,
        leak_s=gathered.leak_s,
    )


def _runs(passages: Sequence[_Passage], frame_s: float) -> tuple[Run, ...]:
    """Passages that go on where the one before ended are one."""
    joined: list[_Passage] = []
    for one in sorted(passages, key=lambda passage: passage.frames[0].leak_s):
        frames = sorted(one.frames, key=lambda frame: frame.leak_s)
        if joined and _one_clock(joined[-1].frames[-1], frames[0], one.clock.speed, frame_s):
            joined[-1].frames += frames
        else:
            joined.append(_Passage(frames, one.clock))
    timed = []
    for one in joined:
        telling = [frame for frame in one.frames if frame.timed]
        timed.append(
            Timed(
                np.array([frame.leak_s for frame in telling]),
                np.array([frame.asset_s for frame in telling]),
                one.clock.speed,
            )
        )
    return tuple(
        Run(
            leak_start_s=one.frames[0].leak_s,
            leak_end_s=one.frames[-1].leak_s,
            asset_start_s=one.frames[0].asset_s,
            asset_end_s=one.frames[-1].asset_s,
            speed=speed,
        )
        for one, speed in zip(joined, speeds(timed, frame_s), strict=True)
    )


def _one_clock(before: Seen, after: Seen, speed: float, frame_s: float) -> bool:
    """Whether there is no cut between two frames: the same time has passed in the asset and in the copy."""
    passed = speed * (after.leak_s - before.leak_s)
    return abs(after.asset_s - before.asset_s - passed) <= _CUT_FRAMES * frame_s


def _one_place(before: Seen, after: Seen) -> bool:
    moved = before.warp.corners() - after.warp.corners()
    return before.warp.mirrored == after.warp.mirrored and float(np.abs(moved).max()) <= _CORNERS_PX


def _geometry(leak: Leak, seen: list[Seen]) -> Geometry:
    rows, columns = leak.shape
    corners = np.stack([frame.warp.corners() for frame in seen])
    middle = np.median(corners, axis=0)
    warp = seen[int(np.abs(corners - middle).sum(axis=(1, 2)).argmin())].warp
    if warp.mirrored:
        middle = np.stack((columns - 1 - middle[:, 0], middle[:, 1]), axis=1)
    y, x = np.mgrid[0 : warp.shape[0] : 8, 0 : warp.shape[1] : 8].astype(np.float32)
    u, v = warp.places(x, y)
    moved = np.hypot(*(np.stack((u, v)) - np.stack(warp.straight_places(x, y))))
    return Geometry(
        corners=tuple((float(a) / columns, float(b) / rows) for a, b in middle),
        mirrored=warp.mirrored,
        visible=float(Warp.is_inside(u, v, leak.shape).mean()),
        bend_px=float(moved.max()),
        moved_px=float(np.median(np.hypot(*(corners - np.median(corners, axis=0)).transpose(2, 0, 1)).max(axis=1))),
    )
