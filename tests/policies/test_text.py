"""Policies as they are written: the customer's words, and what events keep."""

from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.model import Hdcp, Outputs, Scheme, Security, TrackType
from keys.periods import Clock
from policies.model import FREE, Group, GroupChange, Rekeying, RotationChange, ScenesChange, Terms
from policies.text import (
    GroupText,
    OutputsText,
    SceneError,
    SceneText,
    TermsText,
    hdcp_of,
    level_of,
    ms_of,
    read_change,
    read_scenes,
    scenes_of,
    write_group,
    write_rekeying,
    write_rotation,
    write_scenes,
)

SINCE = {Clock.WALL: 7, Clock.MEDIA: 0}


def scene(**fields: Any) -> SceneText:
    base = {"label": "a", "start": "00:00:00", "end": "01:00:00", "drm_level": "L1"}
    return msgspec.convert({**base, **fields}, SceneText)


@pytest.mark.parametrize(
    ("text", "ms"), [("00:00:00", 0), ("01:02:03", 3_723_000), ("100:00:00.5", 360_000_500), ("00:00:00.125", 125)]
)
def test_times_of_the_event(text: str, ms: int) -> None:
    assert ms_of(text) == ms


@pytest.mark.parametrize("text", ["", "1:2:3", "00:60:00", "00:00:00.", "-1:00:00", "00:00:00\n", "00:00:00.1234"])
def test_what_is_no_time_of_the_event(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        scene(start=text)


def test_levels_and_versions_have_several_names() -> None:
    assert {level_of(name) for name in ("L3", "Low", "software")} == {Security.SOFTWARE}
    assert {level_of(name) for name in ("L1", "L2", "High", "Medium", "hardware")} == {Security.HARDWARE}
    assert [hdcp_of(text) for text in (False, "none", True, "1.4", "2.0", "2.2")] == [
        Hdcp.NONE, Hdcp.NONE, Hdcp.V1, Hdcp.V1, Hdcp.V2_2, Hdcp.V2_2,
    ]  # fmt: skip


def test_a_scene_is_about_video_and_its_tracks_are_exceptions() -> None:
    terms = scene(hdcp="2.2", outputs={"airplay": False}, tracks={"sd": {}, "uhd": None}).scene().terms
    strict = Terms(Security.HARDWARE, Outputs(Hdcp.V2_2, airplay=False))
    assert terms == {TrackType.AUDIO: FREE, TrackType.SD: FREE, TrackType.HD: strict, TrackType.UHD: None}


def test_scenes_are_put_in_order_and_what_is_wrong_is_named() -> None:
    assert [one.start for one in scenes_of([scene(start="02:00:00", end=None), scene()])] == [0, 7_200_000]
    for texts, at, field in (
        ([scene(), scene(start="00:59:59", end="02:00:00")], 1, "start"),
        ([scene(start="01:00:00", end=None), scene(start="02:00:00", end=None)], 1, "start"),
        ([scene(), scene(start="01:00:00", end="01:00:00")], 1, "end"),
    ):
        with pytest.raises(SceneError) as caught:
            scenes_of(texts)
        assert (caught.value.at, caught.value.field) == (at, field)


def test_a_group_leaves_alone_what_it_does_not_give() -> None:
    assert GroupText().group("g") == Group("g", {})
    given = GroupText(persistent=True, duration_minutes=1.5, renew_minutes=0.5, rotation_minutes=0, drm_level="Low")
    group = given.group("g")
    assert (group.persistent, group.duration_ms, group.renew_ms, group.interval_ms) == (True, 90_000, 30_000, 0)
    assert group.terms == dict.fromkeys(TrackType, FREE)
    assert GroupText(tracks={TrackType.UHD: None}).group("g").terms == {TrackType.UHD: None}


terms = st.builds(
    Terms,
    st.sampled_from(Security),
    st.builds(Outputs, st.sampled_from(Hdcp), st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)


@given(terms)
def test_terms_are_what_their_text_says(value: Terms) -> None:
    text = TermsText.of(value)
    assert text.terms() == value
    assert msgspec.json.decode(msgspec.json.encode(text), type=TermsText) == text


@given(terms, terms)
def test_the_stricter_of_two_asks_for_all(one: Terms, other: Terms) -> None:
    both = one.stricter(other)
    assert both == other.stricter(one) == both.stricter(one)
    assert both.in_clear == (one.in_clear and other.in_clear)


def test_what_is_written_is_read_back() -> None:
    scenes = (scene(), scene(start="01:00:00", end=None, drm_level="L3", tracks={"uhd": None}))
    written = write_scenes(SINCE, {Clock.WALL: -5}, scenes)
    assert read_change("n", 3, written) == ScenesChange("n", 3, SINCE, {Clock.WALL: -5}, scenes_of(scenes))
    assert read_scenes(written) == scenes
    rotation = write_rotation(SINCE, 60_000, 5000, rekeys=False, scheme=Scheme.CBCS)
    assert read_change("n", 3, rotation) == RotationChange("n", 3, SINCE, 60_000, 5000, False, Scheme.CBCS)
    text = GroupText(persistent=True, duration_minutes=5, outputs=OutputsText(airplay=False), drm_level="L1")
    assert read_change("n", 3, write_group(SINCE, "g", text)) == GroupChange("n", 3, SINCE, text.group("g"))
    assert read_change("n", 3, write_group(SINCE, "", None)) == GroupChange("n", 3, SINCE, None)
    assert read_change("n", 3, write_rekeying(SINCE, 2, 900)) == Rekeying("n", 3, SINCE, 2, 900)


def test_a_rotation_as_it_was_written_before_it_had_more_to_say() -> None:
    old = msgspec.msgpack.encode(["rotation", {"wall": 7}, 60_000, 5000])
    assert read_change("n", 1, old) == RotationChange("n", 1, {Clock.WALL: 7}, 60_000, 5000, True, None)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", msgspec.msgpack.encode(["other", {}]), msgspec.msgpack.encode(["rekeying", {"moon": 1}, 1, 1])],
)
def test_what_is_no_change_is_refused(body: bytes) -> None:
    for read in (read_scenes, partial(read_change, "n", 1)):
        with pytest.raises(msgspec.DecodeError) as caught:
            read(body)
        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("interval_ms", "pre_delivery_ms"), [(1000, 0), (10_000, 10_000), (-1, 0), (0, -1)])
def test_a_rotation_that_contradicts_itself_is_refused(interval_ms: int, pre_delivery_ms: int) -> None:
    body = write_rotation({Clock.WALL: 5}, interval_ms, pre_delivery_ms)
    with pytest.raises(ValueError, match="rotation: "):
        read_change("x", 1, body)


def test_only_a_change_of_scenes_has_scenes() -> None:
    with pytest.raises(ValueError, match="not a change of scenes"):
        read_scenes(write_rekeying(SINCE, 1, 0))
