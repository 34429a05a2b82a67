"""Blocks of users and devices."""

from typing import Any

import pytest

from tests.control.desk import Desk

PATH = "/api/v1/blocks"


@pytest.mark.parametrize(("path", "claims"), [("users/account-1", {}), ("devices/d%2F1", {"device": "d/1"})])
async def test_a_block_holds_until_it_is_lifted(desk: Desk, path: str, claims: dict[str, Any]) -> None:
    visitor = desk.watch(**claims)
    status, _, _ = await desk.call("GET", f"{PATH}/{path}")
    assert status == 404
    status, done, _ = await desk.call("POST", f"{PATH}/{path}", {"reason": "fraud"})
    assert (status, done["sessions_cut"]) == (200, 1)
    assert desk.refuses(visitor)
    block = await desk.get(f"{PATH}/{path}")
    assert (block["blocked"], block["reason"], block["actor"]) == (True, "fraud", "api")
    assert block["until"] > desk.node.clock() + 9 * 365 * 86_400
    status, _, _ = await desk.call("DELETE", f"{PATH}/{path}")
    assert status == 200
    assert not desk.refuses(visitor)
    assert (await desk.get(f"{PATH}/{path}"))["blocked"] is False


async def test_a_block_may_end_by_itself_and_need_no_body(desk: Desk) -> None:
    await desk.call("POST", f"{PATH}/users/a", {"duration_s": 60})
    assert (await desk.get(f"{PATH}/users/a"))["until"] == pytest.approx(desk.node.clock() + 60, abs=2)
    status, _, _ = await desk.call("POST", f"{PATH}/users/b", b"")
    assert status == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("users/a", {"duration_s": 0}, 400),
        ("users/a", {"reason": "x" * 513}, 400),
        ("users/a", {"until": 5}, 400),
        ("users/a", [], 400),
        ("users/" + "x" * 129, {}, 400),
        ("cars/a", {}, 404),
        ("users/", {}, 404),
    ],
)
async def test_bad_blocks(desk: Desk, path: str, body: Any, status: int) -> None:
    got, _, _ = await desk.call("POST", f"{PATH}/{path}", body)
    assert got == status
    assert len(desk.node.revocations.revoked) == 0


async def test_an_id_that_is_no_text_is_no_fault_of_ours(desk: Desk) -> None:
    for method in ("POST", "GET", "DELETE"):
        status, _, _ = await desk.call(method, f"{PATH}/users/%ff%00", b"" if method == "POST" else None)
        assert status in (200, 400, 404)
