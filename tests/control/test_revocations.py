"""``/api/v1/revocations``: what goes in, what comes out, and that all or nothing of a call happens."""

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from relay.control.orders import MAX_ITEMS
from relay.control.requests import MAX_BATCH_BODY, MAX_BODY
from relay.gate.targets import Target, TargetType
from relay.model import Session
from relay.state.replica import NodeReport, Wait
from tests.control.desk import ISSUER, Desk

PATH = "/api/v1/revocations"
SESSION = {"type": "session", "value": "session-1"}


async def test_a_batch_is_refused_and_cut_and_told_of(desk: Desk) -> None:
    first, second = desk.watch("s1", "a1"), desk.watch("s2", "a2", device="d2")
    done = await desk.revoke(
        {"type": "session", "value": "s1", "reason": "piracy"},
        {"type": "device", "value": "d2"},
        {"type": "account", "value": "x"},
    )
    assert desk.refuses(first)
    assert desk.refuses(second)
    assert sorted(desk.cut) == ["s1", "s2"]
    assert (done["targets"], done["sessions_cut"], done["responses_cut"]) == (3, 2, 2)
    assert done["complete"] is True
    assert [(node["node"], node["state"], node["sessions_cut"]) for node in done["nodes"]] == [("node-a", "applied", 2)]
    record = await desk.get(f"{PATH}/{done['id']}")
    assert (record["target"], record["seq"]) == ({"type": "account", "value": "x"}, done["seq"])
    assert record["created_at"] == done["accepted_at"]


@pytest.mark.parametrize(
    ("item", "claims"),
    [
        ({"type": "session", "value": "session-1"}, {}),
        ({"type": "account", "value": "account-1", "issuer": "https://platform.example"}, {}),
        ({"type": "device", "value": "d"}, {"device": "d"}),
        ({"type": "token", "value": "t"}, {"token_id": "t"}),
        ({"type": "watermark", "value": "w"}, {"watermark": "w"}),
        ({"type": "stream", "value": "vod"}, {}),
        ({"type": "stream", "value": "vod", "viewer": "account-1"}, {}),
        ({"type": "network", "value": "192.0.2.0/24"}, {}),
        ({"type": "network", "value": "as64500"}, {}),
        ({"type": "issuer-key", "value": "k"}, {"key_id": "k"}),
        ({"type": "session-version", "value": "account-1", "max_version": 3}, {"version": 3}),
        ({"type": "issued-before", "value": "account-1", "before": 1001}, {"issued_at": 1000}),
        ({"type": "issued-before", "issuer": "https://platform.example", "before": 1001}, {"issued_at": 1000}),
    ],
)
async def test_every_type_of_target_stops_its_viewers_and_lets_them_back(
    desk: Desk, item: dict[str, Any], claims: dict[str, Any]
) -> None:
    visitor = desk.watch(**claims)
    _, preview, _ = await desk.call("POST", f"{PATH}/preview", item)
    assert (preview["sessions"], preview["responses"]) == (1, 1)
    assert not desk.refuses(visitor)
    done = await desk.revoke(item)
    assert desk.refuses(visitor)
    assert desk.cut == ["session-1"]
    status, restored, _ = await desk.call("DELETE", f"{PATH}/{done['id']}?reason=mistake")
    assert (status, restored["targets"]) == (200, 1)
    assert not desk.refuses(visitor)
    assert (await desk.get(f"{PATH}/{restored['id']}"))["action"] == "restore"


@pytest.mark.parametrize("kind", ["session", "stream", "network", "issuer-key", "issued-before"])
async def test_a_preview_of_many_leaves_the_event_loop_turning(desk: Desk, kind: str) -> None:
    named: dict[str, dict[str, Any]] = {
        "session": {"value": "session-7"},
        "stream": {"value": "vod"},
        "network": {"value": "192.0.2.0/24"},
        "issuer-key": {"value": "k1", "issuer": ISSUER},
        "issued-before": {"issuer": ISSUER, "before": 4_000_000_000},
    }
    item = {"type": kind, **named[kind]}
    now = desk.node.clock()
    for number in range(50_000):
        session = Session(f"session-{number}", "account", ISSUER, int(now) + 600, key_id="k1")
        viewer = SimpleNamespace(session=session, stream="vod", live=None)
        desk.node.presence.seen(viewer, now, "192.0.2.1", 64500)
    desk.watch("session-7", "account", key_id="k1")
    desk.watch("session-8", "account", key_id="k1")
    pauses: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            pauses.append(time.perf_counter() - began)

    watching = asyncio.create_task(watch())
    _, preview, _ = await desk.call("POST", f"{PATH}/preview", item)
    watching.cancel()
    expected = (1, 1) if kind == "session" else (50_000, 2)
    assert (preview["sessions"], preview["responses"]) == expected
    # All in one go they take a second and a half.
    assert max(pauses) < 0.2


