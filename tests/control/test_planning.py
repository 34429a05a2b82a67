"""From where on a stream may change, and what is done away with when it does."""

import time
from dataclasses import replace

import pytest

from keys.periods import GUARD_MS, Clock, first_segment_at
from policies.model import ScenesChange
from policies.text import write_rekeying, write_rotation, write_scenes
from relay.control.errors import BodyTooLargeError, ConflictError
from relay.control.planning import MARGIN_MS, Standing, drafts_of, spread_of, standing_of
from relay.state.events import MAX_DOCUMENT_BYTES
from relay.timeline import KEPT_MS
from tests.control.desk import open_desk
from tests.control.studio import SEGMENT_S, open_studio

EDGES = {Clock.WALL: 1_800_000_000_000, Clock.SEQUENCE: 500_000, Clock.MEDIA: 60_000}
STANDING = Standing(1_800_000_012.0, EDGES, {Clock.WALL: 1, Clock.SEQUENCE: 2, Clock.MEDIA: 0}, {})


def test_an_event_begins_at_its_time_on_every_clock() -> None:
    # The origin's clock lags ours by twelve seconds: what it dates is what counts.
    assert STANDING.zero(1_800_000_100.0) == {
        Clock.WALL: 1_800_000_100_000,
        Clock.SEQUENCE: 600_000,
        Clock.MEDIA: 0,
    }
    alone = replace(STANDING, edges={Clock.SEQUENCE: 500_000})
    assert alone.zero(1_800_000_112.0) == {Clock.SEQUENCE: 600_000}
    # It may have begun before the stream did.
    assert alone.zero(1_799_999_000.0) == {Clock.SEQUENCE: 500_000 - 1_012_000}


def test_without_a_time_it_begins_where_changes_take_effect() -> None:
    assert STANDING.zero(None) == STANDING.since


def test_times_are_read_back() -> None:
    for clock in (Clock.WALL, Clock.SEQUENCE):
        assert STANDING.at_of(clock, STANDING.time_of(clock, 1_800_000_050.0)) == 1_800_000_050.0
    assert STANDING.at_of(Clock.MEDIA, 5) is None
    assert replace(STANDING, edges={}).at_of(Clock.SEQUENCE, 5) is None


def test_an_emergency_is_about_what_starts_at_the_edge_or_later() -> None:
    boundary = STANDING.next_segments[Clock.SEQUENCE]
    assert first_segment_at(boundary) <= 500_000 < boundary
    assert 500_000 - first_segment_at(boundary) < GUARD_MS
    assert STANDING.next_segments[Clock.MEDIA] == 0


async def test_a_live_stream_may_change_where_no_key_is_out_and_a_title_as_a_whole() -> None:
    async with open_studio() as studio:
        streams = {name: studio.stream(name, window="2m") for name in ("dated", "finished")}
        async with open_desk(streams=streams) as desk:
            stream, standing = await standing_of(desk.node, "dated")
            edge, since = standing.edges[Clock.WALL], standing.since[Clock.WALL]
            assert since == edge + 30_000 + GUARD_MS + MARGIN_MS
            assert first_segment_at(since) == stream.timeline.released_until(standing.now)[Clock.WALL] + MARGIN_MS
            assert standing.before[Clock.WALL] == edge - 120_000 - KEPT_MS
            _, standing = await standing_of(desk.node, "finished")
            assert (standing.since, standing.before) == ({Clock.MEDIA: 0}, {Clock.MEDIA: 0})


async def test_a_stream_listed_on_two_clocks_is_placed_on_both() -> None:
    async with open_studio() as studio:
        settings = studio.stream("numbered", dash="live.mpd")
        async with open_desk(streams={"both": settings}) as desk:
            _, standing = await standing_of(desk.node, "both")
            assert set(standing.edges) == {Clock.WALL, Clock.SEQUENCE}
            assert standing.edges[Clock.WALL] == pytest.approx(time.time() * 1000, abs=2 * SEGMENT_S * 1000)


async def test_what_is_overruled_goes_with_what_overrules_it() -> None:
    async with open_studio() as studio, open_desk(streams={"dated": studio.stream("dated")}) as desk:
        node = desk.node
        stream, standing = await standing_of(node, "dated")
        await node.registry.put(drafts_of(node, stream, standing, [write_scenes({Clock.WALL: 5}, {}, ())], "a"))
        await node.registry.put(drafts_of(node, stream, standing, [write_rotation({Clock.WALL: 5}, 0, 0)], "a"))
        stream = node.stream("dated")
        kept = {change.id for change in stream.plan.changes if not isinstance(change, ScenesChange)}
        # Its viewers may still be before the second: then both are needed.
        lately = [write_scenes({Clock.WALL: standing.edges[Clock.WALL]}, {}, ())]
        assert [bool(draft.body) for draft in drafts_of(node, stream, standing, lately, "a")] == [True]
        drafts = drafts_of(node, stream, standing, [write_scenes({Clock.WALL: 9}, {}, ())], "a")
        assert [bool(draft.body) for draft in drafts] == [True, False]
        await node.registry.put(drafts)
        names = {change.id for change in node.stream("dated").plan.changes}
        assert names == kept | {drafts[0].name.partition("/")[2]}


async def test_a_plan_has_room_for_so_much() -> None:
    async with open_studio() as studio, open_desk(streams={"dated": studio.stream("dated")}) as desk:
        stream, standing = await standing_of(desk.node, "dated")
        body = write_rekeying(standing.next_segments, 1, 0)
        with pytest.raises(BodyTooLargeError):
            drafts_of(desk.node, stream, standing, [body + bytes(MAX_DOCUMENT_BYTES)], "a")
        with pytest.raises(ConflictError):
            drafts_of(desk.node, stream, standing, [body], "a", most=0)
        assert len({draft.name for draft in drafts_of(desk.node, stream, standing, [body] * 8, "a")}) == 8


async def test_keys_needed_at_once_are_told_within_what_players_hold() -> None:
    async with open_studio() as studio:
        streams = {
            "dated": studio.stream("dated", rotation={"pre_delivery": "9s"}),
            "numbered": studio.stream("numbered", rotation={"interval": "0s", "pre_delivery": "0s"}),
        }
        async with open_desk(streams=streams) as desk:
            assert spread_of(desk.node.stream("dated")) == 6000
            assert spread_of(desk.node.stream("numbered")) == 0
            for name, spread in (("dated", 6000), ("numbered", 2000 * SEGMENT_S)):
                assert spread_of((await standing_of(desk.node, name))[0]) == spread
