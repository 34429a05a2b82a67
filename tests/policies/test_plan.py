"""A stream's policy over time: what was published stays, every edge is a boundary, and order alone decides."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.model import Hdcp, Outputs, Security, TrackType
from keys.periods import GUARD_MS, Clock, CryptoPeriod, RotationPolicy
from policies.model import FREE, Change, Group, GroupChange, Rekeying, RotationChange, Scene, ScenesChange, Terms
from policies.plan import ClockUnknownError, Plan

STRICT = Terms(Security.HARDWARE, Outputs(hdcp=Hdcp.V2_2))
GUARDED = Terms(Security.SOFTWARE, Outputs(hdcp=Hdcp.V1))
WALL = Clock.WALL
S = 1000
POLICY = RotationPolicy(600 * S, 30 * S)


def video(terms: Terms | None) -> dict[TrackType, Terms | None]:
    return {track: terms if track.rank else FREE for track in TrackType}


def scenes_at(since: int, *scenes: Scene, order: int = 1, zero: int | None = None, clock: Clock = WALL) -> ScenesChange:
    return ScenesChange(f"c{order}", order, {clock: since}, {clock: since if zero is None else zero}, scenes)


MAIN = Scene("main", 100 * S, 200 * S, video(STRICT))


def test_between_scenes_the_streams_own_terms_hold() -> None:
    plan = Plan(POLICY, {TrackType.HD: GUARDED}, (scenes_at(1000 * S, MAIN),))
    found = [(one.start, one.scene and one.scene.label, one.terms.get(TrackType.HD)) for one in plan.stretches(WALL)]
    assert found == [(0, None, GUARDED), (1100 * S, "main", STRICT), (1200 * S, None, GUARDED)]
    assert plan.terms_of(TrackType.HD, 1100 * S) == STRICT
    assert plan.terms_of(TrackType.HD, 1200 * S) == GUARDED
    assert plan.terms_of(TrackType.HD, None) == GUARDED
    assert plan.terms_of(TrackType.AUDIO, 1100 * S) == FREE


def test_a_scene_that_has_begun_is_cut_off_where_later_scenes_take_effect() -> None:
    first = scenes_at(0, Scene("a", 0, None, video(STRICT)))
    second = scenes_at(500 * S, Scene("b", 0, 900 * S, video(GUARDED)), order=2, zero=0)
    plan = Plan(POLICY, changes=(first, second))
    assert [(one.label, one.start, one.end) for one in plan.scenes(WALL)] == [
        ("a", 0, 500 * S),
        ("b", 500 * S, 900 * S),
    ]


def test_no_scenes_give_the_streams_own_terms_back() -> None:
    plan = Plan(POLICY, changes=(scenes_at(0, Scene("a", 0, None, video(STRICT))), scenes_at(900 * S, order=2)))
    assert plan.terms_of(TrackType.HD, 900 * S) == FREE
    assert plan.terms_of(TrackType.HD, 600 * S) == STRICT


def test_a_track_that_nobody_gets_in_a_scene() -> None:
    scene = Scene("a", 0, 100 * S, {**video(FREE), TrackType.UHD: None})
    plan = Plan(POLICY, changes=(scenes_at(600 * S, scene),))
    assert plan.terms_of(TrackType.UHD, 600 * S) is None
    assert plan.terms_of(TrackType.UHD, 700 * S) == FREE
    assert plan.best_track(lambda _: True, {}) is TrackType.HD


def test_a_clock_that_was_first_seen_after_a_stream_joined_its_group_is_under_its_terms() -> None:
    """Periods there may have the names of long past ones on the clock that the group was placed on."""
    joined = GroupChange("g", 1, {WALL: 10_000 * S}, Group("g", video(STRICT)))
    plan = Plan(POLICY, changes=(joined,))
    assert plan.terms_of(TrackType.HD, 600 * S) == FREE
    assert plan.terms_of(TrackType.HD, 600 * S, {WALL}) == FREE
    assert plan.terms_of(TrackType.HD, 600 * S, {WALL, Clock.SEQUENCE}) == STRICT


def test_players_that_cannot_change_renditions_get_what_every_scene_allows() -> None:
    plan = Plan(POLICY, changes=(scenes_at(0, replace(MAIN, terms=video(STRICT) | {TrackType.SD: FREE})),))

    def soft(terms: Terms) -> bool:
        return terms.in_clear

    assert plan.best_track(soft, {}) is TrackType.SD
    # What is over no longer counts.
    assert plan.best_track(soft, {WALL: 200 * S}) is TrackType.UHD


def test_scenes_on_a_clock_that_nobody_placed_them_on_are_unknown() -> None:
    plan = Plan(POLICY, changes=(scenes_at(0, MAIN),))
    with pytest.raises(ClockUnknownError, match="sequence"):
        plan.schedule(Clock.SEQUENCE)
    # There is nothing to be placed any more: whoever lost the clock gets the stream back by this.
    Plan(POLICY, changes=(scenes_at(0, MAIN), scenes_at(1, order=2))).schedule(Clock.SEQUENCE)


def test_a_title_rotates_only_where_it_is_told_to() -> None:
    change = RotationChange("r", 1, {Clock.MEDIA: 0, WALL: 0}, 60 * S, 10 * S)
    still, turning = (Plan(replace(POLICY, vod=vod), changes=(change,)).schedule(Clock.MEDIA) for vod in (False, True))
    assert still.period_at(10**9) == CryptoPeriod(0, None)
    assert turning.period_at(90 * S) == CryptoPeriod(60 * S, 120 * S)


def test_a_new_rhythm_counts_from_where_it_begins() -> None:
    plan = Plan(POLICY, changes=(RotationChange("r", 1, {WALL: 1000 * S}, 60 * S, 10 * S),))
    schedule = plan.schedule(WALL)
    assert [schedule.period_at(time * S).start // S for time in (599, 999, 1000, 1059, 1060)] == [
        0,
        600,
        1000,
        1000,
        1060,
    ]
    assert (plan.rotation_now.interval_ms, plan.rotation_now.pre_delivery_ms) == (60 * S, 10 * S)
    assert schedule.releasable_until(0) == 10 * S


def test_a_group_holds_from_where_it_was_joined_to_where_it_was_left() -> None:
    group = Group("g", {TrackType.HD: STRICT})
    changes = (GroupChange("1", 1, {WALL: 700 * S}, group), GroupChange("2", 2, {WALL: 900 * S}, None))
    plan = Plan(POLICY, {TrackType.HD: GUARDED}, changes)
    assert [plan.terms_of(TrackType.HD, period * S) for period in (600, 700, 900, 1200)] == [
        GUARDED, STRICT, GUARDED, GUARDED,
    ]  # fmt: skip
    assert (plan.group, Plan(POLICY, changes=changes[:1]).group) == (None, group)
    # On clocks that nobody had seen it has held from the beginning, for what is on them came later.
    joined = Plan(POLICY, {}, changes[:1])
    assert joined.stretch_at(Clock.SEQUENCE, 0).terms[TrackType.HD] == STRICT
    assert joined.terms_of(TrackType.HD, 7 * S) == STRICT


def test_an_emergency_is_another_generation_from_there_on() -> None:
    plan = Plan(POLICY, changes=(Rekeying("e", 1, {WALL: 1_000_500}, 1, 0), Rekeying("f", 2, {WALL: 2_000_500}, 2, 0)))
    assert [plan.epoch_of(period) for period in (None, 600 * S, 1_000_500, 1_200_000, 2_000_500)] == [0, 0, 1, 1, 2]
    assert plan.epoch == 2


SCENES = st.lists(
    st.tuples(st.integers(0, 900), st.integers(1, 300), st.sampled_from([FREE, GUARDED, STRICT, None])), max_size=4
)


@st.composite
def bodies(draw: st.DrawFn) -> Any:
    """What a change says, but from where on."""
    match draw(st.sampled_from(["scenes", "rotation", "group", "rekeying"])):
        case "scenes":
            at, scenes = 0, []
            for pause, length, terms in draw(SCENES):
                at += pause
                scenes.append(Scene(f"s{at}", at * S, (at + length) * S, video(terms)))
                at += length
            zero = draw(st.integers(-500, 2000)) * S
            return lambda name, order, since: ScenesChange(name, order, {WALL: since}, {WALL: zero}, tuple(scenes))
        case "rotation":
            interval = draw(st.sampled_from([0, 7, 60, 600])) * S
            return lambda name, order, since: RotationChange(name, order, {WALL: since}, interval, 5 * S)
        case "group":
            group = draw(st.sampled_from([None, Group("g", video(GUARDED)), Group("h", {TrackType.UHD: None})]))
            return lambda name, order, since: GroupChange(name, order, {WALL: since}, group)
        case _:
            return lambda name, order, since: Rekeying(name, order, {WALL: since}, order, 0)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, Change]]:
    """Changes in the order in which they were made, each with the latest segment that anybody had seen by then."""
    seen, history = 0, []
    for order, body in enumerate(draw(st.lists(bodies(), max_size=6)), start=1):
        seen += draw(st.integers(0, 400_000))
        # As orders are planned: no segment up to the latest that was seen is touched.
        since = seen + GUARD_MS + draw(st.integers(1, 5000))
        history.append((seen, body(f"c{order}", order, since)))
    return history


def face_of(plan: Plan, segment: int) -> Sequence[object]:
    """Everything about the key of a segment that its viewers have seen."""
    period = plan.schedule(WALL).period_of(segment).start
    return [period, plan.epoch_of(period), *(plan.terms_of(track, period) for track in TrackType)]


@given(histories(), st.lists(st.integers(0, 3_000_000), min_size=1, max_size=8))
def test_what_was_published_stays_whatever_is_ordered_later(
    history: list[tuple[int, Change]], times: list[int]
) -> None:
    plan = Plan(POLICY, {TrackType.UHD: GUARDED})
    for seen, change in history:
        later = replace(plan, changes=(*plan.changes, change))
        for segment in [*(time for time in times if time <= seen), seen]:
            assert face_of(later, segment) == face_of(plan, segment)
        plan = later


@given(histories())
def test_every_edge_is_a_boundary_and_every_period_is_under_one_set_of_terms(history: list[tuple[int, Change]]) -> None:
    plan = Plan(POLICY, {TrackType.UHD: GUARDED}, tuple(change for _, change in history))
    schedule = plan.schedule(WALL)
    stretches = list(plan.stretches(WALL))
    assert (stretches[0].start, stretches[-1].end) == (0, None)
    assert [one.end for one in stretches[:-1]] == [one.start for one in stretches[1:]]
    for change in plan.changes:
        if not isinstance(change, RotationChange) or plan.latest(RotationChange) is change:
            # Where nothing later began earlier and overruled it.
            assert schedule.period_at(change.since[WALL]).start == change.since[WALL]
    for stretch in stretches:
        assert schedule.period_at(stretch.start).start == stretch.start
        for track in TrackType:
            assert plan.terms_of(track, stretch.start) == stretch.terms.get(track, FREE)
        if stretch.end is not None:
            last = schedule.period_at(stretch.end - 1)
            assert plan.terms_of(TrackType.UHD, last.start) == stretch.terms.get(TrackType.UHD, FREE)


@given(histories(), st.randoms(use_true_random=False), st.integers(0, 3_000_000))
def test_the_order_of_arrival_does_not_matter(history: list[tuple[int, Change]], chance: Any, time: int) -> None:
    changes = [change for _, change in history]
    shuffled = chance.sample(changes, len(changes))
    one, other = (Plan(POLICY, {}, tuple(each)) for each in (changes, shuffled))
    assert face_of(one, time) == face_of(other, time)
    assert list(one.stretches(WALL)) == list(other.stretches(WALL))
    assert one.rotation_now == other.rotation_now


@given(histories(), st.integers(0, 3_000_000), st.lists(st.integers(0, 1_000_000), max_size=6))
def test_without_needless_changes_nothing_is_different_from_there_on(
    history: list[tuple[int, Change]], before: int, later: list[int]
) -> None:
    plan = Plan(POLICY, {TrackType.UHD: GUARDED}, tuple(change for _, change in history))
    needless = plan.needless({WALL: before})
    pruned = replace(plan, changes=tuple(change for change in plan.changes if change not in needless))
    for time in [before, *(before + more for more in later)]:
        assert pruned.schedule(WALL).period_at(time) == plan.schedule(WALL).period_at(time)
        assert pruned.stretch_at(WALL, time).terms == plan.stretch_at(WALL, time).terms
        assert face_of(pruned, time) == face_of(plan, time)
    # Those that stand last are never among them.
    assert {type(change) for change in pruned.changes} == {type(change) for change in plan.changes}
