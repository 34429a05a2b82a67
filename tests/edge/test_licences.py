"""Licences of every DRM system through the one endpoint, for clients of the tests' own with roots of their own."""

import asyncio
import json
import re
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import keys.licences.terms
from keys import base64url
from keys.licences.protobuf import Message, encode
from keys.licences.widevine import Model, Unserved
from keys.material import ContentKey
from keys.model import KeySignal, Scheme, Security, TrackType
from keys.signalling import playready as playready_signalling
from relay.edge.drm import REASONS
from relay.licensing.desk import Kind, Opened
from relay.licensing.material import FairPlayMaterial, Material, PlayReadyMaterial, WidevineMaterial
from relay.licensing.workers import Worker
from tests.edge.world import API_KEY, KEY_RING, VECTORS, World, running_world, stream
from tests.keys.licences import fairplay_device, playready_client, widevine_client
from tests.keys.licences.fairplay_device import FairPlayDevice
from tests.keys.licences.playready_client import Client, Key
from tests.keys.licences.widevine_client import made_key, pkcs1

SOAP = {"SOAPAction": '"http://schemas.microsoft.com/DRM/2007/03/protocols/AcquireLicense"', "Content-Type": "text/xml"}
TRUSTED, PLAIN = 7, 8
"""System IDs of Widevine devices: hardware, and one that no list names."""
Answer = tuple[int, bytes, Any]


def content_key(name: str, track: TrackType, scheme: Scheme = Scheme.CENC) -> ContentKey:
    """The stable key of a stream's track, whose ID players see."""
    return KEY_RING.content_key(KEY_RING.slot(name, track, scheme, None))


@dataclass
class WidevineDevice:
    """A device under the test's root."""

    system_id: int = TRUSTED
    serial: bytes = b"serial"
    files: bytes = b""

    def identity(self) -> bytes:
        token = widevine_chain(self.system_id, self.serial)
        return widevine_client.client_id(token) + (encode((7, self.files)) if self.files else b"")

    def challenge(self, *kids: bytes, request_id: bytes = b"1", type_: int = 1) -> bytes:
        content = widevine_client.pssh_content(encode(*((2, kid) for kid in kids)), type_=type_, request_id=request_id)
        return widevine_client.signed(widevine_client.new_request(self.identity(), content), made_key("device"))

    def read(self, answer: bytes, challenge: bytes) -> widevine_client.Licence:
        return widevine_client.read_licence(answer, challenge, made_key("device"))


@cache
def widevine_chain(system_id: int, serial: bytes) -> bytes:
    """A device's certificate below its model's: both made once, as real ones are."""
    above = widevine_model(system_id)
    leaf = (1, 2), (2, serial), (5, system_id)
    return widevine_client.certificate(made_key("device"), made_key("model"), *leaf, chain=above)


@cache
def widevine_model(system_id: int) -> bytes:
    return widevine_client.certificate(made_key("model"), made_key("root"), (1, 1), (2, b"model"), (5, system_id))


@cache
def service() -> tuple[bytes, bytes]:
    key = made_key("service")
    certificate = widevine_client.certificate(key, made_key("root"), (1, 3), (2, b"service"), (7, b"relay.test"))
    return certificate, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def material() -> Material:
    credentials = fairplay_device.VECTORS
    return Material(
        WidevineMaterial(
            (pkcs1(made_key("root")),),
            KEY_RING.service_keys("widevine state"),
            (service(),),
            ((TRUSTED, Model(Security.HARDWARE, "Trusted")),),
            Model(Security.SOFTWARE),
            frozenset({b"withdrawn"}),
        ),
        PlayReadyMaterial(
            (playready_client.ROOT_KEY.public,),
            (playready_client.VECTORS["wmrm_key_pem"].encode(),),
            playready_client.VECTORS["response_key_pem"].encode(),
            bytes.fromhex(playready_client.VECTORS["response_chain"]),
            2000,
            frozenset(),
        ),
        FairPlayMaterial(
            (
                (
                    bytes.fromhex(credentials["certificate_der"]),
                    credentials["rsa_key_pem"].encode(),
                    fairplay_device.ASK,
                ),
            ),
            "tests.keys.licences.fairplay_device:stand_in_d",
        ),
    )


