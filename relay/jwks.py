"""Key sets that issuers publish (RFC 7517), refreshed in the background: no request ever waits for one.

A failed refresh changes nothing until the last good one is too old; then only the configured keys are left. A good
one replaces all that was fetched before, so that a key its issuer withdrew is gone.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
import structlog

from relay.gate.dialects.jwk import keys_of
from relay.gate.dialects.keys import KeySet, TokenKey
from relay.telemetry.metrics import KEY_SET_AGE

MAX_BYTES = 256 * 1024
TIMEOUT_S = 10.0
RETRY_S = 5.0
"""After the first failure; doubled with each further one, up to the set's own interval."""
JITTER = 0.1
"""Share of an interval by which it varies: nodes that started together must not ask together for ever."""
_HEADERS = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "segmentgate",
}
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PinnedSet:
    """A key set and where it comes from. Times are seconds; ``fixed`` are the keys of the configuration."""

    keys: KeySet
    url: str = field(repr=False)
    fixed: tuple[TokenKey, ...] = ()
    refresh_s: float = 300.0
    keep_s: float = 86_400.0


class JwksRefresher:
    """Keeps pinned key sets fresh. ``clock`` gives seconds that never go back.

    In metrics and the log a set is told by ``whose`` they are and its place among them.
    """

    def __init__(
        self, sets: Sequence[PinnedSet], whose: str = "issuers", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sets = [_Refresh(pinned, f"{whose}[{index}]", clock) for index, pinned in enumerate(sets)]
        self._tasks: list[asyncio.Task[None]] = []
        self._client: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Fetch each set once, all at a time, and begin to refresh them. A set that cannot be had stops nothing."""
        if not self._sets:
            return
        self._client = aiohttp.ClientSession(
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        )
        await asyncio.gather(*(one.refresh(self._client) for one in self._sets))
        self._tasks = [asyncio.create_task(one.run(self._client)) for one in self._sets]

    async def close(self) -> None:
        """Stop refreshing. The keys stay as they are."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        for one in self._sets:
            one.forget()
        if self._client is not None:
            await self._client.close()


_shown: dict[str, "_Refresh"] = {}
"""Whose age each label of the metric shows."""


def show_ages() -> None:
    """Put the age of every set into the metrics, as it is now."""
    for refresh in list(_shown.values()):
        refresh.show()


class _Refresh:
    """One set's refreshing."""

    def __init__(self, pinned: PinnedSet, label: str, clock: Callable[[], float]) -> None:
        self._pinned = pinned
        self._label = label
        self._clock = clock
        self._fetched_at = clock()
        self._failures = 0
        _shown[label] = self
        self.show()

    def show(self) -> None:
        """Put the age into the metrics."""
        KEY_SET_AGE.labels(self._label).set(self._clock() - self._fetched_at)

    def forget(self) -> None:
        # After a reload the label may be that of a set that took this one's place.
        if _shown.get(self._label) is self:
            del _shown[self._label]
            KEY_SET_AGE.remove(self._label)

    async def run(self, client: aiohttp.ClientSession) -> None:
        while True:
            await asyncio.sleep(self._pause())
            await self.refresh(client)

    async def refresh(self, client: aiohttp.ClientSession) -> None:
        pinned = self._pinned
        try:
            pinned.keys.replace(_merged(pinned, keys_of(await _fetch(client, pinned.url))))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as err:
            self._failures += 1
            self._warn(err)
            if self._clock() - self._fetched_at > pinned.keep_s:
                pinned.keys.replace(pinned.fixed)
        else:
            self._failures = 0
            self._fetched_at = self._clock()

    def _pause(self) -> float:
        interval = self._pinned.refresh_s
        if self._failures:
            # Not longer than what is kept may still be kept.
            left = self._fetched_at + self._pinned.keep_s - self._clock()
            interval = min(interval, RETRY_S * 2 ** min(self._failures - 1, 16), left if left > 0 else interval)
        return max(0.0, interval) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, guards nothing

    def _warn(self, err: Exception) -> None:
        # Neither the URL, whose query may be a secret, nor the text of a client's error, which repeats it.
        what = str(err) if type(err) is ValueError else type(err).__name__
        host = urlsplit(self._pinned.url).hostname
        _log.warning("key_set_not_refreshed", set=self._label, host=host, error=what, failures=self._failures)


async def _fetch(client: aiohttp.ClientSession, url: str) -> bytes:
    # No redirects: it is this URL that the operator trusts.
    async with client.get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise ValueError(f"answered with status {response.status}")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES >> 10} KiB")
        return bytes(body)


def _merged(pinned: PinnedSet, fetched: Sequence[TokenKey]) -> list[TokenKey]:
    """The configured keys and the fetched ones. One key ID never means two algorithms: raises ValueError then."""
    fixed = {key.kid: key for key in pinned.fixed}
    for key in fetched:
        if key.kid in fixed and fixed[key.kid].algorithm != key.algorithm:
            raise ValueError(f"the kid {key.kid!r} is configured with another algorithm")
    return [*pinned.fixed, *(key for key in fetched if key.kid not in fixed)]
