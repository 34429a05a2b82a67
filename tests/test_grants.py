"""Grants: a session gets the keys of its track types, of the window and of the next period once released."""

from dataclasses import replace
from typing import Any

import pytest

from keys.material import RootKey
from keys.model import Scheme, Security, TrackType
from keys.periods import GUARD_MS, Clock
from keys.ring import KeyRing
from keys.seal import Sealer
from policies.model import Change, Group, GroupChange, Terms
from relay.config import StreamConfig, parse_config
from relay.errors import ContentKeyUnknownError, KeyPendingError, UnknownStreamError, UrlError
from relay.gate.gate import Visitor
from relay.grants import Grant, grant, grant_for, slots_of
from relay.manifest.context import Observed
from relay.model import ManifestClass, Session
from relay.sources import Source
from relay.state.database import MEMORY
from relay.state.journal import Journal
from relay.state.replica import Replica, new_incarnation
from relay.state.salts import Salts
from relay.state.state import State
from relay.streams import Stream
from tests.test_config import GOOD

NOW = 500.0
INTERVAL = 60_000
EDGE = 10 * INTERVAL
LEAD = 10_000
VIDEO_AND_AUDIO = frozenset({TrackType.AUDIO, TrackType.SD, TrackType.HD})
SESSION = Session("s", "a", "i", 10_000)
CENC = ManifestClass(Scheme.CENC)


def stream_of(*changes: Change, **settings: Any) -> Stream:
    news = GOOD["streams"]["news"] | {"rotation": {"interval": "1m", "pre_delivery": "10s"}} | settings
    raw = {**GOOD, "streams": {"news": news}, "state": {"directory": "state"}}
    config: StreamConfig = parse_config(raw, "relay.toml").streams["news"]
    ring = KeyRing([RootKey(1, b"r" * 32), RootKey(2, b"s" * 32, active_from=EDGE)])
    replica = Replica(State(), Journal(MEMORY), lambda: NOW, "test", new_incarnation())
    salts = Salts(replica, lambda size: b"s" * size)
    mac_keys, sealer = ring.service_keys("url"), Sealer(ring.service_keys("query"))
    return Stream("news", config, ring, salts, mac_keys, sealer, changes)


@pytest.fixture
def stream() -> Stream:
    found = stream_of()
    found.timeline.observe(Observed(Clock.WALL, EDGE - INTERVAL, EDGE + 5000, False, VIDEO_AND_AUDIO), NOW)
    return found


def visitor(ceiling: TrackType = TrackType.UHD) -> Visitor:
    return Visitor.of(replace(SESSION, ceiling=ceiling), "news")


def held(granted: Grant) -> set[tuple[TrackType, int | None]]:
    return {(slot.track, slot.period) for slot in granted.slots}


def test_the_stable_keys_and_those_of_the_window(stream: Stream) -> None:
    granted = grant(stream, visitor(), CENC, NOW)
    periods = {None, EDGE - INTERVAL, EDGE}
    assert held(granted) == {(track, period) for track in VIDEO_AND_AUDIO for period in periods}
    assert granted.newest == EDGE
    assert all(slot.period is None for slot in granted.slots[:3])


def test_the_next_keys_once_released(stream: Stream) -> None:
    release = NOW + (INTERVAL - GUARD_MS - LEAD - 5000) / 1000
    before, after = (grant(stream, visitor(), CENC, now) for now in (release - 0.01, release))
    assert (before.newest, after.newest) == (EDGE, EDGE + INTERVAL)
    assert held(after) - held(before) == {(track, EDGE + INTERVAL) for track in VIDEO_AND_AUDIO}


@pytest.mark.parametrize("ceiling", TrackType)
def test_nothing_above_the_sessions_ceiling(stream: Stream, ceiling: TrackType) -> None:
    tracks = {slot.track for slot in grant(stream, visitor(ceiling), CENC, NOW).slots}
    assert tracks == {track for track in VIDEO_AND_AUDIO if track.rank <= ceiling.rank}


def test_audio_belongs_to_every_grant_for_renditions_may_be_muxed() -> None:
    stream = stream_of()
    stream.timeline.observe(Observed(Clock.WALL, 0, 5000, False, frozenset({TrackType.SD})), NOW)
    tracks = {slot.track for slot in grant(stream, visitor(), CENC, NOW).slots}
    assert tracks == {TrackType.AUDIO, TrackType.SD}