def streams(origin: str) -> dict[str, Any]:
    manifests = {"hls": "master.m3u8", "dash": "manifest.mpd"}
    return {
        "vod": stream(origin, "clear", **manifests),
        "strict": stream(origin, "clear", **manifests, licence={"tracks": {"sd": {"security": "L1"}}}),
        "wired": stream(origin, "clear", **manifests, licence={"tracks": {"sd": {"digital": False}}}),
        "leased": stream(
            origin, "clear", **manifests, licence={"duration": "5m", "renew_every": "45s", "play_for": "2m"}
        ),
        "kept": stream(origin, "clear", **manifests, licence={"duration": "1h", "persistent": True}),
        "trusted": stream(origin, "clear", **manifests, licence={"devices": {"allow": [{"system_id": TRUSTED}]}}),
        "whole": stream(origin, "clear", **manifests, licence={"devices": {"platform": "claimed"}}),
        "sound": stream(origin, "clear", **manifests, licence={"allowed": ["audio"]}),
    }


def origin() -> web.Application:
    app = web.Application()
    app.router.add_static("/", VECTORS)
    return app


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_world(origin(), streams, material()) as made:
        yield made


async def ask(
    world: World, name: str, body: bytes | str, headers: dict[str, str] | None = None, **claims: Any
) -> Answer:
    url = f"{world.edge}/api/v1/drm/license?stream_id={name}"
    token = {"Authorization": f"Bearer {world.token(**claims)}"}
    async with world.client.post(url, data=body, headers={**token, **(headers or {})}) as answer:
        return answer.status, await answer.read(), answer.headers


def reason_of(answer: Answer) -> tuple[int, str]:
    return answer[0], answer[2]["Relay-Reason"]


async def test_a_widevine_client_gets_every_key_of_its_session_until_the_session_ends(world: World) -> None:
    sd, audio = content_key("vod", TrackType.SD), content_key("vod", TrackType.AUDIO)
    device = WidevineDevice()
    challenge = device.challenge(sd.kid)
    status, body, headers = await ask(world, "vod", challenge)
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    assert headers["Cache-Control"] == "no-store"
    licence = device.read(body, challenge)
    assert licence.keys[sd.kid] == sd.key
    assert licence.keys[audio.kid] == audio.key
    assert content_key("vod", TrackType.HD).kid not in licence.keys
    assert 86_000 < licence.policy[6] <= 86_401


async def test_the_service_certificate_is_for_sessions(world: World) -> None:
    status, body, _ = await ask(world, "vod", b"\x08\x04")
    assert (status, Message.decode(body, "answer").blob(2)) == (200, service()[0])
    assert (await world.client.post(f"{world.edge}/api/v1/drm/license?stream_id=vod", data=b"\x08\x04")).status == 401


async def test_a_device_gets_the_keys_whose_terms_it_meets(world: World) -> None:
    sd, audio = content_key("strict", TrackType.SD), content_key("strict", TrackType.AUDIO)
    for device, expected in ((WidevineDevice(PLAIN), {audio.kid}), (WidevineDevice(), {audio.kid, sd.kid})):
        challenge = device.challenge(sd.kid)
        _, body, _ = await ask(world, "strict", challenge)
        assert device.read(body, challenge).keys.keys() & {sd.kid, audio.kid} == expected
    client = Client()
    # The header says every key ID, so it is of a version that takes several.
    status, body, _ = await ask(world, "strict", client.challenge(header(sd, audio)), SOAP)
    assert status == 200
    got = {licence.kid for licence in client.accept(body)}
    assert audio.kid in got
    assert sd.kid not in got
    only_video = client_with_nonce(b"m").challenge(header(sd))
    status, body, headers = await ask(world, "strict", only_video, SOAP)
    assert (status, headers["Relay-Reason"]) == (500, "security_level")
    assert b"0x8004c604" in body


async def test_licences_are_for_the_devices_that_a_stream_lets_in(world: World) -> None:
    sd = content_key("trusted", TrackType.SD)
    assert (await ask(world, "trusted", WidevineDevice().challenge(sd.kid)))[0] == 200
    other = WidevineDevice(PLAIN).challenge(sd.kid)
    assert reason_of(await ask(world, "trusted", other)) == (403, "device_refused")
    assert reason_of(await ask(world, "trusted", Client().challenge(header(sd)), SOAP)) == (500, "device_refused")
    assert reason_of(await ask(world, "trusted", kids_json(sd))) == (403, "scope_key")


async def test_software_may_have_to_show_its_program_files(world: World) -> None:
    kid = content_key("whole", TrackType.SD).kid
    assert reason_of(await ask(world, "whole", WidevineDevice(PLAIN).challenge(kid))) == (403, "device_refused")
    showing = WidevineDevice(PLAIN, files=b"signed list")
    assert (await ask(world, "whole", showing.challenge(kid)))[0] == 200


