"""``/api/v1/keys``: packagers are given the keys that licences give for the same key IDs."""

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from keys import base64url
from keys.exchange import reader, speke
from keys.exchange.encryption import decrypt_as
from keys.exchange.model import Document, KeyPeriod, Version
from keys.exchange.packager import Signer
from keys.model import Scheme, TrackType
from keys.signalling import systems
from tests.edge.world import API_KEY, KEY_RING, VECTORS, World, running_world, stream
from tests.keys.exchange.material import CERTIFICATE, REQUEST, VIDEO, recipient_key

CPIX, SPEKE, WIDEVINE = (f"/api/v1/keys/{name}" for name in ("cpix", "speke", "widevine"))
SIGNER = Signer("packager", bytes(range(32)), bytes(range(16)))
BEARER = {"Authorization": f"Bearer {API_KEY}"}
FOUR = {track: bytes([track.rank + 1] * 16) for track in TrackType}
Answer = tuple[int, bytes, Any]


def streams(origin: str) -> dict[str, Any]:
    manifests = {"hls": "master.m3u8", "dash": "manifest.mpd"}
    turning = {"interval": "4s", "pre_delivery": "1s"}
    return {
        "vod": stream(origin, "clear", **manifests),
        "turning": stream(origin, "clear", **manifests, rotation={**turning, "vod": True}, window="2m"),
        "still": stream(origin, "clear", **manifests, rotation={"interval": "0s"}, schemes=["cenc"]),
        "other": stream(origin, "clear", **manifests, systems=["widevine", "playready", "fairplay", "clearkey"]),
    }


@pytest.fixture
async def world() -> AsyncIterator[World]:
    app = web.Application()
    app.router.add_static("/", VECTORS)
    async with running_world(app, streams, packagers=[(SIGNER, ["vod", "turning", "still"])]) as made:
        yield made


async def post(world: World, path: str, body: bytes | str, **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()} or BEARER
    async with world.client.post(world.control + path, data=body, headers=sent) as answer:
        return answer.status, await answer.read(), answer.headers


async def ask(world: World, body: bytes | str, version: str = "2.0") -> Answer:
    return await post(world, SPEKE, body, Authorization=f"Bearer {API_KEY}", X_Speke_Version=version)


async def fetch(world: World, query: str) -> Document:
    async with world.client.get(f"{world.control}{CPIX}?{query}", headers=BEARER) as answer:
        assert answer.status == 200, await answer.text()
        assert (answer.content_type, answer.headers["Cache-Control"]) == ("application/xml", "no-store")
        return reader.parse(await answer.read())


async def licensed(world: World, name: str, *kids: bytes) -> dict[bytes, bytes]:
    """What the licence endpoint gives for key IDs."""
    body = {"kids": [base64url.encode(kid) for kid in kids], "type": "temporary"}
    url = f"{world.edge}/api/v1/drm/license?stream_id={name}&token={world.token()}"
    async with world.client.post(url, json=body) as answer:
        assert answer.status == 200, await answer.text()
        keys = (await answer.json(content_type=None))["keys"]
    return {base64url.decode(key["kid"]): base64url.decode(key["k"]) for key in keys}


def by_track(document: Document) -> dict[str | None, tuple[bytes, bytes | None]]:
    keys = {entry.kid: entry.key for entry in document.keys}
    return {rule.track: (rule.kid, keys[rule.kid]) for rule in document.rules}


@pytest.mark.parametrize("scheme", ["cenc", "cbcs"])
async def test_a_titles_keys_are_those_of_its_licences(world: World, scheme: str) -> None:
    document = await fetch(world, f"stream=vod&scheme={scheme}")
    given = by_track(document)
    assert set(given) == {"AUDIO", "SD", "HD", "UHD"}
    kid, key = given["SD"]
    assert (await licensed(world, "vod", kid))[kid] == key
    assert {entry.scheme for entry in document.keys} == {scheme}
    assert all((entry.explicit_iv is not None) is (scheme == "cbcs") for entry in document.keys)


async def test_a_crypto_periods_keys_are_those_of_its_licences(world: World) -> None:
    kid, key = by_track(await fetch(world, "stream=turning&period=8000&version=2.3"))["AUDIO"]
    assert (await licensed(world, "turning", kid))[kid] == key
    question = speke.question("turning", FOUR, Scheme.CENC, KeyPeriod("p", 2), Version.V2_3)
    assert speke.keys_of((await ask(world, question))[1], "turning", TrackType)[TrackType.AUDIO].kid == kid
    dated = speke.question("turning", FOUR, Scheme.CENC, KeyPeriod("p", 99, start=8000, end=12_000), Version.V2_4)
    assert speke.keys_of((await ask(world, dated, "2.1"))[1], "turning", TrackType)[TrackType.AUDIO].kid == kid


