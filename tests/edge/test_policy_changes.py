"""Orders to the control API as players see them: what is listed stays, what follows is under the new policy."""

import asyncio
import json
import re
from typing import Any
from urllib.parse import urljoin

from keys import base64url
from keys.model import Scheme, TrackType
from tests.edge.test_live import serve_live
from tests.edge.world import API_KEY, KEY_RING, World

REKEYED = 65_537


async def order(world: World, method: str, path: str, body: Any) -> Any:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with world.client.request(method, world.control + path, json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def kids_of(world: World, session: str) -> set[bytes]:
    """The key IDs of all keys that a session is told."""
    _, body, _ = await world.get(urljoin(session, "keys"))
    return {base64url.decode(key["kid"]) for key in json.loads(body)["keys"]}


def kid_of(period: int, epoch: int, track: TrackType = TrackType.SD) -> bytes:
    """The key ID of a period of the live stream."""
    return KEY_RING.kid(KEY_RING.slot("live", track, Scheme.CENC, period, epoch))


def period_of(url: str) -> int:
    """The crypto period that a segment's URL names."""
    found = re.search(r"\.(\d+)/", url)
    assert found, url
    return int(found[1])


async def listed(world: World, session: str) -> dict[int, str]:
    """The segments of a media playlist: number to URL."""
    _, body, _ = await world.get(session)
    return {int(number): url for url, number in re.findall(r"^(s/\S*?seg-(\d+)\.m4s\S*)", body.decode(), re.MULTILINE)}


async def test_an_emergency_leaves_what_is_listed_and_changes_what_follows(world: World) -> None:
    serve_live(world)
    session = await world.enter("live")
    before = await listed(world, session)
    path, body = "/api/v1/drm/key-rotation/emergency", {"stream_id": "live", "reason": "leaked"}
    boundary = (await order(world, "POST", path, body))["clocks"]["wall"]["start"]["time"]
    kids = await kids_of(world, session)
    assert [kid_of(boundary, epoch) in kids for epoch in (0, 1)] == [False, True]
    new: dict[int, str] = {}
    async with asyncio.timeout(10):
        while not any(f".{REKEYED}." in url for url in new.values()):
            new = await listed(world, session)
            assert all(url == new[number] for number, url in before.items() if number in new)
            await asyncio.sleep(0.2)
    # Once there are new keys there are no others.
    generations = [f".{REKEYED}." in new[number] for number in sorted(new)]
    assert generations == sorted(generations)
    assert min(number for number, url in new.items() if f".{REKEYED}." in url) > max(before)


async def test_scenes_change_what_follows_and_take_its_keys_from_players_without_a_cdm(world: World) -> None:
    serve_live(world)
    session = await world.enter("live")
    before = await listed(world, session)
    scenes = [{"label": "main", "start": "00:00:00", "drm_level": "L1", "hdcp": True}]
    answer = await order(world, "PUT", "/api/v1/drm/protection-policy", {"stream_id": "live", "scenes": scenes})
    since = answer["clocks"]["wall"]["takes_effect_at"]["time"]
    later: dict[int, str] = {}
    async with asyncio.timeout(15):
        # A period that begins right before a rotation has no segment of its own.
        while not any(period_of(url) >= since for url in later.values()):
            later = await listed(world, session)
            assert all(url == later[number] for number, url in before.items() if number in later)
            await asyncio.sleep(0.3)
    first = min(number for number, url in later.items() if period_of(url) >= since)
    assert first * 1000 == -(-(period_of(later[first]) - 1000) // 1000) * 1000
    kids = await kids_of(world, session)
    told = [kid_of(period_of(later[first]), 0, track) in kids for track in (TrackType.AUDIO, TrackType.SD)]
    assert told == [True, False]