async def test_no_licence_has_keys_of_tracks_that_are_not_allowed(world: World) -> None:
    sd, audio = content_key("sound", TrackType.SD), content_key("sound", TrackType.AUDIO)
    device = WidevineDevice()
    challenge = device.challenge(sd.kid, audio.kid)
    _, body, _ = await ask(world, "sound", challenge)
    keys = device.read(body, challenge).keys
    assert audio.kid in keys
    assert sd.kid not in keys
    assert reason_of(await ask(world, "sound", kids_json(sd))) == (403, "scope_key")


async def test_whoever_names_the_system_must_mean_it(world: World) -> None:
    sd = content_key("vod", TrackType.SD)
    device = WidevineDevice()
    challenge = device.challenge(sd.kid)
    status, body, _ = await ask(world, "vod&drm=widevine", challenge)
    assert status == 200
    assert device.read(body, challenge).keys
    for name in ("playready", "clearkey", "fairplay", "quicktime", ""):
        assert reason_of(await ask(world, f"vod&drm={name}", challenge)) == (400, "request_invalid")
    # Fields in an order of its own: no bytes to tell it by.
    body, signature = (Message.decode(challenge, "challenge").blob(number) for number in (2, 3))
    turned = encode((3, signature), (2, body), (1, 1))
    assert reason_of(await ask(world, "vod", turned)) == (400, "request_invalid")
    assert (await ask(world, "vod&drm=widevine", turned))[0] == 200
    assert (await ask(world, "vod&drm=widevine", b64encode(turned)))[0] == 200


async def test_what_a_refused_challenge_left_behind_is_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[Opened] = []
    monkeypatch.setattr(Worker, "drop", lambda _, opened: dropped.append(opened))
    refused = WidevineDevice(PLAIN).challenge(content_key("trusted", TrackType.SD).kid)
    assert (await ask(world, "trusted", refused))[0] == 403
    assert (await ask(world, "vod", WidevineDevice().challenge(content_key("strict", TrackType.SD).kid)))[0] == 403
    assert [opened.kind for opened in dropped] == [Kind.NEW, Kind.NEW]
    assert (await ask(world, "vod", WidevineDevice().challenge(content_key("vod", TrackType.SD).kid)))[0] == 200
    assert len(dropped) == 2


async def test_keys_with_terms_are_never_handed_out_without_a_licence(world: World) -> None:
    """Clear Key, the keys of the event channel and keys by URL know no terms."""
    sd, audio = content_key("strict", TrackType.SD), content_key("strict", TrackType.AUDIO)
    asked = kids_json(sd, audio)
    status, body, _ = await ask(world, "strict", asked)
    assert status == 200
    assert base64url.encode(audio.key).encode() in body
    assert base64url.encode(sd.key).encode() not in body
    assert reason_of(await ask(world, "strict", kids_json(sd))) == (403, "scope_key")
    master = await world.enter("strict")
    _, handed, _ = await world.get(master.replace("index.m3u8", "keys"))
    assert base64url.encode(audio.kid).encode() in handed
    assert base64url.encode(sd.kid).encode() not in handed
    master = await world.enter("strict", query="&scheme=aes-128&systems=identity")
    _, text, _ = await world.get(master)
    found = []
    for playlist in re.findall(r'(?m)^m/\S+|(?<=URI=")m/[^"]+', text.decode()):
        _, media, _ = await world.get(urljoin(master, playlist))
        key = re.search(r'METHOD=AES-128,URI="([^"]+)"', media.decode())
        assert key
        status, _, headers = await world.get(urljoin(urljoin(master, playlist), key[1]))
        found.append((status, headers.get("Relay-Reason")))
    assert sorted(found) == [(200, None), (403, "security_level")]


