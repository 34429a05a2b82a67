"""The control listener of a whole relay: only with the key."""

from typing import Any

import pytest

from tests.edge.world import API_KEY, World


async def call(here: World, key: str | None, body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with here.client.post(f"{here.control}/api/v1/drm/revoke", json=body, headers=headers) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize("key", [None, "", "wrong", API_KEY[:-1], API_KEY + "x"])
async def test_the_api_key_is_required(world: World, key: str | None) -> None:
    status, problem = await call(world, key, {"session_id": "session-1"})
    assert (status, problem["code"]) == (401, "api_key")
    assert (await world.get(await world.enter("vod")))[0] == 200


async def test_a_revocation_says_what_it_did(world: World) -> None:
    done = await world.revoke(session_id="session-1", reason="piracy")
    assert done["target"] == {"type": "session", "value": "session-1"}
    assert done["expires_at"] > done["accepted_at"]
    assert done["sessions_cut"] == 0


async def test_health_and_metrics_need_no_key_and_name_no_session(world: World) -> None:
    await world.revoke(session_id="session-secret")
    status, body, _ = await world.get(f"{world.control}/healthz")
    assert (status, body) == (200, b'{"status":"ok"}')
    status, body, _ = await world.get(f"{world.control}/metrics")
    assert status == 200
    assert b"segmentgate_revocations 1.0" in body
    assert b"session-secret" not in body
