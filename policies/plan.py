"""A stream's policy over time: its base, as configured, and the changes since. Pure.

Every change holds from a place in the stream that nobody has seen yet, so what was published keeps its keys and
terms. Changes are folded in the order all nodes agree on, whatever the order in which they came.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from keys.model import TrackType
from keys.periods import WHOLE, Clock, Grid, RotationPolicy, Schedule
from policies.model import (
    FREE,
    Change,
    Group,
    GroupChange,
    Rekeying,
    RotationChange,
    Scene,
    ScenesChange,
    Terms,
    TermsByTrack,
    UnreadableChange,
)

Meets = Callable[[Terms], bool]
"""Whether a device meets terms."""
MAX_CHANGES = 64
"""Of one stream that matter at a time."""


C = TypeVar("C", bound=Change)


class ClockUnknownError(ValueError):
    """A stream's scenes were placed on other clocks than the one asked about."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Stream time [start, end) under the same terms, in one scene or outside of all. ``end`` None: for ever."""

    start: int
    end: int | None
    scene: Scene | None
    terms: TermsByTrack


@dataclass(frozen=True)
class Plan:
    """What holds when, in one stream. ``terms`` are those of its configuration; ``changes`` are in any order."""

    rotation: RotationPolicy
    terms: TermsByTrack = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    @cached_property
    def _ordered(self) -> tuple[Change, ...]:
        return tuple(sorted(self.changes, key=lambda change: (change.order, change.id)))

    @cached_property
    def _by_clock(self) -> Mapping[Clock, "_OnClock"]:
        return {clock: _place(self, self._ordered, clock) for clock in Clock}

    def latest(self, kind: type[C]) -> C | None:
        """The change of a kind that stands last; None where there was none."""
        return next((change for change in reversed(self._ordered) if isinstance(change, kind)), None)

    def knows(self, clock: Clock) -> bool:
        """Whether it is known what holds when on a clock: where there are scenes, they must have been placed on it."""
        return not self._unreadable and (not self.has_scenes or self._by_clock[clock].has_scenes)

    @cached_property
    def _unreadable(self) -> bool:
        return self.latest(UnreadableChange) is not None

    @cached_property
    def has_scenes(self) -> bool:
        """Whether any scenes stand."""
        standing = self.latest(ScenesChange)
        return standing is not None and bool(standing.scenes)

    def schedule(self, clock: Clock) -> Schedule:
        """The crypto periods on a clock: every scene edge and every change begins one.

        Raises :class:`ClockUnknownError` where there are scenes, and nobody knows where they lie on this clock, and
        where a change cannot be read: what it asks for must not be given away.
        """
        if self._unreadable:
            raise ClockUnknownError("a change of its policy cannot be read here: is this node of an older version?")
        if not self.knows(clock):
            raise ClockUnknownError(f"its scenes were not placed on the {clock} clock, which this manifest is on")
        return self._by_clock[clock].schedule

    @cached_property
    def rotation_now(self) -> RotationPolicy:
        """The rotation in force last, of a live stream."""
        change = self.latest(RotationChange)
        if change is None:
            return self.rotation
        return replace(self.rotation, interval_ms=change.interval_ms, pre_delivery_ms=change.pre_delivery_ms)

    @property
    def group(self) -> Group | None:
        """The group that the stream is in now."""
        change = self.latest(GroupChange)
        return None if change is None else change.group

    @property
    def own_terms(self) -> TermsByTrack:
        """The terms outside of every scene, as they are now."""
        return _own(self, self.group)

    @property
    def epoch(self) -> int:
        """How many times all keys were replaced so far."""
        return max((change.epoch for change in self.changes if isinstance(change, Rekeying)), default=0)

    def stretches(self, clock: Clock, since: int = 0) -> Iterator[Stretch]:
        """What holds on a clock from a time on, without a gap, to the end of the stream."""
        placed = self._by_clock[clock]
        yield from placed.stretches[placed.index(since) :]

    def stretch_at(self, clock: Clock, time: int) -> Stretch:
        """What holds on a clock at a time."""
        return self._by_clock[clock].at(time)

    def scenes(self, clock: Clock) -> tuple[Scene, ...]:
        """The scenes on a clock in stream time, in order; between them the stream's own terms hold."""
        return self._by_clock[clock].scenes

    def terms_of(self, track: TrackType, period: int | None, seen_on: Collection[Clock] = ()) -> Terms | None:
        """The terms of a track in the crypto period named ``period``; None: nobody gets it.

        Where the stream is on several clocks on which a period may have this name, the strictest: those that changes
        were placed on, and those that it was ``seen_on`` since. The stable key, named None, encrypts nothing and has
        the stream's own terms.
        """
        found: Terms | None = None
        for clock, placed in self._by_clock.items():
            if period is None or not (placed.known or clock in seen_on) or not placed.begins(period):
                continue
            terms = placed.at(period).terms.get(track, FREE)
            if terms is None:
                return None
            found = terms if found is None else found.stricter(terms)
        if found is None and period is not None and self.has_scenes:
            # No period of this stream: nobody can say in which scene it would lie.
            return None
        return self.own_terms.get(track, FREE) if found is None else found

    def epoch_of(self, period: int | None) -> int:
        """How many times all keys had been replaced before the period of this name; 0 for the stable key."""
        if period is None or not self.epoch:
            return 0
        clocks = [clock for clock, placed in self._by_clock.items() if placed.begins(period)]
        return max(
            (
                change.epoch
                for change in self.changes
                if isinstance(change, Rekeying)
                and any(period >= change.since[clock] for clock in clocks if clock in change.since)
            ),
            default=0,
        )

    def best_track(self, meets: Meets, since: Mapping[Clock, int]) -> TrackType:
        """The best video that a device which ``meets`` terms may have in all scenes since then that have any for it.

        For players with one list of renditions for all the time: one that it may have only now and then would stall
        it. Audio where no scene gives it any video.
        """
        best: TrackType | None = None
        for clock, placed in self._by_clock.items():
            if not placed.known:
                continue
            for stretch in self.stretches(clock, since.get(clock, 0)):
                track = best_of(stretch.terms, meets)
                if track.rank and (best is None or track.rank < best.rank):
                    best = track
        return best_of(self.own_terms, meets) if best is None else best

    def spread_ms(self, before: "Plan") -> int | None:
        """Over how long sessions are to be told of emergency rotations since the plan ``before``; None without any."""
        known = {change.id for change in before.changes}
        since = [c.spread_ms for c in self.changes if isinstance(c, Rekeying) and c.id not in known]
        # Whoever is told of two at once needs the sooner one no later for the other.
        return min(since, default=None)

    def needless(self, before: Mapping[Clock, int]) -> list[Change]:
        """Changes of which nothing is left from ``before`` on, for later ones of their kind overrule them."""
        return [
            change
            for at, change in enumerate(self._ordered)
            if not isinstance(change, UnreadableChange)
            and any(
                type(later) is type(change)
                and all(
                    since <= later.since.get(clock, -1) <= before.get(clock, 0) for clock, since in change.since.items()
                )
                for later in self._ordered[at + 1 :]
            )
        ]