async def test_playready_gets_signed_licences(world: World) -> None:
    sd = content_key("vod", TrackType.SD)
    client = Client()
    status, body, headers = await ask(world, "vod", client.challenge(header(sd)), SOAP)
    assert (status, headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
    assert {licence.kid: licence.key for licence in client.accept(body)} == {sd.kid: sd.key}


async def test_playready_is_refused_by_soap_faults(world: World) -> None:
    sd = content_key("vod", TrackType.SD)
    client = Client()
    other = Client(signing=Key(99))
    for body, claims, status, reason, code in (
        (other.challenge(header(sd)), {}, 500, "request_invalid", b"0x8004c601"),
        (client.challenge(header(sd), version=9), {}, 500, "protocol_version", b"0x8004c60b"),
        (client.challenge(header(content_key("strict", TrackType.SD))), {}, 500, "scope_key", b"0x8004c604"),
        (client.challenge(header(sd)), {"exp": int(time.time()) - 60}, 500, "token_expired", b"0x8004c604"),
    ):
        found, text, headers = await ask(world, "vod", body, SOAP, **claims)
        assert (found, headers["Relay-Reason"]) == (status, reason)
        assert headers["Content-Type"].startswith("text/xml")
        assert b"<soap:Fault>" in text
        assert code in text
    # A player that packs its challenge unpacks the fault, too.
    packed = b64encode(other.challenge(header(sd)))
    _, text, _ = await ask(world, "vod", packed)
    assert b"<soap:Fault>" in b64decode(text)


async def test_fairplay_gets_the_key_that_it_names(world: World) -> None:
    audio = content_key("vod", TrackType.AUDIO, Scheme.CBCS)
    device = fairplay(audio.kid, b"1")
    status, body, headers = await ask(world, "vod", device.spc())
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    seen = device.read(body)
    assert (seen["key"], seen["iv"]) == (audio.key.hex(), audio.constant_iv.hex())
    assert 86_000 < seen["duration"]["lease"] <= 86_400
    kept = content_key("kept", TrackType.SD, Scheme.CBCS)
    device = fairplay(kept.kid, b"2")
    _, body, _ = await ask(world, "kept", device.spc())
    seen = device.read(body)
    assert seen["offline"]["storage"] <= 3600
    wired = content_key("wired", TrackType.SD, Scheme.CBCS)
    answer = await ask(world, "wired", fairplay(wired.kid, b"3").spc())
    assert reason_of(answer) == (403, "output_protection")


async def test_players_get_the_fairplay_certificate_without_a_session(world: World) -> None:
    status, body, _ = await world.get(f"{world.edge}/api/v1/drm/license/fairplay-certificate")
    assert (status, body.hex()) == (200, fairplay_device.VECTORS["certificate_der"])


async def test_a_challenge_is_answered_as_it_was_wrapped(world: World) -> None:
    sd = content_key("vod", TrackType.SD, Scheme.CBCS)
    device = fairplay(sd.kid, b"w")
    _, body, headers = await ask(world, "vod", "spc=" + quote(b64encode(device.spc()).decode(), safe=""))
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert device.read(b64decode(body))["key"] == sd.key.hex()
    other = WidevineDevice()
    challenge = other.challenge(content_key("vod", TrackType.SD).kid)
    status, body, _ = await ask(world, "vod", json.dumps({"challenge": b64encode(challenge).decode()}))
    assert status == 200
    assert body.startswith(b'{"license":"')
    assert other.read(b64decode(body[12:-2]), challenge).keys


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x08\x01\x12\x00", "request_invalid"),
        (b"\x08\x01\x12\xff", "request_invalid"),
        (bytes(3) + b"\x01" + bytes(200), "request_invalid"),
        (bytes(3) + b"\x03" + bytes(200), "request_invalid"),
        (b"\x08\x01\x12" + bytes(70_000), "request_entity_too_large"),
        (b'{"challenge":"AAAA"}', "request_invalid"),
        (b'{"challenge":"AAAA","spc":"AAAA"}', "request_invalid"),
    ],
)
async def test_what_is_no_challenge_is_refused(world: World, body: bytes, reason: str) -> None:
    answer = await ask(world, "vod", body)
    assert answer[2]["Relay-Reason"] == reason
    assert 400 <= answer[0] < 500


async def test_devices_of_foreign_roots_and_withdrawn_ones_are_refused(world: World) -> None:
    kid = content_key("vod", TrackType.SD).kid
    foreign = widevine_client.signed(widevine_client.new_request())
    assert reason_of(await ask(world, "vod", foreign)) == (400, "request_invalid")
    withdrawn = WidevineDevice(serial=b"withdrawn").challenge(kid)
    assert reason_of(await ask(world, "vod", withdrawn)) == (403, "device_revoked")


async def test_a_player_may_repeat_its_challenge_and_nobody_else(world: World) -> None:
    challenge = WidevineDevice().challenge(content_key("vod", TrackType.SD).kid)
    for _ in range(2):
        assert (await ask(world, "vod", challenge))[0] == 200
    assert reason_of(await ask(world, "vod", challenge, sid="another")) == (401, "replayed")