def test_each_period_has_the_generation_in_force_at_its_start(stream: Stream) -> None:
    slots = grant(stream, visitor(TrackType.AUDIO), CENC, NOW).slots
    assert {slot.period: slot.generation for slot in slots} == {None: 1, EDGE - INTERVAL: 1, EDGE: 2}


def test_an_unknown_timeline_is_a_pending_key() -> None:
    with pytest.raises(KeyPendingError):
        grant(stream_of(), visitor(), CENC, NOW)


@pytest.mark.parametrize("scheme", [Scheme.CENC, Scheme.CBCS])
def test_the_key_ids_asked_for_tell_the_scheme(stream: Stream, scheme: Scheme) -> None:
    kid = stream.kid(stream.slot_of(TrackType.HD, scheme, EDGE))
    granted = grant_for(stream, visitor(), CENC, frozenset((b"?" * 16, kid)), NOW)
    assert {slot.scheme for slot in granted.slots} == {scheme}


def test_key_ids_that_the_session_may_not_have_are_unknown(stream: Stream) -> None:
    slots = [
        stream.slot_of(TrackType.HD, Scheme.CENC, EDGE),
        stream.slot_of(TrackType.SD, Scheme.CENC, EDGE + INTERVAL),
        stream.slot_of(TrackType.SD, Scheme.AES128, EDGE),
        stream.slot_of(TrackType.UHD, Scheme.CENC, EDGE),
    ]
    for slot in slots:
        with pytest.raises(ContentKeyUnknownError):
            grant_for(stream, visitor(TrackType.SD), CENC, frozenset((stream.kid(slot),)), NOW)
    with pytest.raises(ContentKeyUnknownError):
        grant_for(stream, visitor(), CENC, frozenset(), NOW)


def test_a_scheme_that_is_not_offered_has_no_keys() -> None:
    stream = stream_of(schemes=["cenc"])
    stream.timeline.observe(Observed(Clock.WALL, 0, 5000, False, VIDEO_AND_AUDIO), NOW)
    kid = stream.kid(stream.slot_of(TrackType.HD, Scheme.CBCS, 0))
    with pytest.raises(ContentKeyUnknownError):
        grant_for(stream, visitor(), CENC, frozenset([kid]), NOW)
    with pytest.raises(UrlError, match="not offered as cbcs"):
        stream.check_class(ManifestClass(Scheme.CBCS))


def test_an_entry_is_below_the_origin_or_there_is_none(stream: Stream) -> None:
    assert stream.entry("index.m3u8") == Source("master.m3u8")
    for name in ("index.mpd", "master.m3u8", ""):
        with pytest.raises(UnknownStreamError, match="has no"):
            stream.entry(name)


def test_salted_streams_derive_other_keys_and_the_same_ids() -> None:
    plain, salted = stream_of(), stream_of(rotation={"interval": "1m", "pre_delivery": "10s", "salt": True})
    for period in (None, EDGE):
        slot = plain.slot_of(TrackType.HD, Scheme.CENC, period)
        assert plain.kid(slot) == salted.kid(slot) == salted.content_key(slot).kid
        assert (plain.content_key(slot).key == salted.content_key(slot).key) == (period is None)


def test_a_clock_first_seen_after_a_group_was_joined_gives_nothing_in_clear() -> None:
    strict: dict[TrackType, Terms | None] = {track: Terms(Security.HARDWARE) for track in TrackType}
    found = stream_of(GroupChange("g", 1, {Clock.WALL: EDGE}, Group("g", strict)))
    found.timeline.observe(Observed(Clock.WALL, EDGE - INTERVAL, EDGE + 5000, False, VIDEO_AND_AUDIO), NOW)
    found.timeline.observe(Observed(Clock.SEQUENCE, 0, INTERVAL + 5000, False, VIDEO_AND_AUDIO), NOW)
    assert slots_of(found, list(TrackType), Scheme.CENC, [0, INTERVAL]) == ()
    assert len(slots_of(found, list(TrackType), Scheme.CENC, [0, INTERVAL], guarded=True)) == 2 * len(TrackType)
