"""Security events that we ask for (RFC 8936): one long poll after another, each acknowledging what came before."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import aiohttp
import msgspec
import structlog
from aiohttp import web
from msgspec import Meta, Struct

from relay.background import in_background
from relay.control.ssf import RECEIVERS, Receiver
from relay.control.ssf_tokens import MAX_SET_BYTES, SetError
from relay.errors import RelayError
from relay.telemetry.metrics import FAILED

MAX_EVENTS = 32
MAX_ANSWER = MAX_EVENTS * 2 * MAX_SET_BYTES
HOLD_S = 30.0
"""How long a transmitter may hold a poll that has nothing to tell."""
CONNECT_TIMEOUT_S = 5.0
BREATH_S = 0.05
LONGEST_PAUSE_S = 60.0
_log = structlog.get_logger()


class PollError(RelayError):
    """The transmitter could not be asked, or answered what makes no sense."""

    status = 502
    code = "transmitter_error"


class _Answer(Struct, frozen=True):
    """RFC 8936 §2.2: tokens by their ids."""

    sets: Annotated[dict[str, str], Meta(max_length=4 * MAX_EVENTS)]
    more: bool = msgspec.field(default=False, name="moreAvailable")


_answer: msgspec.json.Decoder[_Answer] = msgspec.json.Decoder(_Answer)


@dataclass(slots=True)
class _Verdicts:
    """What the next poll tells of the tokens that came with the last one."""

    ack: list[str] = field(default_factory=list)
    errors: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.ack or self.errors)


class Poller:
    """Keeps asking one transmitter."""

    def __init__(self, receiver: Receiver, client: aiohttp.ClientSession) -> None:
        self._receiver = receiver
        self._client = client
        self._verdicts = _Verdicts()

    async def run(self) -> None:
        """Ask until cancelled. Failures are logged and asked again after a growing pause."""
        transmitter = self._receiver.transmitter
        pause = transmitter.poll_every_s
        while True:
            began = time.monotonic()
            try:
                more = await self.poll()
                pause = transmitter.poll_every_s
            except (RelayError, aiohttp.ClientError, OSError, TimeoutError) as err:
                FAILED.labels(PollError.code).inc()
                _log.warning("poll_failed", transmitter=transmitter.iss, error=type(err).__name__)
                more, pause = False, min(2 * pause, LONGEST_PAUSE_S)
            # Even with more to come: a transmitter that heeds no acknowledgement must not keep us busy.
            await asyncio.sleep(BREATH_S if more else max(pause - (time.monotonic() - began), BREATH_S))

    async def poll(self) -> bool:
        """Ask once and do what the answer asks; whether to ask again at once. Raises :class:`PollError` and its kin."""
        verdicts = self._verdicts
        answer = await self._ask(verdicts)
        # Told now, so not to be told again.
        self._verdicts = told = _Verdicts()
        for jti, token in answer.sets.items():
            try:
                await self._receiver.take(token)
                told.ack.append(jti)
            except SetError as err:
                told.errors[jti] = {"err": err.code, "description": str(err)}
            # What cannot be made durable now is neither: it will be sent again.
        return answer.more or bool(answer.sets) or verdicts.any

    async def _ask(self, verdicts: _Verdicts) -> _Answer:
        transmitter = self._receiver.transmitter
        # Verdicts are told at once; with none to tell the transmitter may hold the answer until there is an event.
        question: dict[str, Any] = {
            "maxEvents": MAX_EVENTS,
            "returnImmediately": verdicts.any,
            "ack": verdicts.ack,
        }
        if verdicts.errors:
            question["setErrs"] = verdicts.errors
        headers = {"Accept": "application/json"}
        if transmitter.poll_token:
            headers["Authorization"] = f"Bearer {transmitter.poll_token}"
        async with self._client.post(
            transmitter.poll_url,
            json=question,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=HOLD_S + CONNECT_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        ) as answer:
            if answer.status == 204:
                return _Answer({})
            if answer.status != 200:
                raise PollError(f"{transmitter.poll_url}: answered {answer.status}")
            return await _read(answer)


async def _read(answer: aiohttp.ClientResponse) -> _Answer:
    body = bytearray()
    async for piece in answer.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) > MAX_ANSWER:
            raise PollError(f"an answer of more than {MAX_ANSWER} bytes")
    try:
        return _answer.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise PollError(f"an answer that makes no sense: {err}") from None


async def keep_polling(app: web.Application) -> AsyncIterator[None]:
    """Poll every transmitter that is to be polled while the application lives."""
    receivers = [receiver for receiver in app[RECEIVERS] if receiver.transmitter.poll_url]
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
        in_background(*(Poller(receiver, client).run() for receiver in receivers)),
    ):
        yield