async def test_a_licence_that_may_not_be_stored_is_not(world: World) -> None:
    device = WidevineDevice()
    offline = device.challenge(content_key("vod", TrackType.SD).kid, type_=2)
    assert reason_of(await ask(world, "vod", offline)) == (403, "licence_persistence")
    offline = device.challenge(content_key("kept", TrackType.SD).kid, type_=2)
    _, body, _ = await ask(world, "kept", offline)
    policy = device.read(body, offline).policy
    assert policy[2] == 1
    assert policy[6] <= 3600


async def test_renewals_go_on_until_all_is_played_and_a_release_ends_it(world: World) -> None:
    device = WidevineDevice()
    challenge = device.challenge(content_key("leased", TrackType.SD).kid)
    _, body, _ = await ask(world, "leased", challenge)
    licence = device.read(body, challenge)
    assert (licence.policy[3], licence.policy[5], licence.policy[9]) == (1, 120, 45)
    status, body, _ = await ask(world, "leased", licence.renewal(), jti="later", sid="later")
    assert status == 200
    renewed = licence.renewed(body)
    # Counted from the first frame, so it stays.
    assert renewed.policy[5] == 120
    assert reason_of(await ask(world, "leased", licence.renewal(), sub="another")) == (403, "scope_key")
    assert reason_of(await ask(world, "vod", licence.renewal())) == (403, "scope_key")
    status, body, _ = await ask(world, "leased", renewed.renewal(type_=3))
    assert (status, renewed.renewed(body).policy.get(1, 0)) == (200, 0)


async def test_a_session_renews_no_licence_of_one_that_might_have_more(world: World) -> None:
    device = WidevineDevice()
    challenge = device.challenge(content_key("leased", TrackType.SD).kid)
    _, body, _ = await ask(world, "leased", challenge)
    licence = device.read(body, challenge)
    less: dict[str, Any] = {"sid": "less", "drm": {"max_track": "audio"}}
    assert reason_of(await ask(world, "leased", licence.renewal(), jti="2", **less)) == (403, "scope_track")
    assert (await ask(world, "leased", licence.renewal(type_=3), jti="3", **less))[0] == 200


@pytest.mark.parametrize("kind", ["session", "account", "device", "drm device"])
async def test_what_is_revoked_gets_no_licence_and_no_renewal(world: World, kind: str) -> None:
    device = WidevineDevice()
    kid = content_key("leased", TrackType.SD).kid
    challenge = device.challenge(kid)
    _, body, _ = await ask(world, "leased", challenge, did="tv")
    licence = device.read(body, challenge)
    digest = await _digest(device)
    match kind:
        case "session":
            await world.revoke(session_id="session-1", reason="test")
        case "account":
            await world.revoke(account_id="account-1", reason="test")
        case "device":
            await world.revoke(device_id="tv", reason="test")
        case _:
            await world.revoke(device_id=digest, reason="test")
    again = device.challenge(kid, request_id=b"2")
    assert reason_of(await ask(world, "leased", again, did="tv", jti="2")) == (403, "revoked")
    assert reason_of(await ask(world, "leased", licence.renewal(), did="tv", jti="3")) == (403, "revoked")
    if kind in ("session", "drm device"):
        # Nor by way of another session: the licence tells whose and which device's it was.
        assert reason_of(await ask(world, "leased", licence.renewal(), sid="2", jti="4")) == (403, "revoked")


async def _digest(device: WidevineDevice) -> str:
    server = material().widevine
    assert server
    opened = await asyncio.to_thread(server.server().open, device.challenge(bytes(16)), time.time())
    found: bytes = opened.device.digest  # type: ignore[union-attr]  # a new licence's request has a device
    return found.hex()


async def test_a_device_may_hide_who_it_is_from_all_but_the_service(world: World) -> None:
    """Widevine's privacy mode, as browsers insist on it."""
    device, sd = WidevineDevice(), content_key("vod", TrackType.SD)
    privacy_key, iv = bytes(range(16)), bytes(16)
    plain = device.identity()
    plain += bytes([16 - len(plain) % 16]) * (16 - len(plain) % 16)
    hidden = fairplay_device.cbc(privacy_key, iv, plain)
    wrapped = made_key("service").public_key().encrypt(privacy_key, widevine_client.OAEP)
    encrypted = encode((1, b"relay.test"), (2, b"service"), (3, hidden), (4, iv), (5, wrapped))
    content = widevine_client.pssh_content(encode((2, sd.kid)))
    request = encode((2, content), (3, 1), (4, int(time.time())), (6, 21), (7, 99), (8, encrypted))
    challenge = widevine_client.signed(request, made_key("device"))
    status, body, _ = await ask(world, "vod", challenge)
    assert status == 200
    assert device.read(body, challenge).keys[sd.kid] == sd.key


