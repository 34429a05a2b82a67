"""Requests that go on without a pause while something is revoked."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tests.relay_process import RelayProcess

GIVEN = (200, 302)
_PATIENCE = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True)
class Answer:
    """One request: the node it went to, when it began and its answer's head came (``time.monotonic``), and that."""

    at: int
    began: float
    ended: float
    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """What to ask; ``path`` is made anew for every request, ``heard`` is given every answer."""

    path: Callable[[], str]
    data: str | None = None
    heard: Callable[[Answer], None] = lambda _: None


def always(path: str, data: str | None = None) -> Request:
    """The same request every time."""
    return Request(lambda: path, data)


@asynccontextmanager
async def hammering(nodes: Sequence[RelayProcess], requests: Sequence[Request]) -> AsyncIterator[list[Answer]]:
    """Send every request to every node again and again for the length of a block; what was answered so far."""
    answers: list[Answer] = []

    async def send(client: aiohttp.ClientSession, at: int, request: Request) -> None:
        while True:
            method, url = "GET" if request.data is None else "POST", nodes[at].edge + request.path()
            began = time.monotonic()
            try:
                async with client.request(method, url, data=request.data, allow_redirects=False) as answer:
                    answers.append(Answer(at, began, time.monotonic(), answer.status, answer.headers))
                    request.heard(answers[-1])
                    await answer.read()
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)

    async with aiohttp.ClientSession(timeout=_PATIENCE, connector=aiohttp.TCPConnector(limit=0)) as client:
        tasks = [asyncio.create_task(send(client, at, one)) for at in range(len(nodes)) for one in requests]
        try:
            yield answers
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def given(answers: Sequence[Answer], *nodes: int) -> list[Answer]:
    """Those answers, of some nodes or all, that gave what was asked for."""
    return [answer for answer in answers if answer.status in GIVEN and (not nodes or answer.at in nodes)]


def given_after(answers: Sequence[Answer], asked_after: float, *nodes: int) -> list[Answer]:
    """The same of those asked for after a time."""
    return [answer for answer in given(answers, *nodes) if answer.began > asked_after]
