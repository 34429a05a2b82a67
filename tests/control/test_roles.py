"""Who may call what: every operation with a key of every role, without a key and with a wrong one."""

import re
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest

from relay.api_keys import ApiKeys
from relay.control.app import OPERATIONS
from relay.operation import API_KEY as API_KEY_NEEDED
from relay.operation import Operation
from relay.roles import Role
from tests.control.desk import API_KEY, Desk, open_desk

KEYS = {role: f"{role}-".ljust(43, "x") for role in Role}
NAMED = [
    {"name": f"key-{role}", "role": role.value, "sha256": sha256(text.encode()).hexdigest()}
    for role, text in KEYS.items()
]
KEYED = [operation for operation in OPERATIONS if operation.credential == API_KEY_NEEDED]
OPEN = [operation for operation in OPERATIONS if operation.credential != API_KEY_NEEDED]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A desk whose configuration has a key for each role."""
    async with open_desk(keys=NAMED) as made:
        yield made


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def called(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


async def code_of(desk: Desk, operation: Operation, method: str = "", **headers: str) -> tuple[int, str]:
    """Status and problem code of an operation that is called with nothing; the code is empty where it is no problem."""
    url = desk.url + re.sub(r"\{\w+(?::([^|}]+)[^}]*)?\}", lambda found: found[1] or "0", operation.path)
    async with desk.client.request(method or operation.method, url, headers=headers) as answer:
        is_problem = answer.content_type == "application/problem+json" and answer.method != "HEAD"
        return answer.status, (await answer.json(content_type=None))["code"] if is_problem else ""


@pytest.mark.parametrize("role", Role)
async def test_a_role_may_do_what_the_table_says_and_nothing_else(desk: Desk, role: Role) -> None:
    for operation in KEYED:
        found = await code_of(desk, operation, **bearer(KEYS[role]))
        if role in operation.roles:
            assert found[0] != 401, called(operation)
            assert found[1] != "role", called(operation)
        else:
            assert found == (403, "role"), called(operation)


@pytest.mark.parametrize("role", Role)
async def test_head_is_as_get(desk: Desk, role: Role) -> None:
    for operation in KEYED:
        if operation.method == "GET" and not operation.streams:
            status, _ = await code_of(desk, operation, "HEAD", **bearer(KEYS[role]))
            assert (status == 403) == (role not in operation.roles), called(operation)


@pytest.mark.parametrize("key", [None, "", "wrong" * 10, API_KEY[:-1], KEYS[Role.ADMIN][:-1], NAMED[0]["sha256"]])
async def test_without_a_known_key_nothing_is_done(desk: Desk, key: str | None) -> None:
    for operation in KEYED:
        # A purchase may come as a signed webhook instead.
        expected = "webhook_signature" if key is None and operation.other_credential else "api_key"
        assert await code_of(desk, operation, **(bearer(key) if key is not None else {})) == (401, expected)
    # Not even what is there is told.
    async with desk.client.get(f"{desk.url}/api/v1/nothing", headers=bearer(key or "")) as answer:
        assert answer.status == 401


@pytest.mark.parametrize("scheme", ["Basic", "", "Bearer Bearer"])
async def test_the_key_comes_as_a_bearer(desk: Desk, scheme: str) -> None:
    found = await code_of(desk, KEYED[0], Authorization=f"{scheme} {API_KEY}".strip())
    assert found == (401, "api_key")


async def test_what_asks_for_no_key_asks_for_none(desk: Desk) -> None:
    for operation in OPEN:
        status, code = await code_of(desk, operation)
        assert code not in ("api_key", "role"), called(operation)
        assert (status == 401) == (operation.path == "/ssf/events"), called(operation)


def test_readers_only_read_and_vendors_only_analyse_and_revoke() -> None:
    for operation in KEYED:
        assert Role.ADMIN in operation.roles, called(operation)
        if Role.READ_ONLY in operation.roles:
            assert operation.method == "GET", called(operation)
    vendors = {called(operation) for operation in KEYED if Role.WATERMARK_VENDOR in operation.roles}
    assert vendors == {
        "POST /api/v1/drm/revoke",
        "POST /api/v1/revocations",
        "GET /api/v1/revocations/status/{id}",
        "POST /api/v1/drm/watermark/mappings",
        "POST /api/v1/drm/watermark/detections",
        "POST /api/v1/drm/watermark/analyze",
        "GET /api/v1/drm/watermark/analyses",
        "GET /api/v1/drm/watermark/analyses/{id}",
        "GET /api/v1/drm/watermark/analyses/{id}/report",
        "GET /api/v1/drm/watermark/analyses/{id}/report.json",
        "DELETE /api/v1/drm/watermark/analyses/{id}",
    }


WATERMARK = {"type": "watermark", "value": "w-1"}


async def test_a_watermark_vendor_revokes_watermarks_and_nothing_else(desk: Desk) -> None:
    vendor = bearer(KEYS[Role.WATERMARK_VENDOR])
    leaker, other = desk.watch("s1", watermark="w-1"), desk.watch("s2", "a2")
    bodies: list[tuple[str, Any, int]] = [
        ("/api/v1/drm/revoke", {"session_id": "s2"}, 403),
        ("/api/v1/drm/revoke", {"account_id": "a2"}, 403),
        ("/api/v1/drm/revoke", {"device_id": "d"}, 403),
        ("/api/v1/revocations", [WATERMARK, {"type": "session", "value": "s2"}], 403),
        ("/api/v1/revocations", [{"type": "stream", "value": "vod"}], 403),
        ("/api/v1/revocations", [{**WATERMARK, "action": "restore"}], 403),
    ]
    for number, (path, body, expected) in enumerate(bodies):
        status, problem, _ = await desk.call("POST", path, body, Idempotency_Key=str(number), **vendor)
        assert (status, problem["code"], problem["number"]) == (expected, "role", 2005), body
    assert not desk.refuses(leaker)
    status, done, _ = await desk.call("POST", "/api/v1/drm/revoke", {"watermark_id": "w-1"}, **vendor)
    assert (status, done["target"]) == (200, {"type": "watermark", "value": "w-1"})
    status, _, _ = await desk.call("POST", "/api/v1/revocations", [WATERMARK], Idempotency_Key="k", **vendor)
    assert status == 200
    assert (desk.refuses(leaker), desk.refuses(other)) == (True, False)


async def test_the_audit_log_names_the_key_and_the_person(desk: Desk) -> None:
    platform = bearer(KEYS[Role.PLATFORM])
    for headers in ({**platform}, {**platform, "X_Actor": "anna"}, {"X_Actor": "otto"}, {}):
        status, _, _ = await desk.call("POST", "/api/v1/blocks/users/u", {}, **headers)
        assert status == 200
    log = await desk.get("/api/v1/audit")
    assert [entry["who"] for entry in log["entries"]] == [
        "api:key-platform",
        "api:key-platform:anna",
        "api:otto",
        "api",
    ]


async def test_keys_have_idempotency_keys_of_their_own(desk: Desk) -> None:
    path, item = "/api/v1/revocations", [{"type": "watermark", "value": "w"}]
    answers = []
    for key in (API_KEY, KEYS[Role.PLATFORM], KEYS[Role.WATERMARK_VENDOR], KEYS[Role.PLATFORM]):
        status, body, headers = await desk.call("POST", path, item, Idempotency_Key="same", **bearer(key))
        assert status == 200
        answers.append((body["id"], "Idempotency-Replayed" in headers))
    assert len({name for name, _ in answers[:3]}) == 3
    assert answers[3] == (answers[1][0], True)


async def test_keys_change_with_the_configuration(desk: Desk) -> None:
    desk.node.policies.api_keys = ApiKeys.of(b"another key", [])
    for key in (API_KEY, KEYS[Role.ADMIN]):
        assert await code_of(desk, KEYED[0], **bearer(key)) == (401, "api_key")
