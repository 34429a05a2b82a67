"""The terms of licences, as configured and as the session, its device and its group make them."""

from dataclasses import replace
from typing import Any

import pytest

from keys.errors import LicenceRefusedError
from keys.licences.terms import Device, Platform, Term
from keys.material import ContentKey
from keys.model import Hdcp, KeySlot, Outputs, Scheme, Security, TrackType
from policies.model import FREE, Group, Terms
from relay.config import parse_config
from relay.errors import ConfigError
from relay.gate.replay import SeenOnce
from relay.licensing import repeats as repeats_module
from relay.licensing.repeats import PATIENCE_S, REMEMBERED_S, Repeats
from relay.licensing.settings import LicenceConfig
from relay.licensing.terms import MAX_KEYS, granted_keys, granted_slots, renewed_term_of, term_of
from relay.model import Session
from relay.units import Duration
from tests.licensing.configured import configured
from tests.test_config import GOOD

NOW = 1000.0
SESSION = Session("s", "a", "i", 5000)


def licence_of(**settings: Any) -> LicenceConfig:
    return configured(settings).streams["news"].licence


@pytest.mark.parametrize(
    ("name", "security"),
    [
        ("software", Security.SOFTWARE),
        ("L3", Security.SOFTWARE),
        ("Low", Security.SOFTWARE),
        ("Medium", Security.HARDWARE),
        ("High", Security.HARDWARE),
        ("L1", Security.HARDWARE),
        ("hardware", Security.HARDWARE),
    ],
)
def test_security_levels_have_many_names(name: str, security: Security) -> None:
    licence = licence_of(tracks={"uhd": {"security": name}})
    assert licence.terms()[TrackType.UHD] == Terms(security)
    assert licence.terms()[TrackType.SD] == FREE


def test_output_rules_are_those_of_the_track() -> None:
    licence = licence_of(tracks={"hd": {"hdcp": "2.2", "analogue": False, "airplay": False}})
    terms = licence.terms()[TrackType.HD]
    assert terms == Terms(outputs=Outputs(Hdcp.V2_2, analogue=False, airplay=False))
    assert terms is not None
    assert not terms.in_clear


@pytest.mark.parametrize(
    ("settings", "term"),
    [
        ({}, Term(5000)),
        ({"duration": "10m"}, Term(1600)),
        ({"duration": "2h"}, Term(5000)),
        ({"start_within": "500ms", "play_for": "2m", "renew_every": "45s"}, Term(5000, 1, 120, 45)),
        ({"persistent": True, "duration": "1m"}, Term(1060, persistent=True)),
    ],
)
def test_a_licence_ends_with_its_session_at_the_latest(settings: dict[str, Any], term: Term) -> None:
    assert term_of(SESSION, licence_of(**settings), NOW) == term


def test_a_renewal_leaves_what_may_be_played_as_it_was_and_ends_after_it() -> None:
    licence = licence_of(start_within="1m", play_for="2m", renew_every="45s")
    assert renewed_term_of(SESSION, licence, 100, NOW) == Term(5000, play_for=120, renew_every=45)
    assert renewed_term_of(SESSION, licence_of(), 100, NOW) == Term(5000)
    with pytest.raises(LicenceRefusedError, match="is over"):
        renewed_term_of(SESSION, licence, 120, NOW)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"persistent": True}, "streams.news.licence.persistent: a stored licence needs an end"),
        ({"duration": "1m", "renew_every": "2m"}, "streams.news.licence.renew_every: longer than 'duration'"),
        ({"tracks": {"8k": {}}}, "Invalid enum value '8k'"),
        ({"tracks": {"hd": {"security": "L4"}}}, "Invalid enum value 'L4'"),
        ({"allowed": []}, "allowed"),
        ({"devices": {"refuse": [{}]}}, r"licence\.devices\.refuse\[0\]: covers every device"),
        ({"devices": {"allow": [{"client_info": "x"}]}}, "unknown field `client_info`"),
    ],
)
def test_licences_that_make_no_sense_are_refused(settings: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        configured(settings)


def test_keys_asked_for_come_first_and_the_oldest_are_left_out() -> None:
    slots = [KeySlot("news", TrackType.SD, Scheme.CENC, 1, period) for period in (None, *range(0, 200_000, 1000))]

    def kid_of(slot: KeySlot) -> bytes:
        return str(slot.period).encode()

    kept = granted_slots(slots, kid_of, frozenset([b"3000"]))
    assert [slot.period for slot in kept[:3]] == [3000, None, 199_000]
    assert len(kept) == MAX_KEYS
    keys = granted_keys(kept, lambda _: Terms(Security.HARDWARE), lambda slot: ContentKey(kid_of(slot), b"", b"", b""))
    assert [granted.key.kid for granted in keys[:3]] == [b"3000", b"None", b"199000"]
    assert {granted.security for granted in keys} == {Security.HARDWARE}


def test_key_ids_are_derived_until_those_asked_for_are_found() -> None:
    slots = [KeySlot("news", TrackType.SD, Scheme.CENC, 1, period) for period in (None, *range(0, 200_000, 1000))]
    derived: list[KeySlot] = []

    def kid_of(slot: KeySlot) -> bytes:
        derived.append(slot)
        return str(slot.period).encode()

    assert len(granted_slots(slots, kid_of, frozenset([b"None"]))) == MAX_KEYS
    assert derived == slots[:1]
    assert len(granted_slots(slots, kid_of, frozenset())) == MAX_KEYS
    assert derived == slots[:1]


def test_a_challenge_is_good_once_and_for_its_session_a_little_longer() -> None:
    repeats = Repeats()
    assert repeats.may(b"1", "s", "i", NOW)
    assert repeats.may(b"1", "s", "i", NOW + PATIENCE_S - 1)
    assert not repeats.may(b"1", "t", "i", NOW + 1)
    assert not repeats.may(b"1", "s", "j", NOW + 1)
    assert not repeats.may(b"1", "s", "i", NOW + PATIENCE_S)
    assert repeats.may(b"2", "t", "i", NOW)
    assert repeats.may(b"1", "t", "i", NOW + REMEMBERED_S + 100)


def test_a_full_memory_of_challenges_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats_module, "SeenOnce", lambda: SeenOnce(limit=2))
    repeats = Repeats()
    assert repeats.may(b"1", "s", "i", NOW)
    assert not repeats.may(b"1", "t", "i", NOW)
    assert repeats.may(b"2", "s", "i", NOW)
    assert repeats.may(b"3", "s", "i", NOW)


