"""Scenes over HTTP: set, told where they lie, replaced, taken back."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest

from keys.model import Hdcp, Scheme, Security, TrackType
from keys.periods import Clock, first_segment_at
from policies.plan import MAX_CHANGES
from tests.control.desk import Desk, open_desk
from tests.control.studio import Studio, open_studio

PATH = "/api/v1/drm/protection-policy"
HOUR_MS = 3_600_000
LEAD_MS = 30_000
EVENT: dict[str, Any] = {
    "scenes": [
        {"label": "pre-game", "start": "00:00:00", "end": "01:00:00", "drm_level": "L3", "hdcp": False},
        {"label": "main-event", "start": "01:00:00", "end": "04:00:00", "drm_level": "L1", "hdcp": "2.2"},
        {"label": "post-game", "start": "04:00:00", "end": "05:00:00", "drm_level": "L3", "hdcp": False},
    ]
}


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    async with open_studio() as made:
        yield made


@pytest.fixture
async def desk(studio: Studio) -> AsyncIterator[Desk]:
    """A desk over one stream of each kind."""
    names = ("dated", "numbered", "finished")
    async with open_desk(streams={name: studio.stream(name) for name in names}) as made:
        yield made


def of(stream: str, **body: Any) -> dict[str, Any]:
    return {**EVENT, "stream_id": stream, **body}


async def put(desk: Desk, body: Any, query: str = "", **headers: str) -> Any:
    status, answer, _ = await desk.call("PUT", PATH + query, body, **headers)
    assert status == 200, answer
    return answer


async def test_an_event_that_starts_at_a_time_lies_there(desk: Desk) -> None:
    begins = int(time.time()) + 7200
    answer = await put(desk, of("dated", starts_at=datetime.fromtimestamp(begins, UTC).isoformat()))
    assert answer["scenes"] == [
        # What is as if it had not been said is not repeated.
        {key: value for key, value in scene.items() if value is not False}
        for scene in EVENT["scenes"]
    ]
    placed = answer["clocks"]["wall"]["scenes"]
    assert [(one["label"], one["start"]["at"] - begins) for one in placed] == [
        ("pre-game", 0),
        ("main-event", 3600),
        ("post-game", 14400),
    ]
    assert placed[1]["start"]["time"] == begins * 1000 + HOUR_MS == placed[0]["end"]["time"]
    main = placed[1]["terms"]
    assert (main["hd"]["drm_level"], main["hd"]["hdcp"]) == ("L1", "2.2")
    assert "hdcp" not in main["audio"] or main["audio"]["hdcp"] == "none"
    stream = desk.node.stream("dated")
    slot = stream.slot_of(TrackType.HD, Scheme.CENC, begins * 1000 + HOUR_MS)
    terms = stream.terms_of(slot)
    assert terms
    assert (terms.security, terms.outputs.hdcp) == (Security.HARDWARE, Hdcp.V2_2)
    assert not stream.in_clear(slot)


async def test_without_a_time_it_begins_where_nobody_has_been(desk: Desk) -> None:
    answer = await put(desk, of("dated"))
    placed = answer["clocks"]["wall"]
    edge, since = placed["edge"]["time"], placed["takes_effect_at"]["time"]
    assert edge + LEAD_MS < first_segment_at(since) < edge + LEAD_MS + 5000
    assert placed["scenes"][0]["start"]["time"] == since
    assert not desk.node.stream("dated").timeline.released(since, desk.node.clock())


async def test_streams_without_dates_are_placed_by_their_edge(desk: Desk) -> None:
    begins = time.time() + 3600
    placed = (await put(desk, of("numbered", starts_at=begins)))["clocks"]["sequence"]
    start = placed["scenes"][0]["start"]
    assert start["time"] - placed["edge"]["time"] == pytest.approx(HOUR_MS, abs=5000)
    assert start["at"] == pytest.approx(begins, abs=0.01)


async def test_a_finished_title_has_its_scenes_from_its_beginning(desk: Desk) -> None:
    placed = (await put(desk, of("finished")))["clocks"]["media"]
    assert [one["start"] for one in placed["scenes"]] == [
        {"time": 0, "at": None},
        {"time": HOUR_MS, "at": None},
        {"time": 4 * HOUR_MS, "at": None},
    ]
    schedule = desk.node.stream("finished").schedule_of(Clock.MEDIA)
    assert [period.start for period in schedule.between(0, 6 * HOUR_MS)] == [
        0, HOUR_MS, 4 * HOUR_MS, 5 * HOUR_MS,
    ]  # fmt: skip
    status, body, _ = await desk.call("PUT", PATH, of("finished", starts_at=time.time()))
    assert (status, body["errors"][0]["pointer"]) == (400, "/starts_at")


async def test_reading_gives_what_was_set_and_deleting_takes_it_back(desk: Desk) -> None:
    assert (await desk.get(f"{PATH}?stream_id=dated"))["version"] == "configured"
    put_answer = await put(desk, of("dated"))
    read = await desk.get(f"{PATH}?stream_id=dated")
    assert read["version"] == put_answer["version"]
    assert [one["label"] for one in read["clocks"]["wall"]["scenes"]] == ["pre-game", "main-event", "post-game"]
    assert "change" not in read
    assert put_answer["change"]["complete"]
    status, answer, _ = await desk.call("DELETE", f"{PATH}?stream_id=dated")
    assert (status, answer["scenes"]) == (200, [])
    assert [one for one in answer["clocks"]["wall"]["scenes"] if one["end"] is None] == []
    status, again, _ = await desk.call("DELETE", f"{PATH}?stream_id=dated")
    assert (status, again["version"], "change" in again) == (200, answer["version"], False)
    since = answer["clocks"]["wall"]["takes_effect_at"]["time"]
    assert desk.node.stream("dated").plan.stretch_at(Clock.WALL, since + 2 * HOUR_MS).scene is None


async def test_a_change_is_made_only_to_what_was_seen(desk: Desk) -> None:
    status, _, headers = await desk.call("GET", f"{PATH}?stream_id=dated")
    seen = headers["ETag"]
    _, _, headers = await desk.call("PUT", PATH, of("dated"), If_Match=seen)
    now = headers["ETag"]
    assert now != seen
    status, body, _ = await desk.call("PUT", PATH, of("dated"), If_Match=seen)
    assert (status, body["code"]) == (412, "precondition_failed")
    status, _, _ = await desk.call("GET", f"{PATH}?stream_id=dated", If_None_Match=now)
    assert status == 304
    status, _, _ = await desk.call("DELETE", f"{PATH}?stream_id=dated", If_Match=now)
    assert status == 200


async def test_two_at_once_with_one_condition_are_one(desk: Desk) -> None:
    _, _, headers = await desk.call("GET", f"{PATH}?stream_id=dated")
    calls = [desk.call("PUT", PATH, of("dated"), If_Match=headers["ETag"]) for _ in range(4)]
    assert sorted(status for status, _, _ in await asyncio.gather(*calls)) == [200, 412, 412, 412]


@pytest.mark.parametrize(
    ("scenes", "pointer"),
    [
        ([{"label": "a", "start": "00:00:10", "end": "00:00:05", "drm_level": "L1"}], "/scenes/0/end"),
        (
            [
                {"label": "b", "start": "00:10:00", "end": "00:20:00", "drm_level": "L1"},
                {"label": "a", "start": "00:00:00", "end": "00:10:01", "drm_level": "L1"},
            ],
            "/scenes/0/start",
        ),
        ([{"label": "a", "start": "00:00:00", "drm_level": "L9"}], "/scenes/0/drm_level"),
        ([{"label": "a", "start": "0:0:0", "drm_level": "L1"}], "/scenes/0/start"),
        ([{"label": "a", "start": "00:00:00", "drm_level": "L1", "hdcp": "9"}], "/scenes/0/hdcp"),
        ([{"label": "a", "start": "00:00:00"}], "/scenes/0"),
        ([{"label": "", "start": "00:00:00", "drm_level": "L1"}], "/scenes/0/label"),
        ([{"label": "a", "start": "00:00:00", "drm_level": "L1", "tracks": {"8k": None}}], "/scenes/0/tracks"),
        ([{"label": "a", "start": "00:00:00", "drm_level": "L1", "tracks": {"sd": {"hdcp": 2}}}], "/scenes/0/tracks"),
        ([{"label": "a", "start": "00:00:00", "drm_level": "L1"}] * 97, "/scenes"),
    ],
)
async def test_scenes_that_make_no_sense_are_pointed_at(desk: Desk, scenes: Any, pointer: str) -> None:
    status, body, _ = await desk.call("PUT", PATH, {"stream_id": "dated", "scenes": scenes})
    assert (status, body["errors"][0]["pointer"]) == (400, pointer)
    assert desk.node.stream("dated").plan.changes == ()


@pytest.mark.parametrize(
    ("body", "query", "status"),
    [
        (EVENT, "", 400),
        ({**EVENT, "stream_id": "dated"}, "?stream_id=numbered", 400),
        ({**EVENT, "stream_id": "other"}, "", 404),
        ({**EVENT, "stream_id": "../x"}, "", 400),
        ({**EVENT, "stream_id": "dated", "starts_at": "2027-01-01T00:00:00"}, "", 400),
        ({**EVENT, "stream_id": "dated", "starts_at": 1e15}, "", 400),
        ({**EVENT, "stream_id": "dated", "extra": 1}, "", 400),
        ([], "", 400),
        (b"{", "", 400),
    ],
)
async def test_bad_orders(desk: Desk, body: Any, query: str, status: int) -> None:
    got, answer, _ = await desk.call("PUT", PATH + query, body)
    assert got == status, answer
    assert all(not stream.plan.changes for stream in desk.node.streams.values())


async def test_the_stream_need_not_be_named_where_there_is_one(studio: Studio) -> None:
    async with open_desk(streams={"dated": studio.stream("dated")}) as desk:
        assert (await put(desk, EVENT))["stream_id"] == "dated"
        status, _, _ = await desk.call("POST", PATH, EVENT)
        assert status == 200


async def test_an_origin_out_of_reach_is_said_so(desk: Desk, studio: Studio) -> None:
    studio.gone.add("dated")
    status, body, _ = await desk.call("PUT", PATH, of("dated"))
    assert (status, body["code"]) == (503, "timeline_unknown")
    assert (await desk.get(f"{PATH}?stream_id=dated"))["clocks"] == {}
    # What was once seen is enough.
    studio.gone.clear()
    await put(desk, of("dated"))
    studio.gone.add("dated")
    await put(desk, of("dated"))


async def test_published_keys_stay_whatever_is_ordered_later(desk: Desk) -> None:
    stream = desk.node.stream("dated")
    await desk.get(f"{PATH}/timeline?stream_id=dated")
    now = desk.node.clock()
    published = {
        period.start: (stream.terms_of(slot), slot)
        for period in stream.timeline.periods(now)
        for slot in [stream.slot_of(TrackType.HD, Scheme.CENC, period.start)]
    }
    main = [{"label": "main", "start": "00:00:00", "drm_level": "L1", "hdcp": True}]
    await put(desk, of("dated", scenes=main, starts_at=now - 3600))
    changed = desk.node.stream("dated")
    for start, (terms, slot) in published.items():
        assert changed.slot_of(TrackType.HD, Scheme.CENC, start) == slot
        assert changed.terms_of(slot) == terms
    since = changed.plan.changes[0].since[Clock.WALL]
    terms = changed.terms_of(changed.slot_of(TrackType.HD, Scheme.CENC, since))
    assert terms
    assert terms.security is Security.HARDWARE


async def test_the_timeline_says_what_holds_when(desk: Desk) -> None:
    begins = int(time.time()) + 7200
    await put(desk, of("dated", starts_at=begins))
    here = await desk.get(f"{PATH}/timeline?stream_id=dated&limit=256")
    assert (here["scene"], here["clock"], here["published"], here["epoch"]) == (None, "wall", True, 0)
    edges = {one["start"]["at"] - begins: one["scene"] for one in here["boundaries"]}
    assert (edges[0], edges[3600], edges[14400], edges[18000]) == ("pre-game", "main-event", "post-game", None)
    moment = datetime.fromtimestamp(begins + 3700, UTC).isoformat().replace("+00:00", "Z")
    for at in ("01:01:40", moment, str((begins + 3700) * 1000)):
        there = await desk.get(f"{PATH}/timeline?stream_id=dated&at={at}")
        assert (there["scene"], there["moment"]["at"], there["published"]) == ("main-event", begins + 3700, False)
        assert there["terms"]["uhd"]["drm_level"] == "L1"
        period = there["period"]
        assert period["start"]["time"] <= there["moment"]["time"] < period["end"]["time"]
        assert there["boundaries"][0]["start"] == period["end"]


async def test_what_follows_a_period_is_known_for_salts_to_be_claimed_ahead(desk: Desk) -> None:
    begins = int(time.time()) + 7200
    await put(desk, of("dated", starts_at=begins))
    stream = desk.node.stream("dated")
    first = stream.schedule_of(Clock.WALL).period_at(begins * 1000 - 1).start
    following = list(islice(stream.following(first), 8))
    assert following[0] == begins * 1000
    assert [*sorted(set(following))] == following
    assert begins * 1000 + HOUR_MS in following
    assert list(stream.following(first + 1)) == []


@pytest.mark.parametrize(
    "query",
    [
        "stream_id=dated&at=soon",
        "stream_id=dated&at=00:00:10",
        "stream_id=finished&at=2027-01-01T00:00:00Z",
        "stream_id=dated&clock=media",
        "stream_id=dated&limit=257",
        "at=0",
    ],
)
async def test_bad_moments(desk: Desk, query: str) -> None:
    status, body, _ = await desk.call("GET", f"{PATH}/timeline?{query}")
    assert status == 400, body


async def test_a_plan_has_a_limit(desk: Desk) -> None:
    for _ in range(MAX_CHANGES):
        await put(desk, of("dated"))
    status, body, _ = await desk.call("PUT", PATH, of("dated"))
    assert (status, body["code"]) == (409, "conflict")
    # That of a finished title has only ever one of a kind.
    for _ in range(3):
        await put(desk, of("finished"))
    assert len(desk.node.stream("finished").plan.changes) == 1


async def test_a_change_too_long_for_a_document_is_refused(desk: Desk) -> None:
    scenes = [
        {
            "label": "x" * 64,
            "start": f"{hour:03}:00:00",
            "end": f"{hour:03}:30:00",
            "drm_level": "L1",
            "tracks": {"sd": {"drm_level": "software", "hdcp": "1.4", "outputs": {"airplay": False}}, "uhd": None},
        }
        for hour in range(96)
    ]
    status, body, _ = await desk.call("PUT", PATH, of("dated", scenes=scenes))
    assert (status, body["code"]) == (413, "request_too_large")


async def test_the_same_call_twice_is_one_order(desk: Desk) -> None:
    await put(desk, of("dated"), Idempotency_Key="once")
    _, _, headers = await desk.call("PUT", PATH, of("dated"), Idempotency_Key="once")
    assert headers["Idempotency-Replayed"] == "true"
    assert len(desk.node.stream("dated").plan.changes) == 1
