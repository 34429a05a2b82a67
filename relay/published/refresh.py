"""What issuers publish, refreshed in the background: no request ever waits for it.

A failed refresh changes nothing until the last good one is too old. Each kind of document says in what it takes how
it is read, and what is left of it then.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
import structlog
from prometheus_client import Gauge

TIMEOUT_S = 10.0
RETRY_S = 5.0
"""After the first failure; doubled with each further one, up to the document's own interval."""
JITTER = 0.1
"""Share of an interval by which it varies: nodes that started together must not ask together for ever."""
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "segmentgate"}
_log = structlog.get_logger()


class Published(Protocol):
    """A document and where it comes from: read anew every ``refresh_s`` seconds, and kept for ``keep_s``.

    ``kind`` names it in the log, ``age_metric`` shows since when it was last fetched.
    """

    @property
    def url(self) -> str:
        """Where it is. A query may be a secret."""

    @property
    def refresh_s(self) -> float:
        """How long to wait before the next refresh."""

    @property
    def keep_s(self) -> float:
        """How long what was fetched may be kept."""

    @property
    def kind(self) -> str:
        """What it is."""

    @property
    def accept(self) -> str:
        """Its media types."""

    @property
    def max_bytes(self) -> int:
        """Its largest size."""

    @property
    def age_metric(self) -> Gauge:
        """A gauge with one label."""

    def take(self, body: bytes) -> bool:
        """Put it in place of the one before; whether that may end sessions. Called in a thread.

        Raises ValueError; the one before then stays.
        """

    def lapse(self) -> None:
        """Believe no more what was fetched: it is too old."""


class Refresher:
    """Keeps published documents fresh. ``clock`` gives seconds that never go back; ``on_doubt`` is called when sessions
    may have ended: for what a document says now, or because it could not be refreshed.

    In metrics and the log a document is told by ``whose`` they are and its place among them.
    """

    def __init__(
        self,
        published: Sequence[Published],
        whose: str = "issuers",
        clock: Callable[[], float] = time.monotonic,
        on_doubt: Callable[[], None] = lambda: None,
    ) -> None:
        self._documents = [_Refresh(one, f"{whose}[{index}]", clock) for index, one in enumerate(published)]
        self._on_doubt = on_doubt
        self._tasks: list[asyncio.Task[None]] = []
        self._client: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Fetch each once, all at a time, and begin to refresh them. One that cannot be had stops nothing."""
        if not self._documents:
            return
        self._client = aiohttp.ClientSession(
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        )
        await asyncio.gather(*(one.refresh(self._client) for one in self._documents))
        self._tasks = [asyncio.create_task(one.run(self._client, self._on_doubt)) for one in self._documents]

    async def close(self) -> None:
        """Stop refreshing. What was fetched stays as it is."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        for one in self._documents:
            one.forget()
        if self._client is not None:
            await self._client.close()


_shown: dict[str, "_Refresh"] = {}
"""Whose age each label of the metrics shows."""


def show_ages() -> None:
    """Put the age of every document into the metrics, as it is now."""
    for refresh in list(_shown.values()):
        refresh.show()


class _Refresh:
    """One document's refreshing."""

    def __init__(self, published: Published, label: str, clock: Callable[[], float]) -> None:
        self._published = published
        self._label = label
        self._clock = clock
        self._fetched_at = clock()
        self._failures = 0
        _shown[label] = self
        self.show()

    def show(self) -> None:
        """Put the age into the metrics."""
        self._published.age_metric.labels(self._label).set(self._clock() - self._fetched_at)

    def forget(self) -> None:
        # After a reload the label may be that of a document that took this one's place.
        if _shown.get(self._label) is self:
            del _shown[self._label]
            self._published.age_metric.remove(self._label)

    async def run(self, client: aiohttp.ClientSession, on_doubt: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self._pause())
            if await self.refresh(client):
                on_doubt()

    async def refresh(self, client: aiohttp.ClientSession) -> bool:
        """Whether sessions may have ended."""
        published = self._published
        try:
            # In a thread: to read a status list of a megabyte takes 10 ms.
            changed = await asyncio.to_thread(published.take, await _fetch(client, published))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as err:
            self._failures += 1
            self._warn(err)
            if self._clock() - self._fetched_at > published.keep_s:
                published.lapse()
            return True
        self._failures = 0
        self._fetched_at = self._clock()
        return changed

    def _pause(self) -> float:
        interval = self._published.refresh_s
        if self._failures:
            # Not longer than what is kept may still be kept.
            left = self._fetched_at + self._published.keep_s - self._clock()
            interval = min(interval, RETRY_S * 2 ** min(self._failures - 1, 16), left if left > 0 else interval)
        return max(0.0, interval) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, guards nothing

    def _warn(self, err: Exception) -> None:
        # Neither the URL, whose query may be a secret, nor the text of a client's error, which repeats it.
        what = str(err) if type(err) is ValueError else type(err).__name__
        host = urlsplit(self._published.url).hostname
        event = f"{self._published.kind}_not_refreshed"
        _log.warning(event, set=self._label, host=host, error=what, failures=self._failures)


async def _fetch(client: aiohttp.ClientSession, published: Published) -> bytes:
    # No redirects: it is this URL that the operator trusts.
    async with client.get(published.url, headers={"Accept": published.accept}, allow_redirects=False) as response:
        if response.status != 200:
            raise ValueError(f"answered with status {response.status}")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > published.max_bytes:
                raise ValueError(f"larger than {published.max_bytes >> 10} KiB")
        return bytes(body)
