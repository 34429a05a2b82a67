"""What licences are made of: their terms, their material, and the processes that make them."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from structlog.testing import capture_logs

from keys.errors import LicenceRefusedError
from keys.licences.detect import DrmSystem
from keys.licences.terms import Device, Platform, Term
from keys.licences.widevine import Model
from keys.material import ContentKey, RootKey
from keys.model import Hdcp, KeySlot, Outputs, Scheme, Security, TrackType
from keys.ring import KeyRing
from policies.model import FREE, Group, Terms
from relay.app import running_node
from relay.config import Config, parse_config
from relay.errors import ConfigError
from relay.gate.dialects.keys import TokenKey
from relay.gate.replay import SeenOnce
from relay.licensing import process as process_module
from relay.licensing import repeats as repeats_module
from relay.licensing.desk import FORGOTTEN, Desk, Kind, Opened, Refusal
from relay.licensing.issuers import Issuers
from relay.licensing.material import FairPlayMaterial, Material
from relay.licensing.process import ProcessLostError
from relay.licensing.repeats import PATIENCE_S, REMEMBERED_S, Repeats
from relay.licensing.settings import LicenceConfig
from relay.licensing.terms import MAX_KEYS, granted_keys, granted_slots, renewed_term_of, term_of
from relay.licensing.workers import Lane, LicenceFailedError, LicencesBusyError
from relay.model import Session
from relay.secrets import Secrets, read_secrets
from relay.units import Duration
from tests.keys.licences import fairplay_device, playready_client
from tests.keys.licences.fairplay_device import FairPlayDevice
from tests.keys.licences.widevine_client import certificate, made_key, pkcs1
from tests.test_config import GOOD

NOW = 1000.0
SESSION = Session("s", "a", "i", 5000)


def configured(licence: dict[str, Any] | None = None, licences: dict[str, Any] | None = None) -> Config:
    news = {**GOOD["streams"]["news"], "licence": licence or {}}
    return parse_config({**GOOD, "streams": {"news": news}, "licences": licences or {}}, "test")


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


@pytest.fixture
def base(tmp_path: Path) -> Path:
    service = made_key("service")
    pem = service.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    vectors, apple = playready_client.VECTORS, fairplay_device.VECTORS
    files: dict[str, bytes] = {
        "api.key": b"a" * 32,
        "root.hex": b"ab" * 32,
        "token.hex": b"cd" * 32,
        "widevine.root": pkcs1(made_key("root")),
        "service.cert": certificate(service, made_key("root"), (1, 3), (2, b"serial"), (7, b"relay.test")),
        "service.pem": pem,
        "playready.root": playready_client.ROOT_KEY.public,
        "server.pem": vectors["wmrm_key_pem"].encode(),
        "response.pem": vectors["response_key_pem"].encode(),
        "response.chain": bytes.fromhex(vectors["response_chain"]),
        "fairplay.cer": bytes.fromhex(apple["certificate_der"]),
        "fairplay.pem": apple["rsa_key_pem"].encode(),
        "ask.hex": fairplay_device.ASK.hex().encode() + b"\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


WIDEVINE: dict[str, Any] = {
    "roots": ["widevine.root"],
    "services": [{"certificate": "service.cert", "key": "service.pem"}],
    "devices": [{"system_id": 7, "security": "L1", "name": "Box"}],
    "revoked": ["0aff"],
}
PLAYREADY: dict[str, Any] = {
    "roots": ["playready.root"],
    "server_keys": ["server.pem"],
    "response_key": "response.pem",
    "response_chain": "response.chain",
}
FAIRPLAY: dict[str, Any] = {
    "credentials": [{"certificate": "fairplay.cer", "key": "fairplay.pem", "ask": "ask.hex"}],
    "derive_secret": "tests.keys.licences.fairplay_device:stand_in_d",
}


def test_material_is_read_from_files_and_shown_nowhere(base: Path) -> None:
    secrets = read_secrets(configured(None, {"widevine": WIDEVINE, "playready": PLAYREADY, "fairplay": FAIRPLAY}), base)
    material = secrets.licences
    assert material.widevine
    assert material.widevine.models == ((7, Model(Security.HARDWARE, "Box")),)
    assert material.widevine.others == Model(Security.SOFTWARE)
    assert material.widevine.revoked == {b"\x0a\xff"}
    assert material.playready
    assert material.fairplay
    assert material.fairplay.certificate == (base / "fairplay.cer").read_bytes()
    assert read_secrets(configured(), base).licences == Material()
    for shown in (repr(material), repr(secrets)):
        assert "PRIVATE" not in shown
        assert repr(fairplay_device.ASK)[2:-1] not in shown


@pytest.mark.parametrize(
    ("licences", "error"),
    [
        ({"widevine": {**WIDEVINE, "roots": ["none"]}}, r"none: licences\.widevine\.roots\[0\]: cannot be read"),
        ({"widevine": {**WIDEVINE, "roots": ["api.key"]}}, r"licences\.widevine: .*\. Put there what the owner"),
        (
            {"widevine": {**WIDEVINE, "services": [{"certificate": "service.cert", "key": "server.pem"}]}},
            r"licences\.widevine: Widevine service certificate: certifies another key",
        ),
        (
            {"widevine": {**WIDEVINE, "devices": [{"system_id": 1, "security": "Medium"}]}},
            "Invalid enum value 'Medium'",
        ),
        ({"widevine": {**WIDEVINE, "devices": WIDEVINE["devices"] * 2}}, r"licences\.widevine\.devices: two have"),
        ({"widevine": {**WIDEVINE, "revoked": ["0"]}}, "licences.widevine.revoked"),
        ({"playready": {**PLAYREADY, "response_key": "server.pem"}}, r"licences\.playready: response chain"),
        ({"playready": {**PLAYREADY, "server_keys": ["api.key"]}}, r"licences\.playready: server key: not an"),
        ({"fairplay": {**FAIRPLAY, "derive_secret": "no.such:thing"}}, r"licences\.fairplay: derive_secret: No module"),
        ({"fairplay": {**FAIRPLAY, "derive_secret": "os:nothing"}}, r"licences\.fairplay: derive_secret: module 'os'"),
        ({"fairplay": {**FAIRPLAY, "derive_secret": "os"}}, r"licences\.fairplay\.derive_secret"),
        (
            {"fairplay": {**FAIRPLAY, "credentials": [{**FAIRPLAY["credentials"][0], "ask": "fairplay.pem"}]}},
            r"licences\.fairplay\.credentials\[0\]\.ask: not hexadecimal",
        ),
        ({"fairplay": {**FAIRPLAY, "credentials": []}}, r"licences\.fairplay\.credentials"),
    ],
)
def test_material_that_is_unusable_is_refused_by_name(base: Path, licences: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        read_secrets(configured(None, licences), base)


def fairplay_material(derive_secret: str = FAIRPLAY["derive_secret"]) -> Material:
    apple = fairplay_device.VECTORS
    credentials = bytes.fromhex(apple["certificate_der"]), apple["rsa_key_pem"].encode(), fairplay_device.ASK
    return Material(fairplay=FairPlayMaterial((credentials,), derive_secret))


async def opened_by(issuers: Issuers, count: int = 1) -> Sequence[Opened | Refusal | BaseException]:
    lane = issuers.of(DrmSystem.FAIRPLAY)
    assert lane
    spc = FairPlayDevice().spc()
    calls = (lane.open(DrmSystem.FAIRPLAY, spc, fairplay_device.NOW) for _ in range(count))
    return await asyncio.gather(*calls, return_exceptions=True)


def lane_of(issuers: Issuers) -> Lane:
    lane = issuers.of(DrmSystem.FAIRPLAY)
    assert isinstance(lane, Lane)
    return lane


async def test_a_full_queue_says_so_and_a_dead_process_is_replaced() -> None:
    issuers = Issuers(fairplay_material(), 1, 2, 10.0)
    try:
        assert issuers.of(DrmSystem.WIDEVINE) is None
        found = await opened_by(issuers, 4)
        assert [type(one) for one in found] == [Opened, Opened, LicencesBusyError, LicencesBusyError]
        lane = lane_of(issuers)
        first = found[0]
        assert isinstance(first, Opened)
        assert first.kind is Kind.NEW
        assert lane.process
        assert lane.process.pid
        os.kill(lane.process.pid, signal.SIGKILL)
        with capture_logs() as logs:
            assert [type(one) for one in await opened_by(issuers)] == [LicencesBusyError]
        assert [(one["event"], one["system"], one["how"]) for one in logs] == [
            ("licence_process_lost", "fairplay", "ended (exit code -9)")
        ]
        assert [type(one) for one in await opened_by(issuers)] == [Opened]
        # What the dead process had opened is not confused with what its successor has.
        made = await lane.make(first, None, fairplay_device.NOW)
        assert isinstance(made, Refusal)
        assert made.reason == FORGOTTEN
    finally:
        await issuers.close()
    assert [type(one) for one in await opened_by(issuers)] == [LicencesBusyError]


def hanging_d(_: bytes, __: bytes) -> bytes:
    time.sleep(600)
    return b""


async def test_a_plug_in_that_never_returns_costs_its_process_and_holds_up_neither_others_nor_the_end() -> None:
    issuers = Issuers(fairplay_material("tests.test_licensing:hanging_d"), 1, 8, 0.2)
    with capture_logs() as logs:
        assert {type(one) for one in await opened_by(issuers, 2)} == {LicencesBusyError}
    assert {(one["event"], one["how"]) for one in logs} == {
        ("licence_process_lost", "took longer than 0.2 s (exit code -9)")
    }
    waiting = asyncio.create_task(opened_by(issuers))
    await asyncio.sleep(0)
    await issuers.close()
    assert {type(one) for one in await waiting} == {LicencesBusyError}


async def test_starting_a_process_does_not_hold_up_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    started_in: list[str] = []
    spawn = process_module._spawn

    def noted(material: Material) -> Any:
        started_in.append(threading.current_thread().name)
        return spawn(material)

    monkeypatch.setattr(process_module, "_spawn", noted)
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    try:
        assert [type(one) for one in await opened_by(issuers)] == [Opened]
    finally:
        await issuers.close()
    assert len(started_in) == 1
    assert started_in != [threading.main_thread().name]


async def test_what_is_not_wanted_is_forgotten() -> None:
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    try:
        (opened,) = await opened_by(issuers)
        assert isinstance(opened, Opened)
        lane = lane_of(issuers)
        lane.drop(opened)
        made = await lane.make(opened, None, fairplay_device.NOW)
        assert isinstance(made, Refusal)
        assert made.reason == FORGOTTEN
    finally:
        await issuers.close()


WIDEVINE_BRIDGE: dict[str, Any] = {
    "url": "https://licences.example/getlicense/me",
    "provider": "me",
    "key": "root.hex",
    "iv": "iv.hex",
}
PLAYREADY_BRIDGE: dict[str, Any] = {"url": "https://playready.example/", "secret": "root.hex"}
FAIRPLAY_BRIDGE: dict[str, Any] = {
    "process": "tests.keys.licences.fairplay_module:process",
    "certificate": "fairplay.cer",
}


def test_bridges_are_read_from_files_and_shown_nowhere(base: Path) -> None:
    (base / "iv.hex").write_text("ef" * 16)
    licences = {
        "widevine_bridge": {**WIDEVINE_BRIDGE, "timeout": "2s", "requests": 7},
        "playready_bridge": PLAYREADY_BRIDGE,
        "fairplay_bridge": FAIRPLAY_BRIDGE,
    }
    material = read_secrets(configured(None, licences), base).licences
    assert material.widevine_bridge
    assert material.widevine_bridge.account.iv == b"\xef" * 16
    assert (material.widevine_bridge.server.timeout_s, material.widevine_bridge.server.requests) == (2.0, 7)
    assert material.playready_bridge
    assert material.playready_bridge.secret == b"\xab" * 32
    assert material.fairplay_certificate == (base / "fairplay.cer").read_bytes()
    for secret in (b"\xef" * 16, b"\xab" * 32):
        assert repr(secret)[2:-1] not in repr(material)
    assert "licences.example" not in repr(material)


@pytest.mark.parametrize(
    ("licences", "error"),
    [
        (
            {"widevine": WIDEVINE, "widevine_bridge": WIDEVINE_BRIDGE},
            r"licences\.widevine_bridge: .*licences\.widevine is there, too",
        ),
        (
            {"widevine_bridge": {**WIDEVINE_BRIDGE, "url": "http://licences.example/"}},
            r"url: keys would travel in clear",
        ),
        ({"playready_bridge": {**PLAYREADY_BRIDGE, "url": "http://10.0.0.1/"}}, r"url: keys would travel in clear"),
        ({"widevine_bridge": {**WIDEVINE_BRIDGE, "iv": "root.hex"}}, r"licences\.widevine_bridge: .*its IV 16"),
        (
            {"playready_bridge": {**PLAYREADY_BRIDGE, "secret": "ask.hex"}},
            r"playready_bridge\.secret: 16 bytes, expected 32",
        ),
        ({"fairplay_bridge": {**FAIRPLAY_BRIDGE, "process": "os:nothing"}}, r"fairplay_bridge: process: module 'os'"),
        ({"time_limit": "500ms"}, r"licences\.time_limit: less than a second"),
    ],
)
def test_bridges_that_are_unusable_are_refused_by_name(base: Path, licences: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        read_secrets(configured(None, licences), base)


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


def test_two_desks_never_give_the_same_ticket() -> None:
    tickets = set()
    for _ in range(2):
        opened = Desk(fairplay_material()).open(DrmSystem.FAIRPLAY, FairPlayDevice().spc(), fairplay_device.NOW)
        assert isinstance(opened, Opened)
        tickets.add(opened.ticket)
    assert len(tickets) == 2


async def test_what_was_asked_when_the_processes_are_replaced_is_answered_and_no_more() -> None:
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    assert [type(one) for one in await opened_by(issuers)] == [Opened]
    waiting = asyncio.create_task(opened_by(issuers, 8))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await issuers.close()
    assert {type(one) for one in await waiting} == {Opened}
    assert [type(one) for one in await opened_by(issuers)] == [LicencesBusyError]


async def test_whoever_asks_while_a_process_starts_for_a_configuration_that_goes_is_told_to_ask_again() -> None:
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    waiting = asyncio.create_task(opened_by(issuers, 8))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await issuers.close()
    assert {type(one) for one in await waiting} == {LicencesBusyError}


async def test_who_went_away_while_a_process_started_leaves_it_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Material] = []
    spawn = process_module._spawn

    def noted(material: Material) -> Any:
        started.append(material)
        return spawn(material)

    monkeypatch.setattr(process_module, "_spawn", noted)
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    try:
        gone = asyncio.create_task(opened_by(issuers))
        await asyncio.sleep(0.01)
        gone.cancel()
        assert [type(one) for one in await opened_by(issuers, 2)] == [Opened, Opened]
        assert len(started) == 1
    finally:
        await issuers.close()


async def test_a_process_that_cannot_begin_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    spawn = process_module._spawn

    def failing(_: Material) -> Any:
        raise ProcessLostError("cannot be started: no memory")

    monkeypatch.setattr(process_module, "_spawn", failing)
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    try:
        assert {type(one) for one in await opened_by(issuers, 2)} == {LicencesBusyError}
        monkeypatch.setattr(process_module, "_spawn", spawn)
        assert [type(one) for one in await opened_by(issuers)] == [Opened]
    finally:
        await issuers.close()


async def test_who_went_away_while_a_licence_was_made_leaves_no_mark() -> None:
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    try:
        assert [type(one) for one in await opened_by(issuers)] == [Opened]
        gone = asyncio.create_task(opened_by(issuers))
        await asyncio.sleep(0)
        gone.cancel()
        assert [type(one) for one in await opened_by(issuers)] == [Opened]
        assert lane_of(issuers).waiting == 0
    finally:
        await issuers.close()


def failing_d(_: bytes, __: bytes) -> bytes:
    raise OSError("no library")


async def test_what_a_plug_in_raises_is_a_failure_of_ours() -> None:
    issuers = Issuers(fairplay_material("tests.test_licensing:failing_d"), 1, 2, 10.0)
    try:
        with capture_logs() as logs:
            (error,) = await opened_by(issuers)
        assert isinstance(error, LicenceFailedError)
        assert [(one["event"], one["system"], one["error"]) for one in logs] == [
            ("licence_work_failed", "fairplay", "OSError")
        ]
        assert "no library" not in str(logs)
    finally:
        await issuers.close()


async def test_a_reload_takes_over_changed_material_and_leaves_the_rest_at_work() -> None:
    before = configured()
    ring = KeyRing([RootKey(1, bytes(32))])
    keys = {"https://platform.example": [TokenKey.symmetric("k1", bytes(32))]}

    def secrets(material: Material) -> Secrets:
        return Secrets(ring, keys, b"", licences=material)

    async with running_node(before, secrets(Material()), Path()) as node:
        none = node.licences
        assert none.of(DrmSystem.FAIRPLAY) is None
        await node.reload(before, secrets(Material()))
        assert node.licences is none
        await node.reload(before, secrets(fairplay_material()))
        served = node.licences
        assert [type(one) for one in await opened_by(served)] == [Opened]
        await node.reload(configured(None, {"queue": 5}), secrets(fairplay_material()))
        assert node.licences is not served
        assert [type(one) for one in await opened_by(served)] == [LicencesBusyError]
