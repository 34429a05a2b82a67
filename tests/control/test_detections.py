"""Detections: what detectors tell, when it revokes, and who must approve what does not by itself."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import msgspec
import pytest

from relay.roles import Role
from relay.watermark.detections import marks
from tests.control.desk import Answer, Desk, open_desk, signature
from tests.control.test_mappings import mapped
from tests.control.test_roles import KEYS, NAMED, bearer
from tests.state.cluster import until
from tests.valkey import valkey_server

PATH = "/api/v1/drm/watermark/detections"
SECRETS = {"eye": [b"e" * 32, b"f" * 32], "careful": [b"c" * 32]}
SETTINGS: dict[str, Any] = {
    "watermark": {
        "detectors": [
            {"name": "eye", "secret_files": ["-", "-"], "revoke_at": 0.95},
            {"name": "careful", "secret_files": ["-"], "approvals": 1},
        ]
    }
}
FOUND = {"id": "found-1", "watermark_id": "w1", "confidence": 0.99, "asset": "film", "evidence": {"url": "https://x"}}
ADMIN, PLATFORM, VENDOR = (bearer(KEYS[role]) for role in (Role.ADMIN, Role.PLATFORM, Role.WATERMARK_VENDOR))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk(settings=SETTINGS, webhooks=SECRETS, keys=NAMED) as made:
        yield made


async def hook(desk: Desk, secret: bytes = SECRETS["eye"][0], at: int = 0, **changes: Any) -> Answer:
    """Send a detection as a signed webhook."""
    body = msgspec.json.encode({**FOUND, **changes})
    return await desk.call("POST", PATH, body, **{**signature(secret, body, at), "Authorization": ""})


async def told(desk: Desk, **changes: Any) -> Any:
    status, body, _ = await hook(desk, **changes)
    assert status == 201, body
    return body


async def say(desk: Desk, name: str, decision: str = "approve", **headers: str) -> Answer:
    return await desk.call("POST", f"{PATH}/{name}/{decision}", {"reason": "seen"}, **headers)


@pytest.mark.parametrize("secret", SECRETS["eye"])
async def test_confidence_enough_revokes_at_once(desk: Desk, secret: bytes) -> None:
    marked, foreign = desk.watch("session-1", watermark="w1"), desk.watch("session-2")
    await mapped(desk, ("w1", "session-2"))
    found = await told(desk, secret=secret, detected_at="2026-11-22T12:00:00Z", reason="found on a site")
    assert (found["state"], found["revoked"], found["approvals_needed"]) == ("revoked", True, 0)
    assert (found["detector"], found["event_id"], found["asset"]) == ("detector:eye", "found-1", "film")
    assert (found["evidence"], found["detected_at"]) == ({"url": "https://x"}, 1795348800.0)
    assert "session_ids" not in found
    assert found["revocation"]["sessions_cut"] == 2
    assert sorted(desk.cut) == ["session-1", "session-2"]
    assert desk.refuses(marked)
    assert desk.refuses(foreign)
    (record,) = (await desk.get("/api/v1/revocations?type=watermark"))["revocations"]
    assert (record["actor"], record["reason"]) == ("detector:eye", "found on a site")
    assert record["detail"] == f"detection:{found['id']}"
    shown = await desk.get(f"{PATH}/{found['id']}")
    assert shown["session_ids"] == ["session-2"]


async def test_the_same_again_is_one_detection(desk: Desk) -> None:
    first = await told(desk)
    status, again, headers = await hook(desk)
    assert (status, headers["Idempotency-Replayed"]) == (201, "true")
    assert again == {**first, "revocation": None}
    status, body, _ = await hook(desk, confidence=0.98)
    assert (status, body["code"]) == (409, "conflict")
    assert len((await desk.get("/api/v1/revocations?type=watermark"))["revocations"]) == 1
    # What somebody restored since stays restored.
    await desk.revoke({"type": "watermark", "value": "w1", "action": "restore"})
    assert (await told(desk))["revoked"] is False


async def test_two_keys_must_approve_the_rest(desk: Desk) -> None:
    visitor = desk.watch("session-1", watermark="w1")
    found = await told(desk, confidence=0.94)
    assert (found["state"], found["approvals_needed"], found["revoked"]) == ("pending", 2, False)
    assert not desk.refuses(visitor)
    for _ in range(2):
        status, body, _ = await say(desk, found["id"], **ADMIN, X_Actor="ada")
        assert (status, body["state"]) == (200, "pending")
    assert [(one["by"], one["decision"], one["reason"]) for one in body["verdicts"]] == [
        ("api:key-admin:ada", "approve", "seen")
    ]
    assert not desk.refuses(visitor)
    status, body, _ = await say(desk, found["id"], **PLATFORM)
    assert (status, body["state"], body["revoked"]) == (200, "revoked", True)
    assert body["revocation"]["sessions_cut"] == 1
    assert desk.refuses(visitor)
    # Once more changes nothing, and it is too late to dismiss.
    assert (await say(desk, found["id"], **PLATFORM))[0] == 200
    assert (await say(desk, found["id"], "dismiss", **ADMIN))[0] == 409
    log = (await desk.get("/api/v1/audit"))["entries"]
    assert {"watermark.detections.post", "watermark.detections.approve"} <= {entry["what"] for entry in log}


async def test_a_detector_may_ask_for_people_always_and_for_fewer(desk: Desk) -> None:
    found = await told(desk, secret=SECRETS["careful"][0], confidence=1)
    assert (found["state"], found["approvals_needed"]) == ("pending", 1)
    assert (await say(desk, found["id"], **PLATFORM))[1]["state"] == "revoked"


async def test_dismissed_is_dismissed(desk: Desk) -> None:
    visitor = desk.watch("session-1", watermark="w1")
    found = await told(desk, confidence=0.5)
    assert (await say(desk, found["id"], "dismiss", **PLATFORM))[1]["state"] == "dismissed"
    status, body, _ = await say(desk, found["id"], **ADMIN)
    assert (status, body["detail"]) == (409, "the detection is dismissed already")
    assert not desk.refuses(visitor)


async def test_whoever_has_a_key_tells_and_people_decide(desk: Desk) -> None:
    status, found, _ = await desk.call("POST", PATH, FOUND, **VENDOR)
    assert (status, found["state"], found["detector"]) == (201, "pending", "api:key-watermark-vendor")
    assert "session_ids" not in found
    status, found, _ = await desk.call("POST", PATH, FOUND, **PLATFORM)
    assert (found["session_ids"], found["detector"]) == ([], "api:key-platform")
    for path, method in [("", "GET"), (f"/{found['id']}", "GET"), (f"/{found['id']}/approve", "POST")]:
        assert (await desk.call(method, PATH + path, **VENDOR))[0] == 403


async def test_lists(desk: Desk) -> None:
    names = [(await told(desk, id=f"f{at}", confidence=0.99 if at % 2 else 0.1))["id"] for at in range(5)]
    listed = await desk.get(PATH)
    assert [one["id"] for one in listed["detections"]] == names[::-1]
    pending = await desk.get(f"{PATH}?state=pending&limit=2")
    assert [one["id"] for one in pending["detections"]] == [names[4], names[2]]
    rest = await desk.get(f"{PATH}?state=pending&limit=2&cursor={pending['next']}")
    assert ([one["id"] for one in rest["detections"]], rest["next"]) == ([names[0]], None)
    assert (await desk.call("GET", f"{PATH}?state=lost"))[0] == 400
    assert (await desk.call("GET", f"{PATH}/{'0' * 32}"))[0] == 404
    assert (await say(desk, "nothing", **ADMIN))[0] == 404


async def test_signatures(desk: Desk) -> None:
    for answer in (
        await hook(desk, secret=b"x" * 32),
        await hook(desk, at=1_000_000_000),
        await desk.call("POST", PATH, FOUND, Authorization=""),
    ):
        assert (answer[0], answer[1]["code"]) == (401, "webhook_signature")
    body = msgspec.json.encode(FOUND)
    signed = {**signature(SECRETS["eye"][0], body), "Authorization": ""}
    status, _, _ = await desk.call("POST", PATH, body.replace(b"0.99", b"1.00"), **signed)
    assert status == 401
    assert (await desk.get(PATH))["detections"] == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"confidence": 1.1}, "/confidence"),
        ({"confidence": "high"}, "/confidence"),
        ({"watermark_id": ""}, "/watermark_id"),
        ({"watermark_id": "w" * 129}, "/watermark_id"),
        ({"id": ""}, "/id"),
        ({"evidence": []}, "/evidence"),
        ({"evidence": {"a": "b" * 5000}}, "/evidence"),
        ({"detected_at": "yesterday"}, "/detected_at"),
        ({"more": 1}, ""),
    ],
)
async def test_what_makes_no_sense(desk: Desk, change: dict[str, Any], pointer: str) -> None:
    status, body, _ = await hook(desk, **change)
    assert (status, body["code"], body["errors"][0]["pointer"]) == (400, "request_invalid", pointer)
    assert (await desk.get(PATH))["detections"] == []


async def test_there_is_an_end_to_them(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "MAX_DETECTIONS", 1)
    await told(desk)
    assert (await hook(desk, id="found-2"))[0] == 429
    assert (await hook(desk))[0] == 201


async def test_two_people_at_two_nodes_at_once() -> None:
    with valkey_server() as server:
        async with (
            open_desk(log=server.url, settings=SETTINGS, webhooks=SECRETS, keys=NAMED) as one,
            open_desk(name="node-b", log=server.url, settings=SETTINGS, webhooks=SECRETS, keys=NAMED) as two,
        ):
            await until(lambda: all(len(desk.node.replica.members()) == 1 for desk in (one, two)))
            visitors = [one.watch(f"session-{at}", watermark=f"w{at}") for at in range(5)]
            for at, visitor in enumerate(visitors):
                name = (await told(one, id=f"f{at}", watermark_id=f"w{at}", confidence=0.5))["id"]
                await until(partial(two.node.marks.detection, name, 0.0))
                answers = await asyncio.gather(say(one, name, **ADMIN), say(two, name, **PLATFORM))
                assert [status for status, _, _ in answers] == [200, 200]
                assert "revoked" in {body["state"] for _, body, _ in answers}
                await until(partial(one.refuses, visitor))