async def test_texts_too_long_to_be_read_back_never_get_in(desk: Desk) -> None:
    for name in ("value", "issuer", "reason", "detail"):
        item = {"type": "account", "value": "a", name: "x" * 513}
        status, body, _ = await desk.call("POST", PATH, [item], Idempotency_Key=name)
        assert (status, body["errors"][0]["pointer"]) == (400, f"/0/{name}")
    done = await desk.revoke(SESSION)
    for reason, expected in (("x" * 513, 400), ("%ED%A0%80", 200)):
        status, _, _ = await desk.call("DELETE", f"{PATH}/{done['id']}?reason={reason}")
        assert status == expected
    assert len(list(desk.node.journal.replay())) == 2


async def test_one_object_and_lines_do_as_well(desk: Desk) -> None:
    status, body, _ = await desk.call("POST", PATH, {"type": "session", "value": "s1"}, Idempotency_Key="a")
    assert (status, body["targets"]) == (200, 1)
    lines = b'{"type":"session","value":"s2"}\n{"type":"session","value":"s3"}\n'
    status, body, _ = await desk.call("POST", PATH, lines, Idempotency_Key="b", Content_Type="application/x-ndjson")
    assert (status, body["targets"]) == (200, 2)
    assert len(desk.node.revocations.revoked) == 3


async def test_one_bad_item_and_nothing_changes(desk: Desk) -> None:
    items = [{"type": "session", "value": f"s{n}"} for n in range(50)]
    items[3] = {"type": "session", "value": ""}
    items[40] = {"type": "network", "value": "nowhere"}
    status, body, headers = await desk.call("POST", PATH, items, Idempotency_Key="a")
    assert (status, body["code"]) == (400, "request_invalid")
    assert headers["Content-Type"] == "application/problem+json"
    assert [error["pointer"] for error in body["errors"]] == ["/3/value", "/40/value"]
    assert len(desk.node.revocations.revoked) == 0
    # Nothing was done, so the key is still good.
    status, _, _ = await desk.call("POST", PATH, [SESSION], Idempotency_Key="a")
    assert status == 200


async def test_at_most_twenty_flaws_are_told(desk: Desk) -> None:
    status, body, _ = await desk.call("POST", PATH, [{}] * 100, Idempotency_Key="a")
    assert (status, len(body["errors"])) == (400, 20)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        (PATH, [SESSION], {}, 400, "request_invalid"),
        (PATH, [SESSION], {"Idempotency_Key": "k" * 129}, 400, "request_invalid"),
        (PATH, b"type=session", {"Idempotency_Key": "k", "Content_Type": "text/plain"}, 415, "media_type"),
        (PATH, b"x" * (MAX_BATCH_BODY + 1), {"Idempotency_Key": "k"}, 413, "request_too_large"),
        (PATH, [{}] * (MAX_ITEMS + 1), {"Idempotency_Key": "k"}, 400, "request_invalid"),
        (f"{PATH}?wait=some", [SESSION], {"Idempotency_Key": "k"}, 400, "request_invalid"),
        (f"{PATH}?timeout_ms=30001", [SESSION], {"Idempotency_Key": "k"}, 400, "request_invalid"),
        (f"{PATH}?timeout_ms=-1", [SESSION], {"Idempotency_Key": "k"}, 400, "request_invalid"),
        (PATH, [SESSION], {"Idempotency_Key": "k", "X_Actor": "x" * 129}, 400, "request_invalid"),
        (f"{PATH}/preview", b"[]", {}, 400, "request_invalid"),
        (f"{PATH}/preview", b"x" * (MAX_BODY + 1), {}, 413, "request_entity_too_large"),
    ],
)
async def test_bad_calls_change_nothing(
    desk: Desk, path: str, body: Any, headers: dict[str, str], status: int, code: str
) -> None:
    got, problem, _ = await desk.call("POST", path, body, **headers)
    assert (got, problem["code"]) == (status, code)
    assert len(desk.node.revocations.revoked) == 0


async def test_the_same_call_twice_is_one_call(desk: Desk) -> None:
    first = await desk.call("POST", PATH, [SESSION], Idempotency_Key="k")
    again = await desk.call("POST", PATH, [SESSION], Idempotency_Key="k")
    assert again[:2] == first[:2]
    assert (first[2].get("Idempotency-Replayed"), again[2].get("Idempotency-Replayed")) == (None, "true")
    page = await desk.get(PATH)
    assert len(page["revocations"]) == 1


async def test_calls_that_come_together_are_one_call(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.call("POST", PATH, [SESSION], Idempotency_Key="k") for _ in range(8)))
    assert {json.dumps(body) for _, body, _ in answers} == {json.dumps(answers[0][1])}
    assert len((await desk.get(PATH))["revocations"]) == 1


async def test_another_call_under_the_same_key_is_a_conflict(desk: Desk) -> None:
    await desk.call("POST", PATH, [SESSION], Idempotency_Key="k")
    other = {"type": "session", "value": "session-2"}
    for path, body in ((PATH, [other]), (f"{PATH}?wait=all", [SESSION]), ("/api/v1/drm/revoke", {"session_id": "s"})):
        status, problem, _ = await desk.call("POST", path, body, Idempotency_Key="k")
        assert (status, problem["code"]) == (409, "idempotency_conflict")
    assert len(desk.node.revocations.revoked) == 1


