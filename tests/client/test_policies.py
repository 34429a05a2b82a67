"""Scenes, rotation, streams and groups over the client: what is changed holds on the node, and is read back."""

import time

import pytest

from keys.model import Scheme, Security, TrackType
from keys.periods import Clock
from policies.text import GroupText, SceneText, TermsText
from relay.api.plans import KeyRotation
from relay.client import Client, ProblemError
from tests.control.desk import Desk
from tests.control.studio import Studio

HOUR_MS = 3_600_000
MATCH = (
    SceneText(label="pre-game", start="00:00:00", end="01:00:00", drm_level="L3"),
    SceneText(
        label="match",
        start="01:00:00",
        drm_level="L1",
        hdcp="2.2",
        tracks={TrackType.SD: TermsText(), TrackType.UHD: None},
    ),
)


async def test_scenes_are_set_read_and_removed(desk: Desk, relay: Client) -> None:
    begins = int(time.time()) + 7200
    done = await relay.scenes.set(MATCH, stream_id="dated", starts_at=begins, wait="all")
    assert (done.change and done.change.complete, tuple(done.scenes)) == (True, MATCH)
    start = begins * 1000 + HOUR_MS
    assert [scene.start.time for scene in done.clocks[Clock.WALL].scenes] == [begins * 1000, start]
    stream = desk.node.stream("dated")
    terms = stream.terms_of(stream.slot_of(TrackType.HD, Scheme.CENC, start))
    assert terms
    assert terms.security is Security.HARDWARE
    read = (await relay.scenes.get("dated")).value
    assert (read.version, read.clocks[Clock.WALL].scenes) == (done.version, done.clocks[Clock.WALL].scenes)
    assert [(entry.who, entry.what) async for entry in relay.audit.entries()] == [("api:anna", "policy.put")]
    assert (await relay.scenes.remove("dated")).scenes == []
    assert (await relay.scenes.get("dated")).value.scenes == []


async def test_what_holds_when(relay: Client) -> None:
    await relay.scenes.set(MATCH, stream_id="vod")
    now = await relay.scenes.timeline("vod", "00:59:59", limit=1)
    assert (now.scene, [boundary.scene for boundary in now.boundaries]) == ("pre-game", ["match"])
    then = await relay.scenes.timeline("vod", str(HOUR_MS), clock=Clock.MEDIA)
    assert (then.scene, then.terms[TrackType.UHD], then.period.start.time) == ("match", None, HOUR_MS)


async def test_scenes_are_changed_only_as_they_were_seen(relay: Client) -> None:
    seen = await relay.scenes.get("dated")
    await relay.scenes.set(MATCH[:1], stream_id="dated", if_match=seen.tag)
    for refused in (
        relay.scenes.set(MATCH, stream_id="dated", if_match=seen.tag),
        relay.scenes.remove("dated", if_match=seen.tag),
    ):
        with pytest.raises(ProblemError) as late:
            await refused
        assert (late.value.status, late.value.code) == (412, "precondition_failed")
    assert tuple((await relay.scenes.get("dated")).value.scenes) == MATCH[:1]


async def test_scenes_that_contradict_one_another_are_refused_by_their_place(relay: Client) -> None:
    with pytest.raises(ProblemError, match=r"/scenes/1/start: scene .* starts before") as wrong:
        await relay.scenes.set((MATCH[1], MATCH[1]), stream_id="dated")
    assert wrong.value.status == 400


async def test_keys_rotate_as_ordered(desk: Desk, relay: Client) -> None:
    seen = await relay.rotation.get("dated")
    assert (seen.value.key_rotation.interval_minutes, seen.value.version) == (10, "configured")
    wanted = KeyRotation(enabled=True, interval_minutes=2, pre_delivery_seconds=20)
    done = await relay.rotation.set("dated", wanted, if_match=seen.tag)
    assert (done.key_rotation, desk.node.stream("dated").rotation.interval_ms) == (wanted, 120_000)
    assert (await relay.rotation.get("dated")).value.version == done.version
    with pytest.raises(ProblemError, match="precondition_failed"):
        await relay.rotation.set("dated", KeyRotation(enabled=False), if_match=seen.tag)
    assert desk.node.stream("dated").rotation.interval_ms == 120_000


async def test_all_keys_are_replaced_at_once(desk: Desk, relay: Client) -> None:
    def key() -> bytes:
        stream = desk.node.stream("vod")
        return stream.content_key(stream.slot_of(TrackType.HD, Scheme.CENC, 0)).kid

    before = key()
    done = await relay.rotation.emergency("vod", "leaked", 3)
    assert (done.epoch, done.spread_seconds, done.clocks[Clock.MEDIA].start.time) == (1, 3, 0)
    assert key() != before
    assert (await relay.rotation.get("vod")).value.epoch == 1


async def test_streams_are_listed_and_join_groups(relay: Client) -> None:
    assert [stream.id async for stream in relay.streams.all(page_size=2)] == ["dated", "film", "vod"]
    made = await relay.groups.set("cinema", GroupText(drm_level="L1", duration_minutes=90), create=True)
    assert made.group
    with pytest.raises(ProblemError, match="precondition_failed"):
        await relay.groups.set("cinema", GroupText(), create=True)
    joined = await relay.streams.join("vod", "cinema")
    assert (joined.stream.group, joined.stream.licence.duration_s) == ("cinema", 5400)
    group = await relay.groups.get("cinema")
    assert (group.value.streams, group.value.drm_level) == (["vod"], "L1")
    await relay.groups.set("cinema", GroupText(drm_level="L1", duration_minutes=60), if_match=group.tag)
    assert (await relay.streams.get("vod")).licence.duration_s == 3600
    assert [found.name async for found in relay.groups.all()] == ["cinema"]
    with pytest.raises(ProblemError, match="conflict"):
        await relay.groups.remove("cinema")
    assert (await relay.streams.join("vod", None)).stream.group is None
    assert (await relay.groups.remove("cinema")).group is None
    assert [found.name async for found in relay.groups.all()] == []


async def test_a_stream_that_nobody_has_seen_is_told_as_such(studio: Studio, relay: Client) -> None:
    studio.gone.add("dated")
    with pytest.raises(ProblemError) as unknown:
        await relay.scenes.set(MATCH, stream_id="dated")
    assert (unknown.value.status, unknown.value.code) == (503, "timeline_unknown")
    with pytest.raises(ProblemError, match="no stream 'other' is configured"):
        await relay.rotation.get("other")
