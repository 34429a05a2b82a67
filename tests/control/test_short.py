"""``POST /api/v1/drm/revoke``: the short form."""

from typing import Any

import pytest

from tests.control.desk import Desk

PATH = "/api/v1/drm/revoke"


@pytest.mark.parametrize(
    ("body", "claims", "kind"),
    [
        ({"session_id": "session-1"}, {}, "session"),
        ({"account_id": "account-1"}, {}, "account"),
        ({"account_id": "account-1", "issuer": "https://platform.example"}, {}, "account"),
        ({"device_id": "d"}, {"device": "d"}, "device"),
        ({"watermark_id": "w"}, {"watermark": "w"}, "watermark"),
    ],
)
async def test_one_target_is_stopped(desk: Desk, body: dict[str, str], claims: dict[str, str], kind: str) -> None:
    visitor = desk.watch(**claims)
    status, done, _ = await desk.call("POST", PATH, {**body, "reason": "piracy"}, X_Actor="jane")
    assert (status, done["target"]["type"], done["sessions_cut"], done["responses_cut"]) == (200, kind, 1, 1)
    assert done["expires_at"] > done["accepted_at"]
    assert [node["node"] for node in done["nodes"]] == ["node-a"]
    assert desk.refuses(visitor)
    record = await desk.get(f"/api/v1/revocations/{done['id']}")
    assert (record["reason"], record["actor"]) == ("piracy", "api:jane")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"session_id": ""},
        {"session_id": 5},
        {"session_id": "a", "account_id": "b"},
        {"device_id": "a", "watermark_id": "b"},
        {"session_id": "a", "issuer": "b"},
        {"sessionid": "a"},
        b"session_id=a",
        b"\xff",
        b"[" * 10_000,
    ],
)
async def test_bad_bodies_change_nothing(desk: Desk, body: Any) -> None:
    status, problem, _ = await desk.call("POST", PATH, body)
    assert (status, problem["code"]) == (400, "request_invalid")
    assert len(desk.node.revocations.revoked) == 0


async def test_a_key_makes_it_repeatable_but_is_not_required(desk: Desk) -> None:
    first = await desk.call("POST", PATH, {"session_id": "a"}, Idempotency_Key="k")
    again = await desk.call("POST", PATH, {"session_id": "a"}, Idempotency_Key="k")
    other = await desk.call("POST", PATH, {"session_id": "a"})
    assert first[1]["id"] == again[1]["id"] != other[1]["id"]


async def test_a_body_that_cannot_be_unpacked_is_the_callers_fault(desk: Desk) -> None:
    status, problem, _ = await desk.call("POST", PATH, b"not deflated at all", Content_Encoding="deflate")
    assert (status, problem["code"]) == (400, "request_invalid")
    assert len(desk.node.revocations.revoked) == 0