async def test_signalling_is_that_of_the_streams_systems(world: World) -> None:
    document = await fetch(world, "stream=other")
    assert {one.system for one in document.systems} == {systems.WIDEVINE, systems.PLAYREADY, systems.COMMON}
    assert all(one.pssh for one in document.systems)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("stream=none", 404, "no such stream"),
        ("", 400, "missing required field `stream`"),
        ("stream=vod&scheme=cbc1", 400, "scheme: one of"),
        ("stream=vod&version=1", 400, "version: one of"),
        ("stream=vod&period=x", 400, "period: Expected `int"),
        ("stream=vod&scheme=aes-128", 422, "only cenc and cbcs"),
        ("stream=still&scheme=cbcs", 422, "not offered as cbcs"),
        ("stream=turning", 422, "rotates its keys"),
        ("stream=turning&period=4001", 422, "no such crypto period"),
        (f"stream=vod&period={2**52}", 422, "no date"),
        (f"stream=vod&period={2**52 + 1}", 400, "period: Expected `int`"),
        ("stream=still&period=1000", 422, "no such crypto period"),
    ],
)
async def test_questions_that_make_no_sense(world: World, query: str, status: int, words: str) -> None:
    async with world.client.get(f"{world.control}{CPIX}?{query}", headers=BEARER) as answer:
        problem = await answer.json(content_type=None)
        assert (answer.status, words in problem["detail"]) == (status, True), problem


async def test_a_document_is_filled_in(world: World) -> None:
    text = REQUEST.replace("<cpix:ContentKeyPeriodList>", "<own:Gone>").replace(
        "</cpix:ContentKeyPeriodList>", "</own:Gone>"
    )
    text = text.replace('<cpix:KeyPeriodFilter periodId="p7"/>', "")
    status, body, _ = await post(world, CPIX, text)
    assert status == 200, body
    document = reader.parse(body)
    expected = KEY_RING.content_key(KEY_RING.slot("vod", TrackType.HD, Scheme.CBCS, 0))
    assert (document.keys[0].kid, document.keys[0].key) == (expected.kid, expected.key)
    assert UUID(VIDEO).bytes not in {entry.kid for entry in document.keys}
    assert b"own:Gone" in body


async def test_keys_are_encrypted_to_the_recipient_who_asks(world: World) -> None:
    question = speke.question("vod", FOUR, Scheme.CENC, None, Version.V2_4, CERTIFICATE)
    status, body, _ = await post(world, CPIX, question)
    assert status == 200, body
    opened = by_track(decrypt_as(reader.parse(body), CERTIFICATE, recipient_key()))
    assert opened == by_track(await fetch(world, "stream=vod"))
    key = opened["SD"][1]
    assert key
    assert b64encode(key) not in body


async def test_speke_says_its_version_and_fills_in(world: World) -> None:
    status, body, headers = await ask(world, speke.question("vod", FOUR, Scheme.CENC, None, Version.V2_3))
    assert (status, headers["X-Speke-Version"], headers["X-Speke-User-Agent"]) == (200, "2.0", "segmentgate")
    assert headers["Content-Type"].startswith("application/xml")
    assert len(speke.keys_of(body, "vod", TrackType)) == 4


@pytest.mark.parametrize(
    ("old", "new", "version", "words"),
    [
        ("", "", "1.0", "Unsupported SPEKE version"),
        ("", "", "2.1", "Unsupported CPIX@version"),
        ('contentId="vod" ', "", "2.0", "Missing CPIX@contentId"),
        ('contentId="vod"', 'contentId="none"', "2.0", "Unknown CPIX@contentId"),
        ('"cenc"', '"cbcs"', "2.0", "Non compliant ContentKey@commonEncryptionScheme combination"),
        ("<cpix:CPIX ", "<!DOCTYPE x><cpix:CPIX ", "2.0", "a DTD is refused"),
    ],
)
async def test_speke_refuses_in_its_own_words(world: World, old: str, new: str, version: str, words: str) -> None:
    question = speke.question("vod", FOUR, Scheme.CENC, None, Version.V2_3).decode().partition("?>")[2].strip()
    status, body, headers = await ask(world, question.replace(old, new, 1), version)
    assert (status, headers["Content-Type"].partition(";")[0]) == (422, "text/plain")
    assert words in body.decode()


