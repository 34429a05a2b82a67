"""Numbers of refusals as players and programs read them."""

import time

import msgspec
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from relay.api.problem import Problem
from relay.codes import CODES
from relay.problems import NUMBER_HEADER, REASON_HEADER, SHOW_REASON, problems
from tests.edge.world import World

LICENCE = "/api/v1/drm/license?stream_id=vod"


def expired(world: World) -> str:
    now = int(time.time())
    return world.token(iat=now - 600, exp=now - 300)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/watch/vod/index.m3u8", "token_missing"),
        ("/watch/nowhere/index.m3u8?token=x", "stream_unknown"),
        ("/p/x/vod/cenc.stable.uhd/index.m3u8", "token_malformed"),
        ("/nothing/here", "not_found"),
    ],
)
async def test_a_number_stands_beside_the_reason(world: World, path: str, code: str) -> None:
    status, body, headers = await world.get(world.edge + path)
    assert (status, headers[REASON_HEADER], headers[NUMBER_HEADER]) == (
        CODES[code].status,
        code,
        str(CODES[code].number),
    )
    assert body == f"{code}\n".encode()
    # Pages of other origins may read it.
    assert NUMBER_HEADER in headers["Access-Control-Expose-Headers"]


async def test_an_expired_token_is_known_to_players_of_other_vendors(world: World) -> None:
    async with world.client.post(f"{world.edge}{LICENCE}&token={expired(world)}", data=b"{}") as answer:
        problem = msgspec.json.decode(await answer.read(), type=Problem)
        assert (answer.status, answer.headers[NUMBER_HEADER]) == (401, "1008")
    assert (problem.code, problem.number, problem.aliases) == ("token_expired", 1008, {"doverunner": 7011})
    assert problem.type == "urn:segmentgate:problem:token_expired"


async def test_others_have_no_such_alias(world: World) -> None:
    async with world.client.post(f"{world.edge}{LICENCE}", data=b"{}") as answer:
        problem = msgspec.json.decode(await answer.read(), type=Problem)
    assert (problem.code, problem.number, problem.aliases) == ("token_missing", 1001, {})


@pytest.mark.parametrize("show", [True, False])
async def test_both_are_switched_off_together(show: bool) -> None:
    app = web.Application(middlewares=[problems])
    app[SHOW_REASON] = show
    async with TestServer(app) as server, ClientSession() as client, client.get(server.make_url("/x")) as answer:
        assert (REASON_HEADER in answer.headers, NUMBER_HEADER in answer.headers) == (show, show)
