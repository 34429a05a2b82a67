"""Calls as they go over HTTP: with the key, typed, sent again where that is right and safe."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import BinaryIO, Generic, Literal, Protocol, TypeVar

import aiohttp
import msgspec

from relay.api.problem import Problem
from relay.client.errors import ProblemError, UnreachableError

T = TypeVar("T")
Query = Mapping[str, str | int | None]
"""Parameters; those that are None are not sent."""
WaitFor = Literal["local", "quorum", "all"]
"""Which nodes a change has to be in force on before it is answered, for ``timeout_ms`` at most."""
MAX_ANSWER = 64 * 1024 * 1024
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""The longest wait before a call is sent again, whatever the relay asks for."""
_PASSING = (429, 502, 503, 504)
"""Statuses of what passes; 502 and 504 come from proxies in between."""
_problem: msgspec.json.Decoder[Problem] = msgspec.json.Decoder(Problem)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a success."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Tagged(Generic[T]):
    """A resource as it was read. Its ``tag``, given as ``if_match``, lets a change be made to this or not at all."""

    value: T
    tag: str


class Page(Protocol):
    """A piece of a list."""

    @property
    def next(self) -> str | None:
        """Where to go on; None: that was all."""


P = TypeVar("P", bound=Page)


class Http:
    """Where a relay is, and with which key it is asked. ``patience_s`` is how long one call may take, pauses and all.

    Every change carries an idempotency key, so that one sent again after its answer was lost is done once.
    """

    def __init__(self, url: str, key: str, session: aiohttp.ClientSession, actor: str, patience_s: float) -> None:
        self._url = url.rstrip("/")
        self._session = session
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json, application/problem+json"}
        if actor:
            self._headers["X-Actor"] = actor
        self._patience_s = patience_s

    async def get(
        self,
        path: str,
        kind: type[T],
        query: Query | None = None,
        answers: tuple[int, ...] = (),
    ) -> T:
        """Read something; ``answers`` are statuses that are no errors here.

        Raises :class:`ProblemError`, :class:`UnreachableError`.
        """
        return _read(await self.call("GET", path, query=query, answers=answers), kind)

    async def tagged(self, path: str, kind: type[T], query: Query | None = None) -> Tagged[T]:
        """Read something that has an entity tag. Raises as :meth:`get` does."""
        answer = await self.call("GET", path, query=query)
        return Tagged(_read(answer, kind), answer.headers.get("ETag", ""))

    async def pages(self, path: str, kind: type[P], query: Query) -> AsyncIterator[P]:
        """Read a list to its end, page by page. Raises as :meth:`get` does."""
        while True:
            page = await self.get(path, kind, query)
            yield page
            if page.next is None:
                return
            query = {**query, "cursor": page.next}

    async def change(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: object = None,
        *,
        query: Query | None = None,
        if_match: str = "",
        create: bool = False,
    ) -> T:
        """Change something, once however often it had to be sent. Raises as :meth:`get` does.

        With ``if_match`` only if it still has that entity tag; with ``create`` only if it is not there yet.
        """
        own = {"Idempotency-Key": token_urlsafe(16)}
        if if_match:
            own["If-Match"] = if_match
        if create:
            own["If-None-Match"] = "*"
        data = None if body is None else msgspec.json.encode(body)
        if data is not None:
            own["Content-Type"] = "application/json"
        return _read(await self.call(method, path, data, query, own), kind)

    async def upload(self, path: str, kind: type[T], file: Path, media_type: str, query: Query, timeout_s: float) -> T:
        """Send a file as the body of a call, once: what is long on its way is sent again by whoever knows why.

        Raises as :meth:`get` does, and :class:`OSError` for a file that cannot be read.
        """
        headers = {"Idempotency-Key": token_urlsafe(16), "Content-Type": media_type}
        with file.open("rb") as data:
            try:
                answer = await self._once("POST", path, data, query, headers, timeout_s)
            except (aiohttp.ClientError, TimeoutError) as err:
                raise UnreachableError(f"{self._url}: {type(err).__name__}: {err}") from None
        if answer.status >= 400:
            raise _failure(answer)
        return _read(answer, kind)

    async def call(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        answers: tuple[int, ...] = (),
    ) -> Answer:
        """Send a call until it is answered for good, or patience ends. Raises as :meth:`get` does."""
        until, pause = time.monotonic() + self._patience_s, FIRST_PAUSE_S
        while True:
            wait = pause
            try:
                answer = await self._once(method, path, data, query, headers, until - time.monotonic())
                if answer.status < 400 or answer.status in answers:
                    return answer
                failure: ProblemError | UnreachableError = _failure(answer)
                if answer.status not in _PASSING:
                    raise failure
                wait = max(pause, _asked_pause(answer))
            except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
                raise UnreachableError(f"{self._url}: no URL of a control listener") from None
            except (aiohttp.ClientError, OSError, TimeoutError) as err:
                failure = UnreachableError(f"{self._url}: {type(err).__name__}: {err}")
            wait = min(wait, LONGEST_PAUSE_S)
            if time.monotonic() + wait >= until:
                raise failure
            await asyncio.sleep(wait)
            pause *= 2

    async def _once(
        self,
        method: str,
        path: str,
        data: bytes | BinaryIO | None,
        query: Query | None,
        headers: Mapping[str, str] | None,
        timeout_s: float,
    ) -> Answer:
        async with self._session.request(
            method,
            self._url + path,
            data=data,
            params={name: value for name, value in (query or {}).items() if value is not None},
            headers={**self._headers, **(headers or {})},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as answer:
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > MAX_ANSWER:
                    raise UnreachableError(f"{self._url}: an answer of more than {MAX_ANSWER} bytes")
            return Answer(answer.status, bytes(body), answer.headers)


def _asked_pause(answer: Answer) -> float:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0.0


def _failure(answer: Answer) -> ProblemError | UnreachableError:
    try:
        return ProblemError(_problem.decode(answer.body))
    except msgspec.MsgspecError:
        return UnreachableError(f"answered {answer.status} without saying why: is this the control listener?")


def _read(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.MsgspecError as err:
        raise UnreachableError(f"an answer that makes no sense: {err}") from None
