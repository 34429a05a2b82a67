"""The audit log, and answers that are remembered across a restart."""

import asyncio
import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest

from relay.control import notes
from relay.errors import JournalError
from relay.state.journal import AuditEntry
from tests.control.desk import API_KEY, Desk, open_desk


async def test_every_change_is_put_down(desk: Desk) -> None:
    done = await desk.revoke({"type": "session", "value": "s"}, X_Actor="jane")
    await desk.call("POST", "/api/v1/drm/revoke", {"account_id": "a", "reason": "r"})
    await desk.call("DELETE", f"/api/v1/revocations/{done['id']}")
    await desk.call("POST", "/api/v1/blocks/users/u", {})
    await desk.call("POST", "/taas/v2/revocation-lists", {"name": "l"})
    await desk.call("POST", "/api/v1/revocations", [{}], Idempotency_Key="bad")
    log = await desk.get("/api/v1/audit")
    assert [(entry["who"], entry["what"]) for entry in log["entries"]] == [
        ("api:jane", "revocations.post"),
        ("api", "drm.revoke"),
        ("api", "revocations.delete"),
        ("api", "blocks.post"),
        ("api", "taas.list.post"),
    ]
    first = log["entries"][0]
    assert first["at"] == pytest.approx(desk.node.clock(), abs=5)
    assert (first["effect"]["id"], first["effect"]["target"]) == (done["id"], "s")
    rest = await desk.get("/api/v1/audit?limit=3")
    rest = await desk.get(f"/api/v1/audit?cursor={rest['next']}&limit=1")
    assert [entry["what"] for entry in rest["entries"]] == ["blocks.post"]
    end = await desk.get(f"/api/v1/audit?cursor={(await desk.get('/api/v1/audit'))['next']}")
    assert end["entries"] == []
    await desk.revoke({"type": "session", "value": "later"})
    later = await desk.get(f"/api/v1/audit?cursor={end['next']}")
    assert [entry["what"] for entry in later["entries"]] == ["revocations.post"]
    assert API_KEY not in str(log)


async def test_log_and_answers_survive_a_restart(tmp_path: Any) -> None:
    path, item = "/api/v1/revocations", [{"type": "session", "value": "s"}]
    async with open_desk(tmp_path) as desk:
        _, first, _ = await desk.call("POST", path, item, Idempotency_Key="k")
    async with open_desk(tmp_path) as desk:
        _, again, headers = await desk.call("POST", path, item, Idempotency_Key="k")
        assert (again, headers["Idempotency-Replayed"]) == (first, "true")
        assert len((await desk.get("/api/v1/audit"))["entries"]) == 1
        status, _, _ = await desk.call("POST", path, [{"type": "session", "value": "t"}], Idempotency_Key="k")
        assert status == 409


async def test_answers_are_forgotten_after_a_day(tmp_path: Any) -> None:
    path, item, now = "/api/v1/revocations", [{"type": "session", "value": "s"}], 1_800_000_000.0
    async with open_desk(tmp_path, clock=lambda: now) as desk:
        _, first, _ = await desk.call("POST", path, item, Idempotency_Key="k")
    async with open_desk(tmp_path, clock=lambda: now + notes.REMEMBERED_S + 1) as desk:
        _, again, _ = await desk.call("POST", path, item, Idempotency_Key="k")
    assert first["id"] != again["id"]


async def test_a_full_disk_delays_the_log_and_loses_none_of_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise JournalError("disk full")

    monkeypatch.setattr(notes, "RETRY_S", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(desk.node.journal, "add_audit", full)
        await desk.revoke({"type": "session", "value": "s"})
        status, problem, _ = await desk.call("GET", "/api/v1/audit")
        assert (status, problem["code"], problem["retry_after_ms"]) == (503, "state_unwritable", 1000)
    assert len((await desk.get("/api/v1/audit"))["entries"]) == 1


@pytest.mark.parametrize("query", ["cursor=x", "cursor=z____________", "limit=0", "limit=5000", "after=1"])
async def test_bad_queries(desk: Desk, query: str) -> None:
    status, problem, _ = await desk.call("GET", f"/api/v1/audit?{query}")
    assert (status, problem["code"]) == (400, "request_invalid")


async def test_an_end_in_the_middle_of_writing_writes_nothing_twice(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(tmp_path) as desk:
        add, begun = desk.node.journal.add_audit, threading.Event()

        def slow(entries: Iterable[AuditEntry]) -> None:
            begun.set()
            time.sleep(0.1)
            add(entries)

        monkeypatch.setattr(desk.node.journal, "add_audit", slow)
        await desk.revoke({"type": "session", "value": "s"})
        await asyncio.to_thread(begun.wait, 5)
    async with open_desk(tmp_path) as desk:
        assert len((await desk.get("/api/v1/audit"))["entries"]) == 1


async def test_what_makes_room_while_others_are_written_takes_no_more_along(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "MAX_OWED", 2)
    made, add = notes.Notes(desk.node), desk.node.journal.add_audit
    made.audit("a", "one", {})
    made.audit("a", "two", {})

    def meanwhile(entries: Iterable[AuditEntry]) -> None:
        made.audit("a", "three", {})
        add(entries)

    with monkeypatch.context() as patch:
        patch.setattr(desk.node.journal, "add_audit", meanwhile)
        await made.write()
    assert [entry.what for entry in await made.audited(0, 10)] == ["one", "two", "three"]
