"""Concurrent streams through the relay: who may begin, who must give way, and what the others see."""

import time
from typing import Any

from tests.edge.test_revocation import urls_of
from tests.edge.world import World

ONE: dict[str, Any] = {"csl": {"limit": 1}}


async def refusal(world: World, query: str = "", **claims: Any) -> tuple[int, dict[str, Any]]:
    """Status and body of an entry."""
    url = f"{world.edge}/watch/vod/index.m3u8?token={world.token(**claims)}{query}"
    async with world.client.get(url, allow_redirects=False) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        return answer.status, await answer.json() if answer.status == 409 else {}


async def test_one_stream_too_many_is_refused_with_the_list_of_the_others(world: World) -> None:
    await world.get((await urls_of(world, sid="first-session", **ONE))["segment"])
    status, body = await refusal(world, sid="second-session", **ONE)
    assert status == 409
    assert body["code"] == "concurrency_limit"
    assert [(one["session"], one["stream"]) for one in body["sessions"]] == [("first-se", "vod")]


async def test_another_account_has_a_limit_of_its_own(world: World) -> None:
    await world.get((await urls_of(world, sid="first-session", **ONE))["segment"])
    assert (await refusal(world, sid="second-session", sub="account-2", **ONE))[0] == 302


async def test_the_oldest_stops_where_the_limit_says_so(world: World) -> None:
    newest_wins: dict[str, Any] = {"csl": {"limit": 1, "mode": "stop_oldest"}}
    first = await urls_of(world, sid="first-session", **newest_wins)
    await world.get(first["segment"])
    assert (await refusal(world, sid="second-session", **newest_wins))[0] == 302
    for kind in ("segment", "keys", "index"):
        status, _, headers = await world.get(first[kind])
        assert (status, headers["Relay-Reason"]) in [(403, "revoked"), (403, "concurrency_limit")], kind


async def test_a_viewer_may_say_which_one_ends(world: World) -> None:
    asks: dict[str, Any] = {"csl": {"limit": 1, "mode": "ask"}}
    first = await urls_of(world, sid="first-session", **asks)
    await world.get(first["segment"])
    status, body = await refusal(world, sid="second-session", **asks)
    assert status == 409
    chosen = body["sessions"][0]["session"]
    assert (await refusal(world, f"&terminate={chosen}", sid="second-session", **asks))[0] == 302
    assert (await world.get(first["segment"]))[0] == 403


async def test_nobody_ends_the_session_of_another_account(world: World) -> None:
    asks: dict[str, Any] = {"csl": {"limit": 1, "mode": "ask"}}
    other = await urls_of(world, sid="other-session", sub="account-2", **asks)
    await world.get(other["segment"])
    await world.get((await urls_of(world, sid="first-session", **asks))["segment"])
    assert (await refusal(world, "&terminate=other-session", sid="second-session", **asks))[0] == 409
    assert (await world.get(other["segment"]))[0] == 200


async def test_a_revoked_session_gives_its_slot_back(world: World) -> None:
    await world.get((await urls_of(world, sid="first-session", **ONE))["segment"])
    await world.revoke(session_id="first-session")
    assert (await refusal(world, sid="second-session", **ONE))[0] == 302


async def test_a_restored_session_may_ask_for_its_slot_again(world: World) -> None:
    first = await urls_of(world, sid="first-session", **ONE)
    await world.get(first["segment"])
    await world.revoke(session_id="first-session")
    assert (await world.get(first["segment"]))[0] == 403
    await world.order({"type": "session", "value": "first-session", "action": "restore"})
    assert (await world.get(first["segment"]))[0] == 200


async def test_a_restore_or_a_revocation_to_come_stops_nobody_now(world: World) -> None:
    first = await urls_of(world, sid="first-session", **ONE)
    await world.get(first["segment"])
    await world.order({"type": "session", "value": "first-session", "action": "restore"})
    assert (await world.get(first["segment"]))[0] == 200
    await world.order({"type": "session", "value": "first-session", "effective_at": time.time() + 3600})
    assert (await world.get(first["segment"]))[0] == 200
