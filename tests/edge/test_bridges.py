"""Licences from the DRM systems' owners, by way of the relay: what reaches them, what comes back, what is refused."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from keys.licences.bridges.widevine import CloudAccount
from keys.licences.protobuf import encode
from keys.model import Scheme, TrackType
from relay.licensing import bridges
from relay.licensing.material import (
    FairPlayBridgeMaterial,
    Material,
    PlayReadyBridgeMaterial,
    ServerMaterial,
    WidevineBridgeMaterial,
)
from tests.edge import owners_servers
from tests.edge.owners_servers import ORDER_SECRET, SIGNING_IV, SIGNING_KEY, OwnersServer
from tests.edge.test_licences import (
    SOAP,
    WidevineDevice,
    ask,
    content_key,
    fairplay,
    header,
    origin,
    reason_of,
)
from tests.edge.test_licences import material as own_material
from tests.edge.world import KEY_RING, World, running_world, stream
from tests.keys.licences import fairplay_device, widevine_client
from tests.keys.licences.playready_client import Client

PROCESS = "tests.keys.licences.fairplay_module:process"
CERTIFICATE = bytes.fromhex(fairplay_device.VECTORS["certificate_der"])
PURCHASE_ID = 3


@dataclass
class Bridged:
    """A relay whose licences are made by others."""

    world: World
    widevine: OwnersServer
    playready: OwnersServer


def streams(origin: str) -> dict[str, Any]:
    def of(**licence: Any) -> dict[str, Any]:
        return stream(origin, "clear", hls="master.m3u8", dash="manifest.mpd", licence=licence)

    return {
        "vod": of(),
        "strict": of(tracks={"sd": {"security": "L1", "hdcp": "2.2"}}),
        "mute": of(tracks={"sd": {"analogue": False}, "audio": {"analogue": False}}),
        "wired": of(tracks={"sd": {"digital": False}}),
        "leased": of(duration="5m", renew_every="45s", play_for="2m"),
        "kept": of(duration="1h", persistent=True),
        "acme": of(devices={"allow": [{"make": "acme*"}], "refuse": [{"model": "Old *"}]}),
    }


@pytest.fixture
async def bridged() -> AsyncIterator[Bridged]:
    own = own_material()
    assert own.widevine
    assert own.playready
    widevine, playready = OwnersServer(), OwnersServer()
    async with AsyncExitStack() as stack:
        answer = owners_servers.widevine_service(widevine, own.widevine.server())
        await stack.enter_async_context(owners_servers.running(widevine, answer))
        answer = owners_servers.playready_server(playready, own.playready.server())
        await stack.enter_async_context(owners_servers.running(playready, answer))
        material = Material(
            widevine_bridge=WidevineBridgeMaterial(
                ServerMaterial(widevine.url, 0.5, 2),
                CloudAccount("tester", SIGNING_KEY, SIGNING_IV),
                KEY_RING.service_keys("widevine bridge"),
            ),
            playready_bridge=PlayReadyBridgeMaterial(ServerMaterial(playready.url, 0.5, 2), ORDER_SECRET, 2000),
            fairplay_bridge=FairPlayBridgeMaterial(CERTIFICATE, PROCESS),
        )
        world = await stack.enter_async_context(running_world(origin(), streams, material))
        yield Bridged(world, widevine, playready)


async def test_a_widevine_licence_is_the_services_with_our_keys(bridged: Bridged) -> None:
    sd, audio = content_key("vod", TrackType.SD), content_key("vod", TrackType.AUDIO)
    device = WidevineDevice()
    challenge = device.challenge(sd.kid)
    status, body, headers = await ask(bridged.world, "vod", challenge)
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, "application/octet-stream", "no-store")
    keys = device.read(body, challenge).keys
    assert (keys[sd.kid], keys[audio.kid]) == (sd.key, audio.key)
    assert content_key("vod", TrackType.HD).kid not in keys
    (seen,) = bridged.widevine.seen
    assert (b64decode(seen["payload"]), b64decode(seen["content_id"])) == (challenge, b"vod")
    assert {spec["track_type"] for spec in seen["content_key_specs"]} == {"AUDIO", "SD"}
    assert 86_000 < seen["policy_overrides"]["license_duration_seconds"] <= 86_401


async def test_the_service_is_told_each_keys_terms(bridged: Bridged) -> None:
    sd = content_key("strict", TrackType.SD)
    await ask(bridged.world, "strict", WidevineDevice().challenge(sd.kid))
    specs = {spec["track_type"]: spec for spec in bridged.widevine.seen[0]["content_key_specs"]}
    assert specs["SD"]["security_level"] == 4
    assert specs["SD"]["required_output_protection"] == {"hdcp": "HDCP_V2_2"}
    assert specs["AUDIO"]["security_level"] == 1
    mute = content_key("mute", TrackType.SD)
    answer = await ask(bridged.world, "mute", WidevineDevice().challenge(mute.kid, request_id=b"2"))
    assert reason_of(answer) == (403, "output_protection")


async def test_the_service_certificate_is_the_services(bridged: Bridged) -> None:
    status, body, _ = await ask(bridged.world, "vod", b"\x08\x04")
    assert status == 200
    assert body.startswith(b"\x08\x05")
    assert "content_key_specs" not in bridged.widevine.seen[0]


async def test_devices_are_judged_by_what_the_service_says_of_them(bridged: Bridged) -> None:
    kid = content_key("acme", TrackType.SD).kid
    for facts, expected in (
        ({}, 403),
        ({"make": "Other", "model": "TV"}, 403),
        ({"make": "Acme", "model": "Old TV"}, 403),
        ({"make": "ACME", "model": "TV", "security_level": 1}, 200),
    ):
        bridged.widevine.facts = dict(facts)
        challenge = WidevineDevice().challenge(kid, request_id=str(facts).encode())
        with capture_logs() as logs:
            answer = await ask(bridged.world, "acme", challenge)
        assert answer[0] == expected
        if expected == 403:
            assert answer[2]["Relay-Reason"] == "device_refused"
            assert kid not in answer[1]
        else:
            assert [one["model"] for one in logs if one["event"] == "licence_issued"] == ["TV"]


async def leased(bridged: Bridged, device: WidevineDevice, **claims: Any) -> tuple[widevine_client.Licence, bytes]:
    """A licence to renew, and its identification as a client returns it: with what the service was given for it."""
    challenge = device.challenge(content_key("leased", TrackType.SD).kid)
    status, body, _ = await ask(bridged.world, "leased", challenge, **claims)
    assert status == 200
    licence = device.read(body, challenge)
    purchase = b64decode(bridged.widevine.seen[-1]["session_init"]["purchase_id"])
    return licence, licence.id + encode((PURCHASE_ID, purchase))


async def test_a_renewal_is_bound_to_the_session_and_device_of_its_licence(bridged: Bridged) -> None:
    licence, id_ = await leased(bridged, WidevineDevice())
    status, body, _ = await ask(bridged.world, "leased", licence.renewal(id_=id_), jti="2", sid="later")
    assert status == 200
    assert licence.renewed(body).policy[9] == 45
    assert bridged.widevine.seen[-1]["policy_overrides"]["playback_duration_seconds"] == 120
    answer = await ask(bridged.world, "leased", licence.renewal(id_=id_), jti="3", sub="another")
    assert reason_of(answer) == (403, "scope_key")
    answer = await ask(bridged.world, "vod", licence.renewal(id_=id_), jti="4")
    assert reason_of(answer) == (403, "scope_key")
    forged = licence.id + encode((PURCHASE_ID, b"forged"))
    assert reason_of(await ask(bridged.world, "leased", licence.renewal(id_=forged), jti="5")) == (
        400,
        "request_invalid",
    )
    status, _, _ = await ask(bridged.world, "leased", licence.renewal(type_=3, id_=id_), jti="6")
    assert status == 200
    assert "policy_overrides" not in bridged.widevine.seen[-1]


@pytest.mark.parametrize("kind", ["session", "account", "device", "drm device"])
async def test_what_is_revoked_gets_no_licence_and_no_renewal(bridged: Bridged, kind: str) -> None:
    world, device = bridged.world, WidevineDevice()
    with capture_logs() as logs:
        licence, id_ = await leased(bridged, device, did="tv")
    (digest,) = (one["device"] for one in logs if one["event"] == "licence_issued")
    target = {
        "session": {"session_id": "session-1"},
        "account": {"account_id": "account-1"},
        "device": {"device_id": "tv"},
        "drm device": {"device_id": digest},
    }[kind]
    await world.revoke(**target, reason="test")
    asked = len(bridged.widevine.seen)
    again = device.challenge(content_key("leased", TrackType.SD).kid, request_id=b"2")
    assert reason_of(await ask(world, "leased", again, did="tv", jti="2")) == (403, "revoked")
    assert reason_of(await ask(world, "leased", licence.renewal(id_=id_), did="tv", jti="3")) == (403, "revoked")
    if kind in ("session", "drm device"):
        other = await ask(world, "leased", licence.renewal(id_=id_), sid="2", jti="4")
        assert reason_of(other) == (403, "revoked")
    assert len(bridged.widevine.seen) == asked


async def test_what_is_revoked_while_the_service_thinks_gets_nothing(bridged: Bridged) -> None:
    answer = owners_servers.widevine_service(bridged.widevine, _server())

    async def slow(request: web.Request) -> web.StreamResponse:
        made = await answer(request)
        await bridged.world.revoke(session_id="session-1", reason="test")
        return made

    bridged.widevine.override = slow
    challenge = WidevineDevice().challenge(content_key("vod", TrackType.SD).kid)
    with pytest.raises(OSError, match=r"[Dd]isconnected|reset"):
        # Cut off, as everything that was under way for the session.
        await ask(bridged.world, "vod", challenge)
    assert len(bridged.widevine.seen) == 1


async def test_a_renewal_without_anything_sealed_is_the_sessions_by_its_url(bridged: Bridged) -> None:
    licence, _ = await leased(bridged, WidevineDevice())
    assert (await ask(bridged.world, "leased", licence.renewal(), jti="2"))[0] == 200
    await bridged.world.revoke(session_id="session-1", reason="test")
    assert reason_of(await ask(bridged.world, "leased", licence.renewal(), jti="3")) == (403, "revoked")


async def test_playready_gets_the_servers_response(bridged: Bridged) -> None:
    sd, audio = content_key("vod", TrackType.SD), content_key("vod", TrackType.AUDIO)
    client = Client()
    status, body, headers = await ask(bridged.world, "vod", client.challenge(header(sd, audio)), SOAP)
    assert (status, headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
    keys = {licence.kid: licence.key for licence in client.accept(body)}
    assert (keys[sd.kid], keys[audio.kid]) == (sd.key, audio.key)
    assert content_key("vod", TrackType.HD).kid not in keys
    (order,) = bridged.playready.seen
    assert (order["content"], order["persistent"]) == ("vod", False)
    assert order["end"] - order["iat"] <= 86_401


async def test_playready_servers_are_told_each_keys_terms(bridged: Bridged) -> None:
    sd = content_key("strict", TrackType.SD)
    await ask(bridged.world, "strict", Client().challenge(header(sd, content_key("strict", TrackType.AUDIO))), SOAP)
    key = next(key for key in bridged.playready.seen[0]["keys"] if key["kid"] == sd.kid.hex())
    assert (key["security_level"], key["hdcp_type_1"], key["opl"]) == (3000, True, [500, 300, 100, 100, 100])
    other = content_key("acme", TrackType.SD)
    answer = await ask(bridged.world, "acme", Client(nonce=b"2" * 16).challenge(header(other)), SOAP)
    # Whose device it is, that server does not say.
    assert reason_of(answer) == (500, "device_refused")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0x8004C065, "device_revoked"),
        (0x8004C604, "licence_refused"),
        (0x8004C601, "request_invalid"),
        (0x8004C60B, "protocol_version"),
        (0x8004C600, "licence_failed"),
    ],
)
async def test_faults_of_playready_servers_keep_their_meaning(bridged: Bridged, code: int, reason: str) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text=f"<x><StatusCode>{code:#x}</StatusCode></x>", content_type="text/xml")

    bridged.playready.override = refuse
    answer = await ask(bridged.world, "vod", Client().challenge(header(content_key("vod", TrackType.SD))), SOAP)
    assert answer[2]["Relay-Reason"] == reason
    assert b"<soap:Fault>" in answer[1]


async def test_fairplay_gets_the_modules_ckc(bridged: Bridged) -> None:
    audio = content_key("vod", TrackType.AUDIO, Scheme.CBCS)
    device = fairplay(audio.kid, b"1")
    status, body, _ = await ask(bridged.world, "vod", device.spc())
    assert status == 200
    seen = device.read(body)
    assert (seen["key"], seen["iv"]) == (audio.key.hex(), audio.constant_iv.hex())
    assert 86_000 < seen["duration"]["lease"] <= 86_400
    kept = content_key("kept", TrackType.SD, Scheme.CBCS)
    device = fairplay(kept.kid, b"2")
    _, body, _ = await ask(bridged.world, "kept", device.spc())
    assert device.read(body)["offline"]["storage"] <= 3600
    wired = fairplay(content_key("wired", TrackType.SD, Scheme.CBCS).kid, b"3")
    assert reason_of(await ask(bridged.world, "wired", wired.spc())) == (403, "output_protection")
    answer = await ask(bridged.world, "vod", bytes(3) + b"\x03" + bytes(200))
    assert reason_of(answer) == (400, "request_invalid")
    url = f"{bridged.world.edge}/api/v1/drm/license/fairplay-certificate"
    assert (await bridged.world.get(url))[:2] == (200, CERTIFICATE)


async def test_fairplay_devices_are_revoked_behind_the_module_too(bridged: Bridged) -> None:
    kid = content_key("vod", TrackType.SD, Scheme.CBCS).kid
    with capture_logs() as logs:
        assert (await ask(bridged.world, "vod", fairplay(kid, b"1").spc()))[0] == 200
    (digest,) = (one["device"] for one in logs if one["event"] == "licence_issued")
    await bridged.world.revoke(device_id=digest, reason="test")
    assert reason_of(await ask(bridged.world, "vod", fairplay(kid, b"2").spc(), jti="2")) == (403, "revoked")


@pytest.mark.parametrize("process", ["broken", "failing"])
async def test_a_module_that_fails_is_no_fault_of_the_players(process: str) -> None:
    material = Material(fairplay_bridge=FairPlayBridgeMaterial(CERTIFICATE, f"{PROCESS[:-8]}:{process}"))
    async with running_world(origin(), streams, material) as world:
        kid = content_key("vod", TrackType.SD, Scheme.CBCS).kid
        assert reason_of(await ask(world, "vod", fairplay(kid, b"1").spc())) == (502, "licence_failed")


async def _junk(_: web.Request) -> web.StreamResponse:
    return web.Response(text="key: 0011223344556677")


async def _unsigned(_: web.Request) -> web.StreamResponse:
    return web.json_response({"status": "SIGNATURE_FAILED", "license": ""})


async def _forbidden(_: web.Request) -> web.StreamResponse:
    return web.Response(status=403)


async def _elsewhere(request: web.Request) -> web.StreamResponse:
    raise web.HTTPTemporaryRedirect(request.url)


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(bytes(65_536))


async def _hanging(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


@pytest.mark.parametrize(
    ("override", "status", "reason"),
    [
        (_junk, 502, "licence_failed"),
        (_unsigned, 502, "licence_failed"),
        (_forbidden, 502, "licence_failed"),
        (_elsewhere, 502, "licence_failed"),
        (_endless, 502, "licence_failed"),
        (_hanging, 503, "licences_busy"),
    ],
)
async def test_a_server_that_fails_is_no_fault_of_the_players(
    bridged: Bridged, override: Any, status: int, reason: str
) -> None:
    bridged.widevine.override = bridged.playready.override = override
    kid = content_key("vod", TrackType.SD)
    with capture_logs() as logs:
        answer = await ask(bridged.world, "vod", WidevineDevice().challenge(kid.kid))
        other = await ask(bridged.world, "vod", Client().challenge(header(kid)), SOAP)
    assert reason_of(answer) == (status, reason)
    assert other[2]["Relay-Reason"] == reason
    assert "0011223344556677" not in str(logs)
    assert bridged.widevine.url not in str(logs)


async def test_a_server_out_of_reach_is_a_502_and_a_full_one_a_503(
    bridged: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridged.widevine.override = _hanging
    kid = content_key("vod", TrackType.SD).kid
    challenges = [WidevineDevice().challenge(kid, request_id=bytes([n])) for n in range(3)]
    with capture_logs() as logs:
        answers = await asyncio.gather(*(ask(bridged.world, "vod", one) for one in challenges))
    assert {reason_of(answer) for answer in answers} == {(503, "licences_busy")}
    # Two were tried.
    assert [one["event"] for one in logs if one["event"] == "bridge_timeout"] == ["bridge_timeout"] * 2

    async def refused(*_: Any) -> None:
        raise ConnectionRefusedError(bridged.widevine.url)

    monkeypatch.setattr(bridges.BridgeClient, "_post", refused)
    with capture_logs() as logs:
        answer = await ask(bridged.world, "vod", WidevineDevice().challenge(kid, request_id=b"4"))
    assert reason_of(answer) == (502, "licence_failed")
    assert bridged.widevine.url not in str(logs)


async def test_foreign_devices_and_repeats_are_refused_as_without_a_bridge(bridged: Bridged) -> None:
    foreign = widevine_client.signed(widevine_client.new_request(content=_content(bridged)))
    assert reason_of(await ask(bridged.world, "vod", foreign)) == (400, "request_invalid")
    challenge = WidevineDevice().challenge(content_key("vod", TrackType.SD).kid)
    for _ in range(2):
        assert (await ask(bridged.world, "vod", challenge))[0] == 200
    assert reason_of(await ask(bridged.world, "vod", challenge, sid="another")) == (401, "replayed")
    offline = WidevineDevice().challenge(content_key("vod", TrackType.SD).kid, type_=2)
    assert reason_of(await ask(bridged.world, "vod", offline)) == (403, "licence_persistence")


def _content(_: Bridged) -> bytes:
    return widevine_client.pssh_content(encode((2, content_key("vod", TrackType.SD).kid)))


def _server() -> Any:
    own = own_material().widevine
    assert own
    return own.server()