@dataclass(frozen=True, slots=True)
class _OnClock:
    """The plan on one clock. ``known``: what changes its terms was placed on it; ``has_scenes``: and so were scenes."""

    schedule: Schedule
    scenes: tuple[Scene, ...]
    stretches: tuple[Stretch, ...]
    known: bool
    has_scenes: bool

    def begins(self, period: int) -> bool:
        return self.schedule.period_at(period).start == period

    def index(self, time: int) -> int:
        return max(0, bisect_right(self.stretches, time, key=_start) - 1)

    def at(self, time: int) -> Stretch:
        return self.stretches[self.index(time)]


def _place(plan: Plan, ordered: Iterable[Change], clock: Clock) -> _OnClock:
    policy = plan.rotation.for_vod() if clock is Clock.MEDIA else plan.rotation
    grids = [Grid(WHOLE, policy.interval_ms)]
    own = [(WHOLE, plan.terms)]
    scenes: list[Scene] = []
    edges: set[int] = set()
    known = has_scenes = False
    for change in ordered:
        since = change.since.get(clock)
        if since is None:
            if isinstance(change, GroupChange):
                # Nothing of this clock had been seen by then, so all of it came after.
                own = [(WHOLE, _own(plan, change.group))]
            continue
        match change:
            case ScenesChange():
                known = has_scenes = True
                scenes = [*_until(scenes, since), *_from(change, clock, since)]
                edges.add(since)
            case GroupChange():
                known = True
                own = [*(one for one in own if one[0] < since), (since, _own(plan, change.group))]
                edges.add(since)
            case RotationChange() if clock is not Clock.MEDIA or policy.vod:
                policy = replace(policy, interval_ms=change.interval_ms, pre_delivery_ms=change.pre_delivery_ms)
                grids = [*(grid for grid in grids if grid.since < since), Grid(since, change.interval_ms)]
            case Rekeying():
                edges.add(since)
            case _:
                pass
    edges |= {edge for scene in scenes for edge in (scene.start, scene.end) if edge is not None}
    schedule = Schedule(policy, tuple(sorted(edges)), tuple(grids))
    return _OnClock(schedule, tuple(scenes), tuple(_stretches(scenes, own)), known, has_scenes)


