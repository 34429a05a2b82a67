"""Mappings: revoking another vendor's watermark id stops the sessions that it belongs to."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from relay.roles import Role
from relay.watermark.detections import marks
from tests.control.desk import Desk, open_desk
from tests.control.test_roles import KEYS, NAMED, bearer
from tests.state.cluster import until
from tests.valkey import valkey_server

PATH = "/api/v1/drm/watermark/mappings"


async def mapped(desk: Desk, *pairs: tuple[str, str], **headers: str) -> Any:
    body = [{"watermark_id": mark, "session_id": session} for mark, session in pairs]
    status, answer, _ = await desk.call("POST", PATH, body, **headers)
    assert status == 201, answer
    return answer


async def test_revoking_the_mark_stops_the_sessions(desk: Desk) -> None:
    own, other, third = desk.watch("session-1"), desk.watch("session-2"), desk.watch("session-3")
    done = await mapped(desk, ("nagra:7", "session-1"), ("nagra:7", "session-2"), ("nagra:8", "session-3"))
    assert (done["mappings"], done["complete"]) == (3, True)
    assert await desk.get(f"{PATH}/nagra:7") == {"watermark_id": "nagra:7", "session_ids": ["session-1", "session-2"]}
    preview = await desk.call("POST", "/api/v1/revocations/preview", {"type": "watermark", "value": "nagra:7"})
    assert preview[1]["sessions"] == 2
    status, answer, _ = await desk.call("POST", "/api/v1/drm/revoke", {"watermark_id": "nagra:7", "reason": "leak"})
    assert (status, answer["target"]) == (200, {"type": "watermark", "value": "nagra:7"})
    assert answer["sessions_cut"] == 2
    assert sorted(desk.cut) == ["session-1", "session-2"]
    assert [desk.refuses(visitor) for visitor in (own, other, third)] == [True, True, False]
    records = await desk.get("/api/v1/revocations?type=session")
    assert {record["detail"] for record in records["revocations"]} == {"watermark:nagra:7"}


async def test_a_mapping_that_comes_later_stops_its_session_then(desk: Desk) -> None:
    visitor = desk.watch("session-1")
    await desk.revoke({"type": "watermark", "value": "w1"})
    assert not desk.refuses(visitor)
    await mapped(desk, ("w1", "session-1"))
    await until(lambda: desk.refuses(visitor))
    assert desk.cut == ["session-1"]


async def test_restoring_the_mark_leaves_sessions_revoked(desk: Desk) -> None:
    visitor = desk.watch("session-1")
    await mapped(desk, ("w1", "session-1"))
    await desk.revoke({"type": "watermark", "value": "w1"})
    await desk.revoke({"type": "watermark", "value": "w1", "action": "restore"})
    assert desk.refuses(visitor)
    await desk.revoke({"type": "session", "value": "session-1", "action": "restore"})
    assert not desk.refuses(visitor)


async def test_forgetting(desk: Desk) -> None:
    visitor = desk.watch("session-1")
    await mapped(desk, ("w1", "session-1"))
    status, answer, _ = await desk.call("DELETE", f"{PATH}/w1")
    assert (status, answer["mappings"]) == (200, 1)
    assert (await desk.get(f"{PATH}/w1"))["session_ids"] == []
    assert (await desk.call("DELETE", f"{PATH}/w1"))[0] == 404
    await desk.revoke({"type": "watermark", "value": "w1"})
    assert not desk.refuses(visitor)


async def test_mappings_expire_and_survive_restarts(tmp_path: Path) -> None:
    now = [1_790_000_000.0]
    async with open_desk(tmp_path, clock=lambda: now[0]) as desk:
        await mapped(desk, ("w1", "session-1"))
        body = {"watermark_id": "w1", "session_id": "session-2", "expires_at": now[0] + 60}
        assert (await desk.call("POST", PATH, body))[0] == 201
        assert (await desk.get(f"{PATH}/w1"))["session_ids"] == ["session-1", "session-2"]
    async with open_desk(tmp_path, clock=lambda: now[0]) as desk:
        assert (await desk.get(f"{PATH}/w1"))["session_ids"] == ["session-1", "session-2"]
        now[0] += 61
        assert (await desk.get(f"{PATH}/w1"))["session_ids"] == ["session-1"]
        now[0] += 31 * 86_400
        assert (await desk.get(f"{PATH}/w1"))["session_ids"] == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ([{"watermark_id": "w", "session_id": "s"}] * 257, ""),
        ([{"watermark_id": "w", "session_id": f"s{number}"} for number in range(65)], ""),
        ({"watermark_id": "", "session_id": "s"}, "/watermark_id"),
        ({"watermark_id": "w", "session_id": "no session"}, "/session_id"),
        ({"watermark_id": "w", "session_id": "s", "expires_at": 5}, "/expires_at"),
        ([{"watermark_id": "w", "session_id": "s", "expires_at": "tomorrow"}], "/0/expires_at"),
        ([{"watermark_id": "w", "session_id": "s", "expires_at": "2999-01-01T00:00:00Z"}], "/0/expires_at"),
    ],
)
async def test_what_makes_no_sense(desk: Desk, body: Any, pointer: str) -> None:
    status, answer, _ = await desk.call("POST", PATH, body)
    assert status == 400
    assert answer["errors"][0]["pointer"].startswith(pointer)
    assert (await desk.get(f"{PATH}/w"))["session_ids"] == []


async def test_there_is_an_end_to_them(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "MAX_MAPPINGS", 2)
    await mapped(desk, ("w1", "session-1"), ("w2", "session-2"))
    status, answer, _ = await desk.call("POST", PATH, {"watermark_id": "w3", "session_id": "session-3"})
    assert (status, answer["code"]) == (429, "rate_limited")


async def test_a_vendor_maps_and_does_not_read() -> None:
    async with open_desk(keys=NAMED) as desk:
        vendor = bearer(KEYS[Role.WATERMARK_VENDOR])
        await mapped(desk, ("w1", "session-1"), **vendor)
        assert (await desk.call("GET", f"{PATH}/w1", **vendor))[0] == 403
        assert (await desk.call("DELETE", f"{PATH}/w1", **vendor))[0] == 403


@pytest.fixture
async def two_desks() -> AsyncIterator[tuple[Desk, Desk]]:
    with valkey_server() as server:
        async with open_desk(log=server.url) as one, open_desk(name="node-b", log=server.url) as two:
            await until(lambda: all(len(desk.node.replica.members()) == 1 for desk in (one, two)))
            yield one, two


async def test_mapped_here_and_revoked_there(two_desks: tuple[Desk, Desk]) -> None:
    one, two = two_desks
    visitor = one.watch("session-1")
    assert (await mapped(one, ("w1", "session-1")))["complete"]
    await two.revoke({"type": "watermark", "value": "w1"})
    await until(lambda: one.refuses(visitor))
    for number in range(10):
        visitor = one.watch(f"racing-{number}")
        await asyncio.gather(
            mapped(one, (f"race-{number}", f"racing-{number}")),
            two.revoke({"type": "watermark", "value": f"race-{number}"}),
        )
        await until(partial(one.refuses, visitor))