def basic(login: str, password: str) -> str:
    return "Basic " + b64encode(f"{login}:{password}".encode()).decode()


async def test_who_may_ask(world: World) -> None:
    question = speke.question("vod", FOUR, Scheme.CENC, None, Version.V2_3)
    known = basic("encryptor", API_KEY)
    assert (await post(world, SPEKE, question, Authorization=known, X_Speke_Version="2.0"))[0] == 200
    for path, sent in (
        (SPEKE, basic("encryptor", "wrong")),
        (SPEKE, basic(API_KEY, "")),
        (SPEKE, "Basic ?"),
        (SPEKE, "Bearer wrong"),
        (CPIX, known),
        (CPIX, "Bearer wrong"),
    ):
        status, body, _ = await post(world, path, question, Authorization=sent, X_Speke_Version="2.0")
        assert (status, json.loads(body)["code"]) == (401, "api_key"), path


def signed(content: str, signer: Signer = SIGNER, **more: Any) -> bytes:
    """A packager's request."""
    inner = {"content_id": b64encode(content.encode()).decode(), "policy": "", "drm_types": ["WIDEVINE"]}
    request = json.dumps({**inner, "tracks": [{"type": "SD"}, {"type": "AUDIO"}], **more}).encode()
    sent = {"request": b64encode(request).decode(), "signature": b64encode(signer.sign(request)).decode()}
    return json.dumps({**sent, "signer": signer.name}).encode()


async def packaged(world: World, body: bytes) -> Any:
    status, answer, headers = await post(world, WIDEVINE, body, Content_Type="application/json")
    assert (status, headers["Cache-Control"]) == (200, "no-store"), answer
    return json.loads(b64decode(json.loads(answer)["response"]))


async def test_a_packagers_keys_are_those_of_licences(world: World) -> None:
    track = (await packaged(world, signed("vod")))["tracks"][0]
    kid = b64decode(track["key_id"])
    assert (await licensed(world, "vod", kid))[kid] == b64decode(track["key"])
    window: dict[str, Any] = {"first_crypto_period_index": 1, "crypto_period_count": 10, "crypto_period_seconds": 4}
    tracks = (await packaged(world, signed("turning", **window)))["tracks"]
    assert [one["crypto_period_index"] for one in tracks] == [n for n in range(1, 11) for _ in range(2)]
    kid = b64decode(tracks[0]["key_id"])
    assert (await licensed(world, "turning", kid))[kid] == b64decode(tracks[0]["key"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (signed("vod", Signer("packager", bytes(32), bytes(16))), "SIGNATURE_FAILED"),
        (signed("vod", Signer("stranger", SIGNER.aes_key, SIGNER.aes_iv)), "SIGNATURE_FAILED"),
        (signed("other"), "ACCESS_DENIED"),
        (signed("none"), "ACCESS_DENIED"),
        (signed("still", protection_scheme="CBCS"), "MALFORMED_REQUEST"),
        (signed("turning", first_crypto_period_index=0, crypto_period_seconds=5), "NO_REQUESTED_CRYPTO_PERIODS"),
        (signed("still", first_crypto_period_index=0, crypto_period_seconds=4), "NO_REQUESTED_CRYPTO_PERIODS"),
        (
            signed("turning", first_crypto_period_index=2**32, crypto_period_seconds=2**32),
            "NO_REQUESTED_CRYPTO_PERIODS",
        ),
        (b"nonsense", "MALFORMED_REQUEST"),
    ],
)
async def test_what_packagers_are_refused(world: World, body: bytes, status: str) -> None:
    answer = await packaged(world, body)
    assert (answer["status"], answer["tracks"]) == (status, [])


async def test_bodies_over_the_limit_are_refused(world: World) -> None:
    for path in (CPIX, SPEKE, WIDEVINE):
        assert (await post(world, path, bytes(65 * 1024)))[0] == 413


async def test_who_was_given_keys_is_in_the_audit(world: World) -> None:
    await packaged(world, signed("vod"))
    await fetch(world, "stream=still")
    async with world.client.get(f"{world.control}/api/v1/audit", headers=BEARER) as answer:
        text = await answer.text()
    assert '"packager:packager"' in text
    assert "keys.cpix" in text
    key = by_track(await fetch(world, "stream=still"))["SD"][1]
    assert key
    assert key.hex() not in text
