"""Two nodes over a real Valkey: what one is told, both do and both can tell of."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.probe import Probe
from tests.control.desk import Desk, open_desk
from tests.control.studio import open_studio
from tests.proxy import Mode, faulty_proxy
from tests.valkey import valkey_server

PATH = "/api/v1/revocations"
SESSION = {"type": "session", "value": "session-1"}


@pytest.fixture
async def desks() -> AsyncIterator[Any]:
    """Two desks; all that the second hears of the log comes through a proxy that may fail."""
    with valkey_server() as server, faulty_proxy(server.address) as proxy:
        async with (
            open_studio() as studio,
            open_desk(log=server.url, streams={"vod": studio.stream("finished")}) as one,
            open_desk(name="node-b", log=proxy.url, streams={"vod": studio.stream("finished")}) as two,
        ):
            for desk in (one, two):
                await until(lambda desk=desk: desk.node.replica.ready and len(desk.node.replica.members()) == 1)
            yield one, two, proxy


async def until(met: Any, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_every_node_proves_what_it_did(desks: tuple[Desk, Desk, Any]) -> None:
    one, two, _ = desks
    visitor = two.watch()
    done = await one.revoke(SESSION, query="?wait=all&timeout_ms=5000")
    assert [(node["node"], node["state"], node["sessions_cut"]) for node in done["nodes"]] == [
        ("node-a", "applied", 0),
        ("node-b", "applied", 1),
    ]
    assert done["nodes"][1]["applied_ms"] > done["nodes"][0]["applied_ms"] > 0
    assert (done["sessions_cut"], two.cut) == (1, ["session-1"])
    assert two.refuses(visitor)
    # Applied is what counts elsewhere; another node writes it down a moment later.
    await until(lambda: two.node.journal.find(done["id"]) is not None)
    assert await two.get(f"{PATH}/{done['id']}") == await one.get(f"{PATH}/{done['id']}")
    meta = await one.get(f"{PATH}/meta")
    assert [(node["node"], node["live"]) for node in meta["nodes"]] == [("node-b", True)]


async def test_a_node_out_of_reach_is_asked_for_later(desks: tuple[Desk, Desk, Any]) -> None:
    one, two, proxy = desks
    proxy.mode = Mode.BLACKHOLE
    status, body, headers = await one.call("POST", f"{PATH}?wait=all&timeout_ms=200", [SESSION], Idempotency_Key="k")
    assert (status, body["complete"], body["nodes"][1]["state"]) == (202, False, "pending")
    proxy.mode = Mode.PASS

    async def asked() -> int:
        status, _, _ = await one.call("GET", headers["Location"])
        return status

    deadline = time.monotonic() + 15
    while await asked() != 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert two.refuses(two.watch())


async def test_lists_are_the_same_everywhere(desks: tuple[Desk, Desk, Any]) -> None:
    one, two, _ = desks
    lists = "/taas/v2/revocation-lists"
    _, made, _ = await one.call("POST", lists, {"name": "event"})
    await one.call("POST", f"{lists}/{made['id']}/identifiers/add", [{"id": "session-1"}])
    visitor = two.watch()
    await until(lambda: two.refuses(visitor))
    await until(lambda: two.node.journal.position == one.node.journal.position)
    assert [found["name"] for found in await two.get(lists)] == ["event"]
    await two.call("POST", f"{lists}/{made['id']}/identifiers/remove", ["session-1"])
    mine = one.watch()
    await until(lambda: not one.refuses(mine))


async def test_the_probe_waits_for_every_node(desks: tuple[Desk, Desk, Any]) -> None:
    reached = await Probe(desks[0].node, 60.0).probe()
    assert list(reached) == ["refused", "cut", "everywhere"]
    assert reached["everywhere"] > reached["cut"]


SCENES = [{"label": "main", "start": "00:00:00", "drm_level": "L1"}]


async def test_orders_given_to_two_nodes_at_once_both_hold(desks: tuple[Desk, Desk, Any]) -> None:
    one, two, _ = desks
    orders = [
        one.call("PUT", "/api/v1/drm/protection-policy", {"scenes": SCENES}),
        two.call("POST", "/api/v1/drm/key-rotation", {"stream_id": "vod", "key_rotation": {"enabled": False}}),
        one.call("POST", "/api/v1/drm/key-rotation/emergency", {"stream_id": "vod"}),
        two.call("PUT", "/api/v1/drm/groups/premium", {"persistent": True, "duration_minutes": 60}),
    ]
    assert [status for status, _, _ in await asyncio.gather(*orders)] == [200] * 4
    await until(lambda: all(len(desk.node.stream("vod").plan.changes) == 3 for desk in (one, two)))
    assert one.node.stream("vod").plan.changes == two.node.stream("vod").plan.changes
    status, done, _ = await one.call("PUT", "/api/v1/streams/vod/group?wait=all&timeout_ms=5000", {"group": "premium"})
    assert status == 200
    assert [(node["node"], node["state"]) for node in done["change"]["nodes"]] == [
        ("node-a", "applied"),
        ("node-b", "applied"),
    ]
    assert two.node.stream("vod").licence.persistent
    status, _, _ = await two.call("DELETE", "/api/v1/drm/groups/premium")
    assert status == 409
    for path in ("/api/v1/drm/protection-policy?stream_id=vod", "/api/v1/drm/key-rotation?stream_id=vod"):
        (_, mine, mine_headers), (_, other, other_headers) = [await desk.call("GET", path) for desk in (one, two)]
        assert (mine["version"], mine_headers["ETag"]) == (other["version"], other_headers["ETag"])


async def test_what_others_have_not_confirmed_is_said_so(desks: tuple[Desk, Desk, Any]) -> None:
    one, two, proxy = desks
    proxy.mode = Mode.BLACKHOLE
    path = "/api/v1/drm/key-rotation/emergency?wait=all&timeout_ms=200"
    status, body, _ = await one.call("POST", path, {"stream_id": "vod"})
    assert (status, body["change"]["complete"], body["change"]["nodes"][1]["state"]) == (202, False, "pending")
    proxy.mode = Mode.PASS
    await until(lambda: two.node.stream("vod").plan.epoch == 1)
