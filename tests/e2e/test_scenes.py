"""Real players across scenes L3 → L1 → L3 with Clear Key: SD all the way, and no HD key where it must not be."""

import re
import time
from collections.abc import Iterator

import msgspec
import pytest
from playwright.sync_api import Browser, Page

from keys import base64url
from keys.model import Scheme, TrackType
from keys.periods import Clock
from policies.text import SceneText
from relay.demo.clip import Clip
from tests.e2e.browser import open_page, until
from tests.e2e.demo_page import play, seen
from tests.e2e.local import Server
from tests.e2e.staged import STREAM, Staged, staged_relay
from tests.keys.test_channel import unseal

PERIOD_S, LEAD_S, SEGMENT_S = 6, 3, 2
FIRST_S, STRICT_S = 14, 12
"""How long the first scene plays before the strict one, and how long that one is: two crypto periods."""
AFTER_S = 4
TOLERATED_STALL_MS = 1000
_PLAYED = "Date.now() - 1000 * parseFloat(document.getElementById('latency').textContent)"
_HEIGHT = "document.querySelector('video').videoHeight"


@pytest.fixture
def stage(browser: Browser, server: Server, clip: Clip) -> Iterator[Staged]:
    with staged_relay(server, clip, {"interval": f"{PERIOD_S}s", "pre_delivery": f"{LEAD_S}s"}) as made:
        yield made


def scenes() -> list[SceneText]:
    """The customer's three scenes: the strict one leaves players without hardware SD."""
    return msgspec.convert(
        [
            {"label": "opening", "start": "00:00:00", "end": at(FIRST_S), "drm_level": "L3"},
            {
                "label": "final", "start": at(FIRST_S), "end": at(FIRST_S + STRICT_S), "drm_level": "L1",
                "hdcp": "2.2", "tracks": {"sd": {"drm_level": "L3"}},
            },
            {"label": "credits", "start": at(FIRST_S + STRICT_S), "drm_level": "L3"},
        ],
        list[SceneText],
    )  # fmt: skip


def at(seconds: int) -> str:
    return f"00:00:{seconds:02}"


def soon(after_s: float) -> int:
    """A segment's start at least so far ahead, in ms of stream time."""
    return -(-int((time.time() + after_s) * 1000) // (SEGMENT_S * 1000)) * SEGMENT_S * 1000


def watch(page: Page, until_ms: int) -> None:
    """Watch until the picture shows a moment of the stream, and then a second more."""
    until(page, f"window.__demo.state === 'failed' || {_PLAYED} > {until_ms}", 60)
    assert seen(page)["error"] is None
    position = seen(page)["currentTime"]
    until(page, f"window.__demo.currentTime > {position + 1}", 10)


def keys_of(stage: Staged, track: TrackType, first_ms: int, last_ms: int) -> dict[int | None, bytes]:
    """The keys of a track for segments that start in a span, by the period's start; the stable one at None."""
    stream = stage.node.stream(STREAM)
    periods = stream.schedule_of(Clock.WALL).between(first_ms, last_ms)
    names: list[int | None] = [None, *(period.start for period in periods)]
    return {name: stream.content_key(stream.slot_of(track, Scheme.CENC, name)).key for name in names}


def received(stage: Staged, keys: dict[int | None, bytes]) -> set[int | None]:
    """Which keys stand in anything that the relay has answered, plainly or sealed for the session."""
    answers = [bytes(answer) for answer in stage.recorder.answers]
    own = re.search(rb'"channel_key":\{"kty":"oct","alg":"A256GCM","k":"([\w-]+)"', b"".join(answers))
    assert own
    sealed = {text for answer in answers for text in re.findall(rb"(?i)\r\nsegmentgate-next-keys: ([\w-]+)\r", answer)}
    assert sealed
    opened = [unseal(text.decode(), base64url.decode(own[1].decode()), STREAM.encode())[1] for text in sealed]
    everything = b"\0".join([*answers, *opened])

    def spellings(key: bytes) -> list[bytes]:
        return [key, key.hex().encode(), base64url.encode(key).encode()]

    return {name for name, key in keys.items() if any(text in everything for text in spellings(key))}


def check_playback(page: Page) -> None:
    state = seen(page)
    assert state["error"] is None
    assert state["state"] == "playing"
    assert state["stalledMs"] < TOLERATED_STALL_MS, state
    assert page.evaluate(_HEIGHT) == 360


@pytest.mark.parametrize(("player", "format_"), [("shaka", "dash"), ("hls", "hls")])
def test_a_session_plays_sd_through_a_strict_scene(browser: Browser, stage: Staged, player: str, format_: str) -> None:
    zero = soon(0)
    stage.put_scenes(zero, scenes(), since=zero - 120_000)
    with open_page(browser) as page:
        play(page, stage.page, player, format_)
        watch(page, zero + (FIRST_S + STRICT_S + AFTER_S) * 1000)
        check_playback(page)
        assert seen(page)["failures"] == []
    end = zero + (FIRST_S + STRICT_S) * 1000
    sd = keys_of(stage, TrackType.SD, zero, end)
    assert received(stage, sd) >= sd.keys()
    assert received(stage, keys_of(stage, TrackType.HD, zero - 120_000, end + 60_000)) == set()


@pytest.mark.parametrize(("player", "format_"), [("shaka", "dash"), ("shaka", "hls"), ("hls", "hls")])
def test_a_session_in_hd_changes_to_sd_when_a_strict_scene_is_announced(
    browser: Browser, stage: Staged, player: str, format_: str
) -> None:
    with open_page(browser) as page:
        play(page, stage.page, player, format_)
        until(page, f"{_HEIGHT} === 720", 20)
        zero = soon(LEAD_S + 2)
        stage.put_scenes(zero, scenes())
        watch(page, zero + (FIRST_S + STRICT_S + AFTER_S) * 1000)
        check_playback(page)
        assert seen(page)["failures"] == [], "the player was told before it asked for what it may not have"
    strict = [zero + seconds * 1000 for seconds in (FIRST_S, FIRST_S + STRICT_S - 2)]
    assert received(stage, keys_of(stage, TrackType.SD, *strict)) >= keys_of(stage, TrackType.SD, *strict).keys()
    assert received(stage, keys_of(stage, TrackType.HD, *strict)) == {None}
