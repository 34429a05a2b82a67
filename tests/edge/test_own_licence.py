"""The relay's own licences: sealed for one session and device, renewed at any node without anything it knew before."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from keys import base64url
from keys.model import TrackType
from tests.edge.test_licences import Answer, ask, content_key, origin, reason_of, streams
from tests.edge.world import World, running_world, stream

SD, AUDIO = content_key("vod", TrackType.SD), content_key("vod", TrackType.AUDIO)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_world(origin(), streams) as made:
        yield made


async def request(world: World, name: str = "vod", claims: dict[str, Any] | None = None, **members: str) -> Answer:
    return await ask(world, name, json.dumps({"relay": members}), **(claims or {}))


def keys_in(body: bytes) -> dict[bytes, bytes]:
    keys = json.loads(body)["keys"]
    return {base64url.decode(key["kid"]): base64url.decode(key["k"]) for key in keys}


def another(letter: str) -> str:
    return "B" if letter == "A" else "A"


async def test_a_licence_holds_the_session_keys_and_says_when_it_ends(world: World) -> None:
    status, body, headers = await request(world, device="tv")
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, "application/json", "no-store")
    found = json.loads(body)
    assert keys_in(body)[SD.kid] == SD.key
    assert found["type"] == "temporary"
    assert found["renew_by"] is None
    # Whoever holds it reads nothing in it.
    sealed = base64url.decode(found["licence"])
    assert SD.key not in sealed
    assert SD.kid not in sealed
    status, body, _ = await request(world, "leased", device="tv")
    leased = json.loads(body)
    assert 250 < leased["expires_at"] - leased["renew_by"] < 260


async def test_it_is_renewed_for_its_own_session_and_device_alone(world: World) -> None:
    _, body, _ = await request(world, device="tv")
    held = json.loads(body)["licence"]
    status, body, _ = await request(world, device="tv", licence=held)
    assert status == 200
    assert json.loads(body)["licence"] != held
    assert keys_in(body)[AUDIO.kid] == AUDIO.key
    assert reason_of(await request(world, device="pc", licence=held)) == (403, "scope_key")
    other = {"sid": "session-2", "jti": "2"}
    assert reason_of(await request(world, claims=other, device="tv", licence=held)) == (403, "scope_key")
    assert reason_of(await request(world, "leased", device="tv", licence=held)) == (403, "scope_key")
    # The session says which device it is, whatever the request says.
    bound = {"did": "tv", "jti": "3"}
    assert (await request(world, claims=bound, device="pc", licence=held))[0] == 200


@pytest.mark.parametrize("at", [0, 5, 30, -1])
async def test_an_altered_licence_is_none(world: World, at: int) -> None:
    _, body, _ = await request(world, device="tv")
    held = json.loads(body)["licence"]
    # In the last character some bits mean nothing, so the one before it.
    at = len(held) - 2 if at < 0 else at
    altered = held[:at] + another(held[at]) + held[at + 1 :]
    assert reason_of(await request(world, device="tv", licence=altered)) == (400, "request_invalid")


@pytest.mark.parametrize("body", ['{"relay": {}}', '{"relay": 1}', '{"relay": {"device": "tv", "x": 1}}'])
async def test_what_names_no_device_or_something_else_is_refused(world: World, body: str) -> None:
    assert reason_of(await ask(world, "vod", body)) == (400, "request_invalid")


async def test_tracks_with_terms_are_not_in_it(world: World) -> None:
    status, body, _ = await request(world, "strict", device="tv")
    assert status == 200
    found = keys_in(body)
    assert content_key("strict", TrackType.AUDIO).kid in found
    assert content_key("strict", TrackType.SD).kid not in found


async def test_a_node_that_knows_nothing_renews_it(world: World) -> None:
    """The origin is out of its reach, and it was never asked about the stream before."""
    _, body, _ = await request(world, device="tv")
    held = json.loads(body)

    def unreachable(_: str) -> dict[str, Any]:
        return {"vod": stream("http://127.0.0.1:9", "clear", hls="master.m3u8")}

    async with running_world(origin(), unreachable) as other:
        assert (await request(other, device="tv"))[0] == 502
        status, body, _ = await request(other, device="tv", licence=held["licence"])
        assert status == 200
        assert json.loads(body)["keys"] == held["keys"]
        await other.revoke(device_id="tv")
        assert reason_of(await request(other, device="tv", licence=held["licence"])) == (403, "revoked")