@pytest.mark.parametrize(
    ("systems", "given"), [(["widevine", "playready"], False), (["widevine", "clearkey"], True), (["identity"], True)]
)
def test_keys_go_out_in_clear_only_where_a_stream_has_a_system_for_that(systems: list[str], given: bool) -> None:
    news = {**GOOD["streams"]["news"], "systems": systems}
    stream = parse_config({**GOOD, "streams": {"news": news}}, "test").streams["news"]
    assert stream.in_clear is given


BOX = Device("widevine", b"", Security.SOFTWARE, "Acme Box 12", "Acme", 7, Platform.CLAIMED)


@pytest.mark.parametrize(
    ("devices", "admitted"),
    [
        ({}, True),
        ({"allow": [{"system_id": 7}]}, True),
        ({"allow": [{"system_id": 8}]}, False),
        ({"allow": [{"system_id": 8}, {"make": "ACME"}]}, True),
        ({"allow": [{"system": "playready", "make": "acme"}]}, False),
        ({"allow": [{"model": "acme box 1?"}]}, True),
        ({"refuse": [{"make": "acme", "model": "*box 13"}]}, True),
        ({"refuse": [{"make": "acme", "model": "*box 12"}]}, False),
        ({"allow": [{"system_id": 7}], "refuse": [{"system_id": 7}]}, False),
        ({"platform": "claimed"}, True),
        ({"platform": "verified"}, False),
    ],
)
def test_devices_are_let_in_by_their_kind(devices: dict[str, Any], admitted: bool) -> None:
    licence = licence_of(devices=devices)
    assert licence.devices.admits(BOX) is admitted
    # Whoever is not told passes no list, and gets no key without a licence.
    assert licence.devices.admits(None) is (not devices)
    assert licence.devices.asks is bool(devices)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (Group("g", {}), ("1h", "5m", False)),
        (Group("g", {}, persistent=True, duration_ms=60_000), ("1m", "1m", True)),
        (Group("g", {}, duration_ms=0, renew_ms=0), ("0s", "0s", False)),
        (Group("g", {}, renew_ms=30_000), ("1h", "30s", False)),
    ],
)
def test_a_group_decides_what_it_says_and_leaves_the_rest(group: Group, expected: tuple[str, str, bool]) -> None:
    found = licence_of(duration="1h", renew_every="5m", persistent=True).under(group)
    duration, renew_every, persistent = expected
    assert found.duration == Duration.parse(duration)
    assert found.renew_every == Duration.parse(renew_every)
    assert found.persistent is persistent


def test_a_system_id_is_none_where_a_system_has_none() -> None:
    devices = licence_of(devices={"refuse": [{"system_id": 0}]}).devices
    assert devices.admits(replace(BOX, system="playready", system_id=0))


def test_track_types_that_are_not_allowed_go_to_nobody() -> None:
    terms = licence_of(allowed=["audio", "sd"]).terms()
    assert [track for track in TrackType if terms[track]] == [TrackType.AUDIO, TrackType.SD]
