"""DRM groups and streams over HTTP: templates made, taken over by streams, changed, left."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from keys.model import Scheme, Security, TrackType
from keys.periods import Clock
from policies.model import GroupChange
from relay.licensing.terms import term_of
from relay.model import Session
from relay.streams import Stream
from tests.control.desk import ISSUER, Desk, open_desk
from tests.control.studio import Studio, open_studio

GROUPS = "/api/v1/drm/groups"
STREAMS = "/api/v1/streams"
PREMIUM: dict[str, Any] = {
    "persistent": True,
    "duration_minutes": 2880,
    "renew_minutes": 60,
    "rotation_minutes": 5,
    "drm_level": "High",
    "hdcp": "2.2",
    "tracks": {"sd": {"drm_level": "L3"}},
}


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    async with open_studio() as made:
        yield made


@pytest.fixture
async def desk(studio: Studio) -> AsyncIterator[Desk]:
    streams = {name: studio.stream(name) for name in ("dated", "numbered")}
    streams["dated"] |= {"hls": "a.m3u8?secret=1", "licence": {"play_for": "1h"}}
    async with open_desk(streams=streams) as made:
        yield made


async def put(desk: Desk, path: str, body: Any, **headers: str) -> Any:
    status, answer, _ = await desk.call("PUT", path, body, **headers)
    assert status == 200, answer
    return answer


async def test_a_group_is_made_read_and_removed(desk: Desk) -> None:
    made = await put(desk, f"{GROUPS}/premium", {"name": "premium", **PREMIUM})
    assert made["change"]["complete"]
    read = await desk.get(f"{GROUPS}/premium")
    assert read == made["group"]
    assert {name: read[name] for name in PREMIUM if name != "tracks"} == {
        name: value for name, value in PREMIUM.items() if name != "tracks"
    }
    assert (read["name"], read["streams"], read["tracks"]["sd"]["drm_level"]) == ("premium", [], "L3")
    status, answer, _ = await desk.call("DELETE", f"{GROUPS}/premium")
    assert (status, answer["group"]) == (200, None)
    for method in ("GET", "DELETE"):
        status, _, _ = await desk.call(method, f"{GROUPS}/premium")
        assert status == 404


async def test_groups_come_in_pages(desk: Desk) -> None:
    for name in ("c", "a", "b"):
        await put(desk, f"{GROUPS}/{name}", {})
    first = await desk.get(f"{GROUPS}?limit=2")
    assert [group["name"] for group in first["groups"]] == ["a", "b"]
    last = await desk.get(f"{GROUPS}?limit=2&cursor={first['next']}")
    assert ([group["name"] for group in last["groups"]], last["next"]) == (["c"], None)


@pytest.mark.parametrize(
    ("name", "body", "pointer"),
    [
        ("a", {"persistent": True}, "/duration_minutes"),
        ("a", {"duration_minutes": 1, "renew_minutes": 2}, "/renew_minutes"),
        ("a", {"rotation_minutes": 0.01}, "/rotation_minutes"),
        ("a", {"hdcp": "1"}, "/drm_level"),
        ("a", {"drm_level": "Highest"}, "/drm_level"),
        ("a", {"name": "b"}, "/name"),
        ("a", {"duration_minutes": -1}, "/duration_minutes"),
        ("a", {"tracks": {"sd": {"level": "L1"}}}, None),
        ("a%20b", {}, None),
        ("x" * 65, {}, None),
    ],
)
async def test_bad_groups(desk: Desk, name: str, body: Any, pointer: str | None) -> None:
    status, answer, _ = await desk.call("PUT", f"{GROUPS}/{name}", body)
    assert status == 400
    if pointer:
        assert answer["errors"][0]["pointer"] == pointer
    assert (await desk.get(GROUPS))["groups"] == []


async def test_a_stream_takes_over_its_group_from_where_nobody_has_been(desk: Desk) -> None:
    await desk.get(f"{STREAMS}/dated")
    stream = desk.node.stream("dated")
    published = stream.timeline.periods(desk.node.clock())[-1].start
    await put(desk, f"{GROUPS}/premium", PREMIUM)
    answer = await put(desk, f"{STREAMS}/dated/group", {"group": "premium"})
    shown = answer["stream"]
    assert (shown["group"], shown["key_rotation"]["interval_minutes"]) == ("premium", 5)
    assert shown["licence"]["terms"]["hd"]["drm_level"] == "L1"
    assert {name: value for name, value in shown["licence"].items() if name != "terms"} == {
        "persistent": True,
        "duration_s": 172_800,
        "start_within_s": 0,
        "play_for_s": 3600,
        "renew_every_s": 3600,
    }
    since = answer["takes_effect_at"]["wall"]["time"]
    stream = desk.node.stream("dated")

    def level(track: TrackType, period: int) -> Security:
        terms = stream.terms_of(stream.slot_of(track, Scheme.CENC, period))
        assert terms
        return terms.security

    assert [level(TrackType.HD, period) for period in (published, since)] == [Security.SOFTWARE, Security.HARDWARE]
    assert level(TrackType.SD, since) is Security.SOFTWARE
    assert stream.schedule_of(Clock.WALL).period_at(since).start == since
    term = term_of(Session("s", "a", ISSUER, 10**6), stream.licence, 0)
    assert (term.persistent, term.until, term.renew_every, term.play_for) == (True, 172_800, 3600, 3600)


async def test_a_group_in_use_is_changed_in_its_streams_and_cannot_be_removed(desk: Desk) -> None:
    await put(desk, f"{GROUPS}/premium", PREMIUM)
    for name in ("dated", "numbered"):
        await put(desk, f"{STREAMS}/{name}/group", {"group": "premium"})
    status, body, _ = await desk.call("DELETE", f"{GROUPS}/premium")
    assert (status, body["code"]) == (409, "conflict")
    changed = await put(desk, f"{GROUPS}/premium", {"drm_level": "Low", "duration_minutes": 60})
    assert changed["group"]["streams"] == ["dated", "numbered"]
    for name in ("dated", "numbered"):
        stream = desk.node.stream(name)
        assert (stream.licence.persistent, stream.licence.duration.seconds) == (False, 3600)
        # A rhythm that the group no longer gives is the stream's own again.
        assert stream.rotation.interval_ms == 600_000
        await put(desk, f"{STREAMS}/{name}/group", {"group": None})
        assert desk.node.stream(name).licence == stream.config.licence
    status, _, _ = await desk.call("DELETE", f"{GROUPS}/premium")
    assert status == 200


async def test_what_is_out_stays_though_one_streams_origin_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.time()]
    async with open_studio(lambda: now[0]) as studio:
        streams = {name: studio.stream(name) for name in ("dated", "numbered")}
        async with open_desk(streams=streams, clock=lambda: now[0]) as desk:
            await put(desk, f"{GROUPS}/premium", PREMIUM)
            for name in streams:
                await put(desk, f"{STREAMS}/{name}/group", {"group": "premium"})
            see = desk.node.manifests.see

            async def see_slowly(stream: Stream) -> None:
                await see(stream)
                if stream.name == "numbered":
                    now[0] += 50

            monkeypatch.setattr(desk.node.manifests, "see", see_slowly)
            await put(desk, f"{GROUPS}/premium", {**PREMIUM, "drm_level": "Low"})
            for name in streams:
                stream = desk.node.stream(name)
                change = stream.plan.latest(GroupChange)
                assert change
                for clock, until in stream.timeline.released_until(now[0]).items():
                    assert change.since[clock] > until


async def test_a_rhythm_that_does_not_fit_the_stream_is_a_conflict(desk: Desk) -> None:
    await put(desk, f"{GROUPS}/fast", {"rotation_minutes": 0.5})
    status, body, _ = await desk.call("PUT", f"{STREAMS}/dated/group", {"group": "fast"})
    assert (status, body["code"]) == (409, "conflict")
    await put(desk, f"{GROUPS}/dense", {"rotation_minutes": 0.1})
    status, _, _ = await desk.call("PUT", f"{STREAMS}/dated/group", {"group": "dense"})
    assert status == 409
    assert desk.node.stream("dated").plan.changes == ()


@pytest.mark.parametrize(
    ("stream", "body", "status"),
    [
        ("dated", {"group": "none"}, 400),
        ("other", {"group": None}, 404),
        ("dated", {}, 400),
        ("dated", {"group": 1}, 400),
    ],
)
async def test_bad_memberships(desk: Desk, stream: str, body: Any, status: int) -> None:
    got, _, _ = await desk.call("PUT", f"{STREAMS}/{stream}/group", body)
    assert got == status


async def test_a_group_is_changed_only_as_it_was_seen(desk: Desk) -> None:
    status, _, headers = await desk.call("PUT", f"{GROUPS}/a", {}, If_None_Match="*")
    assert status == 200
    status, _, _ = await desk.call("PUT", f"{GROUPS}/a", {}, If_None_Match="*")
    assert status == 412
    status, _, changed = await desk.call("PUT", f"{GROUPS}/a", {"duration_minutes": 1}, If_Match=headers["ETag"])
    assert status == 200
    status, _, _ = await desk.call("DELETE", f"{GROUPS}/a", If_Match=headers["ETag"])
    assert status == 412
    status, _, _ = await desk.call("GET", f"{GROUPS}/a", If_None_Match=changed["ETag"])
    assert status == 304


async def test_a_stream_is_told_without_what_its_origin_must_not_tell(desk: Desk) -> None:
    shown = await desk.get(f"{STREAMS}/dated")
    assert (shown["id"], shown["manifests"], shown["group"]) == ("dated", {"hls": "a.m3u8"}, None)
    assert shown["origin"].endswith("/dated/")
    assert "secret" not in str(shown)
    assert shown["timeline"]["wall"]["ended"] is False
    assert shown["timeline"]["wall"]["edge"]["at"] == pytest.approx(desk.node.clock(), abs=10)
    assert (shown["scheme"], shown["scenes"]) == ("cenc", {"version": "configured", "ordered": 0})
    status, _, _ = await desk.call("GET", f"{STREAMS}/other")
    assert status == 404


async def test_streams_come_in_pages(desk: Desk, studio: Studio) -> None:
    studio.gone |= {"dated", "numbered"}
    first = await desk.get(f"{STREAMS}?limit=1")
    assert [one["id"] for one in first["streams"]] == ["dated"]
    second = await desk.get(f"{STREAMS}?limit=1&cursor={first['next']}")
    assert ([one["id"] for one in second["streams"]], second["next"]) == (["numbered"], None)
    assert second["streams"][0]["timeline"] == {}
    status, _, _ = await desk.call("GET", f"{STREAMS}?cursor=x")
    assert status == 400
