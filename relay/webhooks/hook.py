"""Calling one webhook: one event after another, each until it is taken.

An event is sent again, later and later, until the receiver answers with a success; those behind it wait, so that a
receiver sees them in order. Where it takes nothing for a day, or says that it is gone, it is called no more until it is
tried by hand or the relay starts again. Nothing is lost meanwhile that the journal keeps.
"""

import asyncio
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult

from relay.telemetry.metrics import WEBHOOK_LAG, WEBHOOKS
from relay.webhooks.addresses import is_loopback, is_public
from relay.webhooks.message import CloudEvent, headers_of
from relay.webhooks.settings import EventType

TIMEOUT = aiohttp.ClientTimeout(total=10.0, connect=5.0)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 3600.0
"""After the first failure, and at most; doubled with each in between."""
PATIENCE_S = 86_400.0
GONE = 410
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver. ``events`` are the types that it is sent, ``streams`` those that it hears of; empty: all."""

    name: str
    url: str
    secrets: tuple[bytes, ...] = field(repr=False)
    events: frozenset[EventType] = frozenset()
    streams: frozenset[str] = frozenset()
    private: bool = False

    def wants(self, kind: EventType, stream: str) -> bool:
        """Whether it is told of an event; one that concerns no stream in particular concerns all."""
        return (not self.events or kind in self.events) and (not self.streams or stream in self.streams or not stream)

    def may_call(self, address: str) -> bool:
        """Whether its name may stand for an address."""
        parsed = ip_address(address.partition("%")[0])
        if self.url.startswith("http:"):
            return is_loopback(parsed)
        return self.private or is_public(parsed)


class ForbiddenAddressError(OSError):
    """The receiver's name stands for an address that may not be called."""


class GuardedResolver(AbstractResolver):
    """Resolves the name of an endpoint to what may be called; the connection is made to that and nothing else."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises :class:`ForbiddenAddressError` if any of them may not be called."""
        found = await self._inner.resolve(host, port, family)
        if not all(self._endpoint.may_call(one["host"]) for one in found):
            raise ForbiddenAddressError("address not allowed")
        return found

    async def close(self) -> None:
        """Nothing is held."""
        await self._inner.close()


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one call. ``status`` 0: there was no answer."""

    status: int
    error: str = ""

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        return 200 <= self.status < 300


class Hook:
    """One webhook at work. ``clock`` gives seconds since the epoch."""

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float]) -> None:
        self.endpoint = endpoint
        self.disabled = False
        self.failures = 0
        """In a row."""
        self.last_success: float | None = None
        self.last_failure: float | None = None
        self.last_error = ""
        self.owed_since: float | None = None
        """When the event happened that is being sent."""
        self._clock = clock
        self._resumed = asyncio.Event()
        self._client: aiohttp.ClientSession | None = None

    async def send(self, event: CloudEvent, at: float) -> None:
        """Send an event that happened ``at`` until it is taken."""
        body = event.encode()
        self.owed_since = at
        try:
            while not await self._within_patience(event, body):
                self._disable()
                await self._resumed.wait()
        finally:
            self.owed_since = None
            self.show_lag()

    async def attempt(self, event: CloudEvent, body: bytes) -> Attempt:
        """Call once. A success puts an end to a pause, or to being disabled."""
        name = self.endpoint.name
        attempt = await self._call(event, body)
        if attempt.taken:
            self.failures, self.last_error = 0, ""
            self.last_success = self._clock()
            WEBHOOKS.labels(name, "taken").inc()
            self.disabled = False
            self._resumed.set()
        else:
            self.failures += 1
            self.last_failure, self.last_error = self._clock(), attempt.error
            WEBHOOKS.labels(name, "failed").inc()
            _log.warning("webhook_failed", webhook=name, type=event.type, error=attempt.error, failures=self.failures)
        return attempt

    def show_lag(self) -> None:
        """Put into the metrics for how long an event has been owed."""
        lag = 0.0 if self.owed_since is None else max(0.0, self._clock() - self.owed_since)
        WEBHOOK_LAG.labels(self.endpoint.name).set(lag)

    async def close(self) -> None:
        """Close its connection."""
        if self._client is not None:
            await self._client.close()

    async def _within_patience(self, event: CloudEvent, body: bytes) -> bool:
        """Whether the event was taken in the time that a receiver has for it."""
        loop = asyncio.get_running_loop()
        began, tries = loop.time(), 0
        while True:
            self._resumed.clear()
            attempt = await self.attempt(event, body)
            self.show_lag()
            if attempt.taken:
                return True
            if attempt.status == GONE or loop.time() - began > PATIENCE_S:
                return False
            try:
                # Whoever has tried it by hand, with success, need not wait for the rest of an hour.
                await asyncio.wait_for(self._resumed.wait(), pause_after(tries))
            except TimeoutError:
                tries += 1

    def _disable(self) -> None:
        self.disabled = True
        self._resumed.clear()
        _log.error("webhook_disabled", webhook=self.endpoint.name, error=self.last_error)

    async def _call(self, event: CloudEvent, body: bytes) -> Attempt:
        # Neither the URL, whose path may be a secret, nor the text of a client's error, which repeats it.
        headers = headers_of(event.id, body, self.endpoint.secrets, self._clock())
        try:
            async with self._session().post(
                self.endpoint.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                # What else it says is of no interest, and may be long: it is not read.
                status = answer.status
        except aiohttp.ClientConnectorError as err:
            forbidden = isinstance(err.os_error, ForbiddenAddressError)
            return Attempt(0, "address not allowed" if forbidden else "no connection")
        except TimeoutError:
            return Attempt(0, "no answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as err:
            return Attempt(0, type(err).__name__)
        return Attempt(status, "" if 200 <= status < 300 else f"status {status}")

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=2, resolver=GuardedResolver(self.endpoint), use_dns_cache=False),
                headers={"User-Agent": "segmentgate", "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=TIMEOUT,
            )
        return self._client


def pause_after(tries: int) -> float:
    """Seconds to wait after so many failures before the last one."""
    longest = min(FIRST_PAUSE_S * 2.0 ** min(tries, 32), LONGEST_PAUSE_S)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
