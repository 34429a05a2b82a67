"""The Akamai-compatible lists: their shapes, and that who is on one is refused."""

from typing import Any

import pytest

from relay.control import taas, taas_lists
from tests.control.desk import Desk, open_desk

PATH = "/taas/v2/revocation-lists"


async def make_list(desk: Desk, name: str = "live-event") -> int:
    status, body, _ = await desk.call("POST", PATH, {"name": name, "contractId": "C-1"}, X_Actor="jane")
    assert status == 202, body
    assert body == {"id": body["id"], "name": name, "contractId": "C-1"}
    number: int = body["id"]
    return number


async def add(desk: Desk, number: int, *identifiers: dict[str, Any]) -> Any:
    status, body, _ = await desk.call("POST", f"{PATH}/{number}/identifiers/add", list(identifiers))
    assert status == 200, body
    return body


async def test_lists_are_made_read_renamed_and_deleted(desk: Desk) -> None:
    assert await desk.get(PATH) == []
    first, second = await make_list(desk), await make_list(desk, "other")
    lists = await desk.get(PATH)
    assert [(one["id"], one["name"], one["contractId"], one["createdBy"]) for one in lists] == [
        (first, "live-event", "C-1", "api:jane"),
        (second, "other", "C-1", "api:jane"),
    ]
    assert lists[0]["createdTime"] == pytest.approx(desk.node.clock(), abs=2)
    status, body, _ = await desk.call("PUT", f"{PATH}/{first}", {"name": "final", "contractId": "C-2"})
    assert (status, body["name"]) == (200, "final")
    one = await desk.get(f"{PATH}/{first}")
    assert (one["name"], one["contractId"], one["createdBy"]) == ("final", "C-2", "api:jane")
    status, body, _ = await desk.call("DELETE", f"{PATH}/{first}")
    assert (status, body) == (204, None)
    assert [one["id"] for one in await desk.get(PATH)] == [second]
    assert await make_list(desk, "third") not in (first, second)


async def test_who_is_on_a_list_is_refused_until_taken_off(desk: Desk) -> None:
    number = await make_list(desk)
    visitor = desk.watch("s1")
    body = await add(
        desk, number, {"id": "s1", "durationSeconds": 18_000}, {"id": "s2"}, {"id": "s3", "durationSeconds": 1}
    )
    assert body == {"count": 3, "limit": 50_000}
    assert desk.refuses(visitor)
    assert desk.cut == ["s1"]
    found = {one["id"]: one["ttl"] for one in await desk.get(f"{PATH}/{number}/identifiers")}
    assert found == pytest.approx({"s1": 18_000, "s2": 86_400, "s3": 1800}, abs=2)
    assert (await desk.get(f"{PATH}/{number}/identifiers/s1"))["id"] == "s1"
    assert await desk.get(f"{PATH}/{number}/meta") == {"count": 3, "limit": 50_000}
    assert await desk.get(f"{PATH}/{number}/properties") == [{"arlFileId": 1, "propertyId": 1, "propertyName": "vod"}]
    status, body, _ = await desk.call("POST", f"{PATH}/{number}/identifiers/remove", ["s1", "s9"])
    assert (status, body) == (200, {"count": 2, "limit": 50_000})
    assert not desk.refuses(visitor)
    status, problem, _ = await desk.call("GET", f"{PATH}/{number}/identifiers/s1")
    assert (status, problem["code"]) == (404, "not_found")


async def test_a_session_on_two_lists_is_refused_until_it_is_on_none(desk: Desk) -> None:
    one, two = await make_list(desk, "one"), await make_list(desk, "two")
    visitor = desk.watch("s1")
    await add(desk, one, {"id": "s1"})
    await add(desk, two, {"id": "s1"})
    await desk.call("POST", f"{PATH}/{one}/identifiers/remove", ["s1"])
    assert desk.refuses(visitor)
    assert [len(await desk.get(f"{PATH}/{number}/identifiers")) for number in (one, two)] == [0, 1]
    await desk.call("DELETE", f"{PATH}/{two}")
    assert not desk.refuses(visitor)


async def test_lists_survive_a_restart(tmp_path: Any) -> None:
    async with open_desk(tmp_path) as desk:
        number = await make_list(desk)
        await add(desk, number, {"id": "s1"})
        await desk.call("POST", f"{PATH}/{number}/identifiers/remove", ["s2"])
    async with open_desk(tmp_path) as desk:
        assert [one["id"] for one in await desk.get(f"{PATH}/{number}/identifiers")] == ["s1"]
        assert desk.refuses(desk.watch("s1"))


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ([{"id": ""}], "/0/id"),
        ([{"id": "a"}, {"id": "x" * 65}], "/1/id"),
        ([{"id": "a b"}], "/0/id"),
        ([{"id": 5}], "/0/id"),
        ([{}], "/0"),
        ([{"id": "a", "durationSeconds": "60"}], "/0/durationSeconds"),
        ([{"id": "a", "durationSeconds": -1}], "/0/durationSeconds"),
        ([{"id": f"s{n}"} for n in range(5001)], ""),
        ({"id": "a"}, ""),
        (b"{", ""),
    ],
)
async def test_bad_identifiers(desk: Desk, body: Any, pointer: str) -> None:
    number = await make_list(desk)
    before = len(desk.node.revocations.revoked)
    status, problem, _ = await desk.call("POST", f"{PATH}/{number}/identifiers/add", body)
    assert (status, problem["status"], problem["errors"][0]["pointer"]) == (400, 400, pointer)
    assert len(desk.node.revocations.revoked) == before


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "a b"}, {"name": "x" * 129}, {"name": 5}, [], b"x"])
async def test_bad_lists(desk: Desk, body: Any) -> None:
    status, problem, _ = await desk.call("POST", PATH, body)
    assert (status, problem["code"]) == (400, "request_invalid")


async def test_names_and_numbers_are_limited(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    number = await make_list(desk)
    status, problem, _ = await desk.call("POST", PATH, {"name": "live-event"})
    assert (status, problem["code"]) == (409, "conflict")
    monkeypatch.setattr(taas, "MAX_IDENTIFIERS", 1)
    status, problem, _ = await desk.call("POST", f"{PATH}/{number}/identifiers/add", [{"id": "a"}, {"id": "b"}])
    assert (status, problem["code"]) == (409, "conflict")
    monkeypatch.setattr(taas_lists, "MAX_LISTS", 1)
    status, problem, _ = await desk.call("POST", PATH, {"name": "more"})
    assert (status, problem["code"]) == (409, "conflict")


@pytest.mark.parametrize("name", ["0", "7", "x", "-1", "9" * 30, "%ff"])
async def test_unknown_lists_are_not_found(desk: Desk, name: str) -> None:
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/identifiers"),
        ("GET", "/identifiers/a"),
        ("GET", "/meta"),
        ("GET", "/properties"),
    ):
        status, problem, _ = await desk.call(method, f"{PATH}/{name}{path}")
        assert (status, problem["code"]) == (404, "not_found")


async def test_the_api_key_is_required(desk: Desk) -> None:
    status, problem, _ = await desk.call("GET", PATH, Authorization="Bearer wrong")
    assert (status, problem["code"], problem["title"]) == (401, "api_key", "api key")