async def test_ten_thousand_items_leave_the_event_loop_turning(desk: Desk) -> None:
    items = [{"type": "session", "value": f"session-{n}", "reason": "a" * 100} for n in range(MAX_ITEMS)]
    body = json.dumps(items).encode()
    pauses: list[float] = []

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0)
            pauses.append(loop.time() - before)

    watching = asyncio.ensure_future(watch())
    status, answer, _ = await desk.call("POST", PATH, body, Idempotency_Key="k")
    watching.cancel()
    assert (status, answer["targets"]) == (200, MAX_ITEMS)
    assert len(desk.node.revocations.revoked) == MAX_ITEMS
    # One turn in a hundred may meet the garbage collector or another process; all of them cannot.
    assert sorted(pauses)[int(len(pauses) * 0.99)] < 0.01


async def test_records_are_found_by_target_and_page_by_page(desk: Desk) -> None:
    for number in range(5):
        await desk.revoke({"type": "session", "value": f"s{number}"})
    await desk.revoke({"type": "account", "value": "a", "issuer": "i"})
    seen: list[str] = []
    cursor = ""
    while True:
        page = await desk.get(f"{PATH}?type=session&limit=2&cursor={cursor}")
        seen += [record["target"]["value"] for record in page["revocations"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == ["s4", "s3", "s2", "s1", "s0"]
    about = await desk.get(f"{PATH}?type=account&value=a&issuer=i")
    assert (len(about["revocations"]), about["revoked"]) == (1, True)
    about = await desk.get(f"{PATH}?type=account&value=a")
    assert (about["revocations"], about["revoked"]) == ([], False)


@pytest.mark.parametrize(
    "query",
    [
        "type=nothing",
        "value=x",
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=-",
        "cursor=zz",
        "cursor=%ff",
        "cursor=_w",
        "cursor=z____________",
        "next=x",
        "type=network&value=x",
    ],
)
async def test_bad_queries(desk: Desk, query: str) -> None:
    status, problem, _ = await desk.call("GET", f"{PATH}?{query}")
    assert (status, problem["code"]) == (400, "request_invalid")


@pytest.mark.parametrize("name", ["x", "0" * 16 + "-1", "%ff", "a-b-c", "-", "0-" + "9" * 400])
async def test_unknown_records_are_not_found(desk: Desk, name: str) -> None:
    for method, path in (("GET", f"{PATH}/{name}"), ("DELETE", f"{PATH}/{name}"), ("GET", f"{PATH}/status/{name}")):
        status, problem, _ = await desk.call(method, path)
        assert (status, problem["code"]) == (404, "not_found")


async def test_a_call_that_does_not_wait_to_the_end_can_be_asked_about(desk: Desk, monkeypatch: Any) -> None:
    reports = [NodeReport("node-b", "pending")]

    async def answer(events: Any, wait: Wait, timeout_s: float, started: float) -> list[NodeReport]:
        return list(reports)

    monkeypatch.setattr(desk.node.replica, "reports", answer)
    status, body, headers = await desk.call(
        "POST", f"{PATH}?wait=all&timeout_ms=10", [SESSION, SESSION], Idempotency_Key="k"
    )
    assert (status, body["complete"], body["targets"]) == (202, False, 2)
    assert [node["state"] for node in body["nodes"]] == ["applied", "pending"]
    where = headers["Location"]
    assert where == f"{PATH}/status/{body['id']}"
    status, body, _ = await desk.call("GET", where)
    assert (status, body["complete"]) == (202, False)
    reports[0] = NodeReport("node-b", "applied", 12.0, 1, 2)
    status, body, _ = await desk.call("GET", where)
    assert (status, body["complete"], body["targets"], body["responses_cut"]) == (200, True, 2, 2)


async def test_scheduled_and_expiring_records(desk: Desk) -> None:
    now = desk.node.clock()
    visitor = desk.watch()
    await desk.revoke({**SESSION, "effective_at": now + 60, "duration_s": 60})
    assert not desk.refuses(visitor)
    standing = desk.node.revocations.revoked.get(Target(TargetType.SESSION, "session-1"))
    assert standing is not None
    assert standing.effective_at == pytest.approx(now + 60, abs=1)
    assert standing.expires_at == pytest.approx(now + 120, abs=2)


async def test_meta_tells_how_things_stand(desk: Desk) -> None:
    await desk.revoke(SESSION, {"type": "device", "value": "d"})
    meta = await desk.get(f"{PATH}/meta")
    assert (meta["node"], meta["ready"], meta["revocations"]) == ("node-a", True, 2)
    assert (meta["by_type"]["session"], meta["by_type"]["device"], meta["by_type"]["network"]) == (1, 1, 0)
    assert meta["limits"]["items"] == MAX_ITEMS
    assert meta["nodes"] == []