def test_every_refusal_has_a_reason_of_the_relay() -> None:
    folder = Path(keys.licences.terms.__file__).parent
    systems = (folder / name for name in ("widevine", "playready", "fairplay", "bridges"))
    sources = [folder / "sealed.py", *(source for system in systems for source in system.glob("*.py"))]
    text = "".join(source.read_text() for source in sources)
    named = set(re.findall(r'LicenceRefusedError\(\s*"([a-z-]+)"', text)) | set(re.findall(r'return "([a-z-]+)"', text))
    named |= {unserved.value for unserved in Unserved}
    assert named - {"released"} == set(REASONS)


async def test_systems_without_material_are_refused_by_name() -> None:
    async with running_world(origin(), streams) as bare:
        kid = content_key("vod", TrackType.SD).kid
        assert reason_of(await ask(bare, "vod", WidevineDevice().challenge(kid))) == (403, "system_unsupported")
        fair = fairplay(kid, b"u").spc()
        assert reason_of(await ask(bare, "vod", fair)) == (403, "system_unsupported")
        answer = await ask(bare, "vod", Client().challenge(header(content_key("vod", TrackType.SD))), SOAP)
        assert reason_of(answer) == (500, "system_unsupported")
        url = f"{bare.edge}/api/v1/drm/license/fairplay-certificate"
        status, _, headers = await bare.get(url)
        assert (status, headers["Relay-Reason"]) == (403, "system_unsupported")


def header(*keys: ContentKey) -> str:
    """A WRMHEADER, of version 4.0 for one key."""
    signals = [KeySignal(key.kid, bytes(8)) for key in keys]
    return playready_signalling.pro(signals, Scheme.CENC)[10:].decode("utf-16-le")


def kids_json(*keys: ContentKey) -> str:
    """A Clear Key request."""
    return json.dumps({"kids": [base64url.encode(key.kid) for key in keys]})


def client_with_nonce(nonce: bytes) -> Client:
    return Client(nonce=nonce * 16)


def fairplay(kid: bytes, transaction: bytes) -> FairPlayDevice:
    return FairPlayDevice(asset_id=kid.hex().encode(), transaction_id=transaction * 8, created=int(time.time()))


async def test_the_status_of_a_licence_tells_what_the_device_proved(world: World) -> None:
    async def status() -> Any:
        url = f"{world.control}/api/v1/drm/license/session-1/status"
        async with world.client.get(url, headers={"Authorization": f"Bearer {API_KEY}"}) as answer:
            assert answer.status == 200
            return await answer.json()

    sd = content_key("strict", TrackType.SD)
    plain = WidevineDevice(PLAIN)
    assert (await ask(world, "strict", plain.challenge(sd.kid), wmid="w-1"))[0] == 200
    found = await status()
    assert (found["drm_type"], found["device_level"], found["protection_level"]) == ("widevine", "L3", "L3")
    assert (found["tracks"], found["watermark_id"], found["renew_by"]) == (["audio"], "w-1", None)
    trusted = WidevineDevice()
    challenge = trusted.challenge(sd.kid)
    _, body, _ = await ask(world, "strict", challenge)
    found = await status()
    assert (found["device_level"], found["protection_level"], found["device_model"]) == ("L1", "L1", "Trusted")
    assert (found["tracks"], len(found["device_hash"])) == (["audio", "sd"], 8)
    # Neither keys nor what was asked with are in it.
    assert not any(key.hex() in str(found) for key in trusted.read(body, challenge).keys.values())
    leased = content_key("leased", TrackType.SD)
    assert (await ask(world, "leased", trusted.challenge(leased.kid)))[0] == 200
    found = await status()
    assert (found["stream_id"], round(found["renew_by"] - found["issued_at"])) == ("leased", 45)
    assert round(found["expires_at"] - found["issued_at"]) == 300
    unfit = Client()
    audioless = unfit.challenge(header(sd))
    assert (await ask(world, "strict", audioless, SOAP))[0] == 500
    found = await status()
    assert found["last_denial"]["reason"] == "security_level"
    assert found["drm_type"] == "widevine"
