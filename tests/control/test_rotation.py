"""Rotation over HTTP: set, told where it stands, and all keys replaced at once."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from keys.model import Scheme, TrackType
from keys.periods import GUARD_MS, Clock, first_segment_at
from relay.gate.gate import Visitor
from relay.model import Session
from tests.control.desk import ISSUER, Desk, open_desk
from tests.control.studio import SEGMENT_S, Studio, open_studio

PATH = "/api/v1/drm/key-rotation"
ORDER: dict[str, Any] = {
    "enabled": True,
    "interval_minutes": 10,
    "pre_delivery_seconds": 30,
    "on_compromise": "immediate_rotate",
    "algorithm": "AES-128-CTR",
    "key_derivation": "HKDF-SHA256",
}


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    async with open_studio() as made:
        yield made


@pytest.fixture
async def desk(studio: Studio) -> AsyncIterator[Desk]:
    streams = {name: studio.stream(name) for name in ("dated", "numbered", "finished")}
    streams["dated"]["schemes"] = ["cenc"]
    async with open_desk(streams=streams) as made:
        yield made


def of(stream: str, **changes: Any) -> dict[str, Any]:
    return {"stream_id": stream, "key_rotation": {**ORDER, **changes}}


async def put(desk: Desk, body: Any, path: str = PATH, **headers: str) -> Any:
    status, answer, _ = await desk.call("POST", path, body, **headers)
    assert status == 200, answer
    return answer


async def test_the_customers_order_is_taken_and_given_back(desk: Desk) -> None:
    answer = await put(desk, of("dated"))
    assert answer["key_rotation"] == ORDER
    read = await desk.get(f"{PATH}?stream_id=dated")
    assert (read["key_rotation"], read["version"]) == (ORDER, answer["version"])
    assert answer["change"]["nodes"][0]["state"] == "applied"


async def test_a_new_rhythm_begins_where_nobody_has_been(desk: Desk) -> None:
    before = (await desk.get(f"{PATH}?stream_id=dated"))["clocks"]["wall"]
    answer = await put(desk, of("dated", interval_minutes=0.5, pre_delivery_seconds=2))
    placed = answer["clocks"]["wall"]
    since = placed["takes_effect_at"]["time"]
    assert first_segment_at(since) > placed["edge"]["time"] + 30_000
    assert placed["period"]["start"] == before["period"]["start"]
    schedule = desk.node.stream("dated").schedule_of(Clock.WALL)
    assert [period.start - since for period in schedule.between(since, since + 70_000)] == [0, 30_000, 60_000]
    assert desk.node.stream("dated").rotation.pre_delivery_ms == 2000


async def test_the_state_tells_period_and_lead(desk: Desk) -> None:
    placed = (await desk.get(f"{PATH}?stream_id=dated"))["clocks"]["wall"]
    start, end = placed["period"]["start"]["time"], placed["period"]["end"]["time"]
    assert (start % 600_000, end - start) == (0, 600_000)
    assert placed["next_rotation"] == placed["period"]["end"]
    assert placed["next_keys_at"]["time"] == end - GUARD_MS - 30_000
    assert placed["next_keys_out"] == (placed["next_keys_at"]["time"] <= placed["edge"]["time"])
    finished = (await desk.get(f"{PATH}?stream_id=finished"))["clocks"]["media"]
    assert (finished["next_rotation"], finished["next_keys_at"], finished["edge"]["at"]) == (None, None, None)


async def test_no_rotation_is_a_rhythm_too(desk: Desk) -> None:
    answer = await put(desk, of("dated", enabled=False))
    since = answer["clocks"]["wall"]["takes_effect_at"]["time"]
    assert answer["key_rotation"]["enabled"] is False
    schedule = desk.node.stream("dated").schedule_of(Clock.WALL)
    assert schedule.period_at(since + 10**9).start == since


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"interval_minutes": 0}, "interval_minutes"),
        ({"interval_minutes": 0.01, "pre_delivery_seconds": 0}, "interval_minutes"),
        ({"interval_minutes": 0.4, "pre_delivery_seconds": 1}, "interval_minutes"),
        ({"interval_minutes": 0.5}, "pre_delivery_seconds"),
        ({"pre_delivery_seconds": -1}, "pre_delivery_seconds"),
        ({"algorithm": "AES-128-CBC"}, "algorithm"),
        ({"algorithm": "AES-256"}, "algorithm"),
        ({"key_derivation": "PBKDF2"}, "key_derivation"),
        ({"on_compromise": "later"}, "on_compromise"),
        ({"enabled": "yes"}, "enabled"),
    ],
)
async def test_rotations_that_make_no_sense_are_pointed_at(desk: Desk, changes: Any, pointer: str) -> None:
    status, body, _ = await desk.call("PUT", PATH, of("dated", **changes))
    assert (status, body["errors"][0]["pointer"]) == (400, f"/key_rotation/{pointer}")
    assert desk.node.stream("dated").plan.changes == ()


async def test_block_chaining_is_fine_where_it_is_offered(desk: Desk) -> None:
    answer = await put(desk, of("numbered", algorithm="AES-128-CBC"))
    assert answer["key_rotation"]["algorithm"] == "AES-128-CBC"
    assert list(answer["clocks"]) == ["sequence"]


@pytest.mark.parametrize("name", ["dated", "numbered"])
async def test_an_emergency_replaces_all_keys_from_the_next_segments_on(desk: Desk, name: str) -> None:
    clock = Clock.WALL if name == "dated" else Clock.SEQUENCE
    before = (await desk.get(f"{PATH}?stream_id={name}"))["clocks"][clock]
    stream = desk.node.stream(name)
    seen = [period.start for period in stream.timeline.periods(0) if period.start <= before["period"]["start"]["time"]]
    old = [stream.slot_of(TrackType.SD, Scheme.CENC, start) for start in seen]
    answer = await put(desk, {"stream_id": name, "reason": "leaked"}, f"{PATH}/emergency")
    boundary = answer["clocks"][clock]["start"]["time"]
    stream = desk.node.stream(name)
    edge = stream.timeline.clocks[clock].edge
    # What starts at the edge that was seen, or as much later as has passed, is new; what is listed is not.
    assert edge - GUARD_MS < first_segment_at(boundary) <= edge + 6000
    assert boundary >= before["edge"]["time"]
    assert (answer["epoch"], answer["clocks"][clock]["generation"]) == (1, 65_537)
    assert [stream.slot_of(TrackType.SD, Scheme.CENC, slot.period) for slot in old] == old
    for later in (boundary, before["period"]["end"]["time"] + 600_000):
        assert stream.slot_of(TrackType.SD, Scheme.CENC, later).generation == 65_537
    assert answer["spread_seconds"] == 2 * SEGMENT_S
    after = await desk.get(f"{PATH}?stream_id={name}")
    assert after["epoch"] == 1
    again = await put(desk, {"stream_id": name}, f"{PATH}/emergency")
    assert again["epoch"] == 2


async def test_an_emergency_of_a_finished_title_is_about_all_of_it(desk: Desk) -> None:
    answer = await put(desk, {"stream_id": "finished", "spread_seconds": 1.5}, f"{PATH}/emergency")
    assert answer["clocks"]["media"] == {"start": {"time": 0, "at": None}, "generation": 65_537}
    assert answer["spread_seconds"] == 1.5


async def test_sessions_are_counted(desk: Desk) -> None:
    for name in ("dated", "numbered"):
        visitor = Visitor.of(Session(f"session-{name}", "account-1", ISSUER, 2**40), name)
        desk.node.presence.held(visitor, desk.node.clock(), "192.0.2.1")
    assert (await desk.get(f"{PATH}?stream_id=dated"))["sessions"] == 1
    answer = await put(desk, {"stream_id": "dated"}, f"{PATH}/emergency")
    assert answer["sessions"] == 1


async def test_who_wants_no_emergencies_gets_none(desk: Desk) -> None:
    await put(desk, of("dated", on_compromise="none"))
    status, body, _ = await desk.call("POST", f"{PATH}/emergency", {"stream_id": "dated"})
    assert (status, body["code"]) == (409, "conflict")
    assert desk.node.stream("dated").plan.epoch == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"stream_id": "other"}, 404),
        ({"stream_id": "dated", "reason": "x" * 513}, 400),
        ({"stream_id": "dated", "spread_seconds": 61}, 400),
    ],
)
async def test_bad_emergencies(desk: Desk, body: Any, status: int) -> None:
    got, _, _ = await desk.call("POST", f"{PATH}/emergency", body)
    assert got == status


async def test_a_change_is_made_only_to_what_was_seen(desk: Desk) -> None:
    _, _, headers = await desk.call("GET", f"{PATH}?stream_id=dated")
    status, _, changed = await desk.call("PUT", PATH, of("dated"), If_Match=headers["ETag"])
    assert status == 200
    status, body, _ = await desk.call("PUT", PATH, of("dated"), If_Match=headers["ETag"])
    assert (status, body["code"]) == (412, "precondition_failed")
    # An emergency in between is no change of the rhythm.
    await put(desk, {"stream_id": "dated"}, f"{PATH}/emergency")
    status, _, _ = await desk.call("PUT", PATH, of("dated"), If_Match=changed["ETag"])
    assert status == 200


async def test_an_origin_out_of_reach_is_said_so(desk: Desk, studio: Studio) -> None:
    studio.gone.add("dated")
    for path, body in ((PATH, of("dated")), (f"{PATH}/emergency", {"stream_id": "dated"})):
        status, answer, _ = await desk.call("POST", path, body)
        assert (status, answer["code"]) == (503, "timeline_unknown")
    assert (await desk.get(f"{PATH}?stream_id=dated"))["clocks"] == {}
