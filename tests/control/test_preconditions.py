"""Changes that depend on what is there: nothing is overwritten that its writer has not seen."""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from relay.control.errors import PreconditionFailedError
from relay.control.preconditions import check_preconditions, tag_of
from tests.control.desk import Desk

LISTS = "/taas/v2/revocation-lists"
NOW = {"name": "now"}
TAG = tag_of(NOW)


@pytest.mark.parametrize(
    ("headers", "current", "passes"),
    [
        ({}, NOW, True),
        ({}, None, True),
        ({"If-Match": TAG}, NOW, True),
        ({"If-Match": "*"}, NOW, True),
        ({"If-Match": f"W/{TAG}"}, NOW, False),
        ({"If-Match": '"old"'}, NOW, False),
        ({"If-Match": ""}, NOW, False),
        ({"If-Match": TAG}, None, False),
        ({"If-Match": "*"}, None, False),
        ({"If-None-Match": "*"}, None, True),
        ({"If-None-Match": "*"}, NOW, False),
        ({"If-None-Match": TAG}, NOW, False),
        ({"If-None-Match": '"other"'}, NOW, True),
    ],
)
def test_what_may_be_changed(headers: dict[str, str], current: Any, passes: bool) -> None:
    request = make_mocked_request("PUT", "/", headers=headers)
    if passes:
        check_preconditions(request, current)
    else:
        with pytest.raises(PreconditionFailedError):
            check_preconditions(request, current)


@pytest.fixture
async def made(desk: Desk) -> str:
    """The path of a list."""
    _, body, _ = await desk.call("POST", LISTS, {"name": "first"})
    return f"{LISTS}/{body['id']}"


async def test_a_list_is_read_again_only_if_it_changed(desk: Desk, made: str) -> None:
    _, first, headers = await desk.call("GET", made)
    status, body, again = await desk.call("GET", made, If_None_Match=headers["ETag"])
    assert (status, body, again["ETag"]) == (304, None, headers["ETag"])
    _, second, changed = await desk.call("PUT", made, {"name": "second"})
    status, body, after = await desk.call("GET", made, If_None_Match=headers["ETag"])
    assert (status, body, first["name"]) == (200, second, "first")
    assert after["ETag"] == changed["ETag"] != headers["ETag"]


async def test_who_has_not_seen_a_list_does_not_change_it(desk: Desk, made: str) -> None:
    _, _, seen = await desk.call("GET", made)
    await desk.call("PUT", made, {"name": "second"})
    for method, body in (("PUT", {"name": "third"}), ("DELETE", None)):
        status, problem, _ = await desk.call(method, made, body, If_Match=seen["ETag"])
        assert (status, problem["code"], problem["number"]) == (412, "precondition_failed", 2011)
    _, body, now = await desk.call("GET", made)
    assert body["name"] == "second"
    status, _, _ = await desk.call("DELETE", made, If_Match=now["ETag"])
    assert status == 204


async def test_of_two_at_once_one_wins(desk: Desk, made: str) -> None:
    _, _, seen = await desk.call("GET", made)
    calls = [desk.call("PUT", made, {"name": f"n{number}"}, If_Match=seen["ETag"]) for number in range(8)]
    statuses = [status for status, _, _ in await asyncio.gather(*calls)]
    assert sorted(statuses) == [200] + [412] * 7


async def test_lists_made_at_once_are_as_many(desk: Desk) -> None:
    calls = [desk.call("POST", LISTS, {"name": f"n{number}"}) for number in range(8)]
    numbers = [body["id"] for _, body, _ in await asyncio.gather(*calls)]
    assert len(set(numbers)) == len(await desk.get(LISTS)) == 8


async def test_a_repeated_change_gets_its_answer_and_tag_again(desk: Desk, made: str) -> None:
    _, _, seen = await desk.call("GET", made)
    answers = [
        await desk.call("PUT", made, {"name": "second"}, If_Match=seen["ETag"], Idempotency_Key="k") for _ in range(2)
    ]
    assert [(status, body["name"]) for status, body, _ in answers] == [(200, "second")] * 2
    assert answers[0][2]["ETag"] == answers[1][2]["ETag"]