def _own(plan: Plan, group: Group | None) -> TermsByTrack:
    return plan.terms if group is None else {**plan.terms, **group.terms}


def _stretches(scenes: Iterable[Scene], own: Iterable[tuple[int, TermsByTrack]]) -> Iterator[Stretch]:
    """The stretches of a stream, from its beginning to its end; ``own`` are its own terms, by when they begin."""
    changes = dict(own)
    starting = {scene.start: scene for scene in scenes}
    ending = {scene.end for scene in starting.values() if scene.end is not None}
    points = sorted({WHOLE, *changes, *starting, *ending})
    scene: Scene | None = None
    terms: TermsByTrack = {}
    for start, end in zip(points, [*points[1:], None], strict=True):
        if start in ending:
            scene = None
        scene = starting.get(start, scene)
        terms = changes.get(start, terms)
        yield Stretch(start, end, scene, terms if scene is None else _within(terms, scene.terms))


def _within(own: TermsByTrack, scene: TermsByTrack) -> TermsByTrack:
    """The terms of a scene, which gives nothing that its stream withholds altogether."""
    return {track: own.get(track, FREE) and scene.get(track, own.get(track, FREE)) for track in TrackType}


def _until(scenes: Iterable[Scene], time: int) -> list[Scene]:
    """What of placed scenes lies before a time."""
    return [
        scene if scene.end is not None and scene.end <= time else replace(scene, end=time)
        for scene in scenes
        if scene.start < time
    ]


def _from(change: ScenesChange, clock: Clock, since: int) -> list[Scene]:
    """The scenes of a change, placed on a clock, as far as they lie at or after a time."""
    zero = change.zero.get(clock, 0)
    placed = []
    for scene in sorted(change.scenes, key=lambda scene: scene.start):
        end = None if scene.end is None else zero + scene.end
        start = max(zero + scene.start, since)
        if end is None or end > start:
            placed.append(replace(scene, start=start, end=end))
    return placed


def _start(stretch: Stretch) -> int:
    return stretch.start


def best_of(terms: TermsByTrack, meets: Meets) -> TrackType:
    """The best track that a device which ``meets`` terms may have."""

    def fits(track: TrackType) -> bool:
        wanted = terms.get(track, FREE)
        return wanted is not None and meets(wanted)

    return max((track for track in TrackType if fits(track)), key=lambda track: track.rank, default=TrackType.AUDIO)
