"""The timeline: when a key may go out, by what the manifests showed and never by our own clock alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.model import TrackType
from keys.periods import GUARD_MS, Clock, RotationPolicy, Schedule
from relay.manifest.context import Observed
from relay.timeline import MAX_EXTRAPOLATION_MS, StreamTimeline

INTERVAL, LEAD, KEEP = 60_000, 10_000, 300_000
START = 1_000_000_020_000
"""A boundary of wall-clock stream time: a multiple of the interval."""
NOW = 500.0
"""The node's clock, which has nothing to do with the stream's."""

LIVE = Schedule(RotationPolicy(INTERVAL, LEAD))
WHOLE = Schedule(RotationPolicy(0, 0))


def timeline(vod: Schedule = WHOLE) -> StreamTimeline:
    return StreamTimeline(lambda clock: vod if clock is Clock.MEDIA else LIVE, KEEP)


def observed(edge: int, **changes: Any) -> Observed:
    values = {"clock": Clock.WALL, "first": edge - 30_000, "edge": edge, "final": False, "tracks": frozenset()}
    return Observed(**{**values, **changes})


def seen(edge: int, **changes: Any) -> StreamTimeline:
    found = timeline()
    found.observe(observed(edge, **changes), NOW)
    return found


def starts(found: StreamTimeline, now: float) -> list[int]:
    return [period.start - START for period in found.periods(now)]


def test_nothing_is_released_before_anything_was_seen() -> None:
    found = timeline()
    assert (found.known, found.periods(NOW), found.next_release(NOW), found.stream_now(NOW)) == (False, (), None, 0)
    assert not found.released(0, NOW)


def test_the_next_key_is_released_the_lead_before_its_first_segment() -> None:
    found = seen(START)
    due = (INTERVAL - GUARD_MS - LEAD) / 1000
    assert found.next_release(NOW) == NOW + due
    assert starts(found, NOW + due - 0.001) == [-INTERVAL, 0]
    assert starts(found, NOW + due) == [-INTERVAL, 0, INTERVAL]
    assert not found.released(START + INTERVAL, NOW + due - 0.001)
    assert found.released(START + INTERVAL, NOW + due)
    assert not found.released(START + 2 * INTERVAL, NOW + due)


def test_after_a_release_the_one_after_is_due() -> None:
    found = seen(START)
    due = found.next_release(NOW)
    assert due is not None
    assert found.next_release(due) == due + INTERVAL / 1000


def test_keys_are_sent_ahead_until_a_segment_under_them_must_be_listed() -> None:
    found = seen(START + INTERVAL - 20_000, segment_ms=6000)
    first = 20 - GUARD_MS / 1000

    def coming(after: float) -> list[int]:
        return [period.start - START for period in found.coming(NOW + after)]

    release = first - LEAD / 1000
    assert [coming(release - 0.01), coming(release)] == [[], [INTERVAL]]
    # A segment that began right before the period may end 6 s after its start, and the next one 6 s later.
    assert [coming(first + 11.99), coming(first + 12)] == [[INTERVAL], []]


def test_of_what_has_ended_nothing_is_sent_ahead() -> None:
    found = seen(START)
    found.observe(observed(START + INTERVAL, final=True, segment_ms=6000), NOW)
    assert found.coming(NOW) == []


def test_a_clock_of_ours_that_is_wrong_changes_nothing() -> None:
    for shift in (-3600.0, 3600.0, 1e9):
        found = timeline()
        found.observe(observed(START), NOW + shift)
        assert found.stream_now(NOW + shift + 1) == START + 1000
        assert not found.released(START + INTERVAL, NOW + shift)


def test_time_that_runs_backwards_takes_nothing_away() -> None:
    found = seen(START)
    assert found.stream_now(NOW - 3600) == START
    assert found.released(START, NOW - 3600)


def test_an_origin_that_stopped_releases_no_more_keys() -> None:
    found = seen(START)
    assert found.stream_now(NOW + 10_000) == START + MAX_EXTRAPOLATION_MS
    assert not found.released(START + 2 * INTERVAL, NOW + 10_000)
    found.observe(observed(START + 100_000), NOW + 10_000)
    assert found.stream_now(NOW + 10_000) == START + 100_000


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(-20_000, 0)), max_size=20))
def test_renditions_that_lag_never_move_the_edge_back(sightings: list[tuple[float, int]]) -> None:
    found = seen(START)
    latest = START
    for after, lag in sorted(sightings):
        now = NOW + after
        found.observe(observed(START + int(after * 1000) + lag), now)
        assert latest <= found.stream_now(now) <= START + after * 1000
        latest = found.stream_now(now)


def test_the_window_is_bounded_in_live() -> None:
    found = seen(START + 10 * INTERVAL, first=0)
    released = starts(found, NOW)
    assert released[0] == (10 * INTERVAL - KEEP) // INTERVAL * INTERVAL
    assert released[-1] == 10 * INTERVAL
    assert len(released) == KEEP // INTERVAL + 1


def test_the_window_is_no_longer_than_what_is_listed() -> None:
    assert starts(seen(START + INTERVAL, first=START), NOW) == [0, INTERVAL]


def test_the_end_of_a_stream_releases_no_further_key() -> None:
    found = seen(START)
    found.observe(observed(START + 20_000, final=True), NOW + 30)
    assert found.next_release(NOW + 30) is None
    assert found.stream_now(NOW + 10_000) == START + 20_000
    assert not found.released(START + INTERVAL, NOW + 10_000)


@pytest.mark.parametrize("order", [1, -1])
def test_renditions_that_end_apart_keep_the_keys_of_the_longest(order: int) -> None:
    found = timeline(vod=LIVE)
    for first, edge in [(0, 5 * INTERVAL), (30_000, 2 * INTERVAL)][::order]:
        found.observe(observed(edge, first=first, clock=Clock.MEDIA, final=True), NOW)
    assert [period.start for period in found.periods(NOW)] == [n * INTERVAL for n in range(6)]


def test_a_rendition_that_ends_early_does_not_end_what_others_showed() -> None:
    found = seen(START + INTERVAL)
    found.observe(observed(START, final=True), NOW)
    assert found.released(START + INTERVAL, NOW)


def test_vod_has_one_key_unless_it_rotates() -> None:
    whole = timeline()
    whole.observe(observed(3_600_000, first=0, clock=Clock.MEDIA, final=True), NOW)
    assert [period.start for period in whole.periods(NOW)] == [0]
    rotating = timeline(vod=LIVE)
    rotating.observe(observed(3_600_000, first=0, clock=Clock.MEDIA, final=True), NOW)
    assert len(rotating.periods(NOW)) == 61


def test_two_clocks_have_their_own_periods() -> None:
    found = seen(START)
    found.observe(observed(3 * INTERVAL, clock=Clock.SEQUENCE, first=2 * INTERVAL), NOW)
    listed = [period.start for period in found.periods(NOW)]
    assert listed == [2 * INTERVAL, 3 * INTERVAL, START - INTERVAL, START]
    assert found.stream_now(NOW) == START
    assert found.next_release(NOW) == NOW + (INTERVAL - GUARD_MS - LEAD) / 1000


def test_the_end_on_one_clock_is_not_that_of_the_other() -> None:
    found = seen(START)
    found.observe(observed(INTERVAL, clock=Clock.MEDIA, final=True), NOW)
    assert found.next_release(NOW) is not None


def test_track_types_add_up() -> None:
    found = seen(START, tracks=frozenset({TrackType.HD}))
    found.observe(observed(START - 60_000, tracks=frozenset({TrackType.AUDIO})), NOW)
    found.note_tracks(frozenset({TrackType.SD}))
    assert found.tracks == {TrackType.HD, TrackType.AUDIO, TrackType.SD}


def test_a_stream_without_rotation_has_one_period() -> None:
    found = StreamTimeline(lambda _: WHOLE, KEEP)
    found.observe(observed(START), NOW)
    assert [(period.start, period.end) for period in found.periods(NOW)] == [(0, None)]
    assert found.next_release(NOW) is None


@given(
    steps=st.lists(
        st.tuples(st.integers(-2_000, 90_000), st.none() | st.tuples(st.integers(-200_000, 200_000), st.booleans())),
        max_size=12,
    )
)
def test_what_is_kept_of_the_window_is_what_a_new_look_gives(
    steps: list[tuple[int, tuple[int, bool] | None]],
) -> None:
    kept, now_ms = timeline(), round(NOW * 1000)
    for wait_ms, manifest in steps:
        now_ms += wait_ms
        now = now_ms / 1000
        if manifest is not None:
            moved, final = manifest
            kept.observe(observed(START + now_ms + moved, final=final), now)
        window = kept.window(now)
        kept.note_tracks(frozenset())  # forgets what was kept
        assert window == kept.window(now)
        kept.window(now)


def test_a_steady_window_is_the_same_object() -> None:
    found = seen(START)
    assert found.window(NOW) is found.window(NOW + 0.01)
