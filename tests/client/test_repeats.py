"""Calls that are sent again: only where the fault may pass, as one call, and not for ever."""

import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.api.status import Health
from relay.client import ProblemError, UnreachableError, http
from relay.client.http import Http

OK = {"status": "ok"}


class Moody:
    """A server that answers as told, one call after the other, and then well."""

    def __init__(self) -> None:
        self.moods: list[Any] = []
        self.seen: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.Response:
        """The next answer."""
        self.seen.append(request)
        await request.read()
        mood = self.moods.pop(0) if self.moods else web.json_response(OK)
        if mood == "hang up":
            assert request.transport
            request.transport.abort()
            return web.Response()
        assert isinstance(mood, web.Response)
        return mood


def problem(status: int, code: str, **headers: str) -> web.Response:
    body = {"type": "t", "title": "t", "status": status, "code": code, "number": 1, "detail": "d", "instance": "i"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response(body, status=status, content_type="application/problem+json", headers=named)


@pytest.fixture
async def moody() -> AsyncIterator[tuple[Moody, Http]]:
    server = Moody()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(app) as where, aiohttp.ClientSession() as session:
        yield server, Http(str(where.make_url("")), "key", session, "", patience_s=3)


@pytest.mark.parametrize(
    "moods",
    [
        [problem(503, "state_unwritable")],
        [problem(429, "rate_limited", Retry_After="1")],
        ["hang up"],
        [web.Response(status=502, text="<html>"), problem(503, "overload")],
    ],
)
async def test_what_passes_is_asked_again_as_the_same_call(moody: tuple[Moody, Http], moods: list[Any]) -> None:
    server, relay = moody
    server.moods, expected = list(moods), len(moods) + 1
    began = time.monotonic()
    assert await relay.change("POST", "/x", Health, OK) == Health()
    assert len(server.seen) == expected
    assert len({request.headers["Idempotency-Key"] for request in server.seen}) == 1
    if "Retry-After" in getattr(moods[0], "headers", {}):
        assert time.monotonic() - began >= 1.0


async def test_each_call_has_a_key_of_its_own(moody: tuple[Moody, Http]) -> None:
    server, relay = moody
    for _ in range(3):
        await relay.change("POST", "/x", Health, OK)
    assert len({request.headers["Idempotency-Key"] for request in server.seen}) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 500])
async def test_what_is_final_is_not(moody: tuple[Moody, Http], status: int) -> None:
    server, relay = moody
    server.moods = [problem(status, "some_code")]
    with pytest.raises(ProblemError) as told:
        await relay.get("/x", Health)
    assert (told.value.status, told.value.code, len(server.seen)) == (status, "some_code", 1)


async def test_nor_for_ever(moody: tuple[Moody, Http], monkeypatch: pytest.MonkeyPatch) -> None:
    server, relay = moody
    monkeypatch.setattr(http, "FIRST_PAUSE_S", 1.0)
    server.moods = [problem(503, "overload", Retry_After="99999") for _ in range(9)]
    began = time.monotonic()
    with pytest.raises(ProblemError, match="overload"):
        await relay.get("/x", Health)
    # The wait that is asked for is cut to five seconds, which are more than the patience of three.
    assert (len(server.seen), time.monotonic() - began < 2) == (1, True)


@pytest.mark.parametrize(
    "answer", [web.Response(text="hello"), web.json_response({"status": 5}), web.Response(status=403, text="no")]
)
async def test_answers_that_make_no_sense(moody: tuple[Moody, Http], answer: web.Response) -> None:
    server, relay = moody
    server.moods = [answer]
    with pytest.raises(UnreachableError):
        await relay.get("/x", Health)


async def test_an_answer_without_end_is_given_up(moody: tuple[Moody, Http], monkeypatch: pytest.MonkeyPatch) -> None:
    server, relay = moody
    monkeypatch.setattr(http, "MAX_ANSWER", 1000)
    server.moods = [web.Response(body=b" " * 1001)]
    with pytest.raises(UnreachableError, match="more than 1000 bytes"):
        await relay.get("/x", Health)
