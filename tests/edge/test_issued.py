"""Sessions that were issued over the API play like any, and the status of their licences tells what became of them."""

import json
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any
from urllib.parse import urljoin

from tests.edge.test_live import serve_live
from tests.edge.world import API_KEY, VECTORS, World
from tests.media.decrypt import read_samples

KEY = {"Authorization": f"Bearer {API_KEY}"}


async def issue(world: World, stream: str = "vod", **members: Any) -> tuple[str, dict[str, Any]]:
    """Its id, and where it plays the stream."""
    body = {"account_id": "account-7", "stream_ids": [stream], **members}
    async with world.client.post(f"{world.control}/api/v1/sessions", json=body, headers=KEY) as answer:
        assert answer.status == 201, await answer.text()
        made = await answer.json()
    return made["session_id"], made["streams"][0]


async def status_of(world: World, sid: str) -> Any:
    async with world.client.get(f"{world.control}/api/v1/drm/license/{sid}/status", headers=KEY) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def ask(world: World, link: str, *kids: bytes) -> tuple[int, Any, str]:
    """Status, body and reason of a request for a Clear Key licence."""
    challenge = {"kids": [urlsafe_b64encode(kid).rstrip(b"=").decode() for kid in kids], "type": "temporary"}
    async with world.client.post(world.edge + link, data=json.dumps(challenge)) as answer:
        body = await answer.read()
        return answer.status, json.loads(body), answer.headers.get("Relay-Reason", "")


def first_line(body: bytes) -> str:
    return next(line for line in body.decode().splitlines() if line and not line.startswith("#"))


async def play(world: World, master: str) -> tuple[str, bytes, bytes, bytes]:
    """URL and body of the video playlist, its init segment, its first segment."""
    status, body, _ = await world.get(master)
    assert status == 200
    url = urljoin(master, first_line(body))
    _, body, _ = await world.get(url)
    init = re.search(rb'EXT-X-MAP:URI="([^"]+)"', body)
    assert init
    _, init_body, _ = await world.get(urljoin(url, init[1].decode()))
    status, segment, _ = await world.get(urljoin(url, first_line(body)))
    assert status == 200
    return url, body, init_body, segment


async def test_an_issued_session_plays_and_its_licence_opens_what_it_plays(world: World) -> None:
    sid, links = await issue(world, signalling="period", systems=["clearkey"], watermark_id="w-9")
    _, playlist, init, segment = await play(world, world.edge + links["hls_url"])
    kid = re.search(rb"KEYID=0x([0-9a-f]{32})", playlist)
    assert kid
    status, licence, _ = await ask(world, links["license_url"], bytes.fromhex(kid[1].decode()))
    assert status == 200
    keys = {urlsafe_b64decode(key["kid"] + "=="): urlsafe_b64decode(key["k"] + "==") for key in licence["keys"]}
    clear = VECTORS / "clear"
    assert read_samples(init, segment, keys) == read_samples(
        (clear / "v_init.mp4").read_bytes(), (clear / "v_1.m4s").read_bytes()
    )
    found = await status_of(world, sid)
    assert (found["state"], found["drm_type"], found["stream_id"], found["live"]) == ("active", "clearkey", "vod", True)
    assert (found["watermark_id"], found["protection_level"]) == ("w-9", None)
    assert set(found["tracks"]) == {"audio", "sd"}
    assert not any(key["k"] in json.dumps(found) for key in licence["keys"])
    assert (await world.get(world.edge + links["keys_url"]))[0] == 200
    status, body, _ = await world.get(world.edge + links["dash_url"])
    assert (status, b"<MPD" in body) == (200, True)


async def test_its_ceiling_holds(world: World) -> None:
    _, links = await issue(world, max_track="audio")
    assert links["max_track"] == "audio"
    status, body, _ = await world.get(world.edge + links["keys_url"].replace(".audio.", ".uhd."))
    assert (status, body) == (403, b"scope_track\n")


async def test_it_plays_the_streams_it_is_for_and_no_other(world: World) -> None:
    _, links = await issue(world)
    status, body, _ = await world.get(world.edge + links["hls_url"].replace("/vod/", "/live/"))
    assert (status, body) == (403, b"scope_stream\n")


async def test_a_scheme_that_the_stream_has_not_is_refused(world: World) -> None:
    body = {"account_id": "a", "stream_ids": ["vod"], "scheme": "rot13"}
    async with world.client.post(f"{world.control}/api/v1/sessions", json=body, headers=KEY) as answer:
        assert (answer.status, (await answer.json())["errors"][0]["pointer"]) == (400, "/scheme")


async def test_the_revoked_get_nothing_and_their_status_says_why(world: World) -> None:
    sid, links = await issue(world)
    await world.get(world.edge + links["hls_url"])
    await world.revoke(account_id="account-7", reason="fraud")
    for url in (links["hls_url"], links["keys_url"], links["events_url"]):
        assert (await world.get(world.edge + url))[1] == b"revoked\n"
    status, _, reason = await ask(world, links["license_url"], bytes(16))
    assert (status, reason) == (403, "revoked")
    found = await status_of(world, sid)
    assert found["state"] == "revoked"
    assert (found["revoked_by"]["type"], found["revoked_by"]["reason"]) == ("account", "fraud")
    denial = found["last_denial"]
    assert (denial["reason"], denial["number"], denial["at"] <= time.time()) == ("revoked", 1101, True)


async def test_keys_that_are_not_its_own_are_a_denial(world: World) -> None:
    sid, links = await issue(world)
    status, _, reason = await ask(world, links["license_url"], bytes(16))
    assert (status, reason) == (403, "scope_key")
    found = await status_of(world, sid)
    assert (found["last_denial"]["reason"], found["state"]) == ("scope_key", "none")


async def test_nobody_is_noted_for_a_pass_that_is_none(world: World) -> None:
    status, _, reason = await ask(world, "/api/v1/drm/license?session=made-up/vod/cenc.stable.uhd.clearkey", bytes(16))
    assert (status, reason) == (400, "token_malformed")


async def test_the_state_of_rotating_keys_is_told(world: World) -> None:
    serve_live(world)
    sid, links = await issue(world, "live", systems=["clearkey"])
    # Nobody has asked for the stream yet, so the relay looks where it is by itself.
    found = (await status_of(world, sid))["key_rotation"]
    now_ms = time.time() * 1000
    assert (found["enabled"], found["interval_s"], found["generation"], found["told_until"]) == (True, 4.0, 1, None)
    assert abs(found["stream_now"] - now_ms) < 5000
    assert found["period"] % 4000 == 0
    assert 0 <= found["stream_now"] + 1000 - found["period"] < 4000
    assert 0 < found["next_at"] - time.time() < 5
    _, keys, _ = await world.get(world.edge + links["keys_url"])
    kids = [urlsafe_b64decode(key["kid"] + "==") for key in json.loads(keys)["keys"]]
    assert (await ask(world, links["license_url"], *kids[:2]))[0] == 200
    found = (await status_of(world, sid))["key_rotation"]
    assert found["told_until"] - found["period"] in (4000, 8000)


async def test_a_stream_whose_origin_is_gone_has_no_state_of_keys(world: World) -> None:
    sid, _ = await issue(world, "gone")
    found = await status_of(world, sid)
    assert (found["key_rotation"], found["scene"], found["state"]) == (None, None, "none")
