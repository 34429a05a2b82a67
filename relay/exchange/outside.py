"""Content keys from key servers elsewhere: asked for by SPEKE ahead of need, one question for each crypto period.

What a server gave is kept in memory alone: it gives the same again, for the same key IDs and period.
"""

import asyncio
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import aiohttp
import structlog

from keys.errors import ExchangeError
from keys.exchange.model import KeyPeriod
from keys.exchange.speke import SPEKE_VERSION, OutsideKey, Speke, keys_of, question
from keys.model import KeySlot, Scheme, TrackType
from relay.errors import KeyPendingError
from relay.exchange.material import KeyServerMaterial
from relay.exchange.naming import Periods
from relay.telemetry.metrics import FAILED

AHEAD = 2
"""Periods that are asked for before they are needed: for so long the server may be out of reach."""
MAX_KEPT = 1024
"""Answers kept, of one stream: more than a window holds under both schemes."""
MAX_WANTED = 600
"""Questions waiting, of one stream: a window under both schemes, and those ahead."""
MAX_ANSWER = 512 * 1024
RETRY_S = 0.5
"""After the first failure; doubled with each further one, up to :data:`MAX_RETRY_S`."""
MAX_RETRY_S = 30.0
_JITTER = 0.25
_TYPE = "application/xml"
_Name = tuple[Scheme, int, bytes]
"""A scheme, a period, and one of the key IDs asked for: others after an emergency rotation, which needs other keys."""
Kids = Callable[[TrackType, Scheme, int], bytes]
"""The key ID that a track type's key of a scheme and period is asked for under."""
_log = structlog.get_logger()


@dataclass(slots=True)
class _Question:
    scheme: Scheme
    period: KeyPeriod | None
    kids: Mapping[TrackType, bytes]
    needed: bool = field(default=True)
    """Whether someone waits for it, not only foresight."""


class KeyServer:
    """The key server of one stream. :meth:`of` may be called from any thread."""

    def __init__(self, stream: str, material: KeyServerMaterial) -> None:
        self._stream = stream
        self.material = material
        self._kept: dict[_Name, Mapping[TrackType, OutsideKey]] = {}
        self._wanted: dict[_Name, _Question] = {}
        self._lock = threading.Lock()
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failures = 0

    def of(self, slot: KeySlot, periods: Periods, kids: Kids) -> OutsideKey:
        """The key of a slot that has a period.

        Raises :class:`KeyPendingError` while it is being asked for: asking again soon is right.
        """
        self.expect([slot], periods, kids)
        assert slot.period is not None
        with self._lock:
            found = self._kept.get(_name_of(slot.scheme, slot.period, kids))
        if found is None:
            raise KeyPendingError("the key of this period is being asked for at the key server")
        return found[slot.track]

    def expect(self, slots: Iterable[KeySlot], periods: Periods, kids: Kids) -> None:
        """Ask for the keys of slots that are not there yet, and of what follows them."""
        new = False
        with self._lock:
            for scheme, period in dict.fromkeys((slot.scheme, slot.period) for slot in slots):
                if period is None:
                    continue
                new |= self._want(scheme, period, periods, kids, needed=True)
                for follower in periods.following(period, AHEAD):
                    new |= self._want(scheme, follower, periods, kids, needed=False)
        if new and self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Ask for what is wanted, one question at a time, until cancelled."""
        self._loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
            while True:
                self._wake.clear()
                name = self._next()
                if name is None:
                    await self._wake.wait()
                elif not await self._ask(client, name):
                    pause = min(MAX_RETRY_S, RETRY_S * 2 ** min(self._failures - 1, 16))
                    await asyncio.sleep(pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - spreads load

    def _want(self, scheme: Scheme, period: int, periods: Periods, kids: Kids, *, needed: bool) -> bool:
        name = _name_of(scheme, period, kids)
        if name in self._kept:
            # What was used last is forgotten last.
            self._kept[name] = self._kept.pop(name)
            return False
        if name in self._wanted:
            self._wanted[name].needed |= needed
            return False
        if len(self._wanted) >= MAX_WANTED:
            return False
        asked = {track: kids(track, scheme, period) for track in TrackType}
        timed = Speke(self.material.config.version) is not Speke.V2_0
        self._wanted[name] = _Question(scheme, periods.named(period, timed=timed), asked, needed)
        return True

    def _next(self) -> _Name | None:
        with self._lock:
            return next((name for name, asked in self._wanted.items() if asked.needed), next(iter(self._wanted), None))

    async def _ask(self, client: aiohttp.ClientSession, name: _Name) -> bool:
        asked, material = self._wanted[name], self.material
        try:
            found = await self._fetch(client, material, asked)
        except Exception as err:
            # Whatever it is: a stream whose keys nobody asks for any more would never play again.
            self._note_failure(name, err)
            return False
        self._failures = 0
        with self._lock:
            del self._wanted[name]
            self._kept[name] = found
            while len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
        return True

    def _note_failure(self, name: _Name, err: Exception) -> None:
        self._failures += 1
        FAILED.labels("key_server").inc()
        with self._lock:
            # To the end of the line; whoever still needs it says so again before its turn comes.
            again = self._wanted.pop(name)
            if again.needed:
                again.needed = False
                self._wanted[name] = again
        # Not the text of a client's error, which may repeat the URL.
        what = str(err) if isinstance(err, ExchangeError) else type(err).__name__
        _log.warning("key_server_failed", stream=self._stream, error=what, failures=self._failures)

    async def _fetch(
        self, client: aiohttp.ClientSession, material: KeyServerMaterial, asked: _Question
    ) -> Mapping[TrackType, OutsideKey]:
        config, recipient = material.config, material.recipient
        version = Speke(config.version)
        content_id = config.content_id or self._stream
        certificate = recipient[0] if recipient else None
        document = question(content_id, asked.kids, asked.scheme, asked.period, version.cpix, certificate)
        headers = {"Content-Type": _TYPE, "Accept": _TYPE, SPEKE_VERSION: version, "User-Agent": "segmentgate"}
        if material.authorization:
            headers["Authorization"] = material.authorization
        timeout = aiohttp.ClientTimeout(total=config.timeout.seconds)
        # No redirects: it is this URL that the operator trusts.
        async with client.post(
            config.url, data=document, headers=headers, timeout=timeout, allow_redirects=False
        ) as response:
            if response.status != 200:
                raise ExchangeError(f"answered with status {response.status}")
            if response.headers.get(SPEKE_VERSION, version) != version:
                raise ExchangeError(f"answered with another {SPEKE_VERSION}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise ExchangeError(f"answered with more than {MAX_ANSWER} bytes")
        # In a thread: opening the document key takes a millisecond, reading a long answer several.
        return await asyncio.to_thread(keys_of, bytes(body), content_id, asked.kids, recipient)


class KeyServers:
    """The key servers of all streams that have one."""

    def __init__(self) -> None:
        self._servers: dict[str, KeyServer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def configure(self, materials: Mapping[str, KeyServerMaterial]) -> None:
        """Take over settings, by stream. Servers known before keep what they have; those not named any more end."""
        for name in self._servers.keys() - materials.keys():
            del self._servers[name]
            self._tasks.pop(name).cancel()
        for name, material in materials.items():
            if name in self._servers:
                self._servers[name].material = material
                continue
            self._servers[name] = KeyServer(name, material)
            self._tasks[name] = asyncio.create_task(self._servers[name].run())
            self._tasks[name].add_done_callback(_tell)

    def get(self, stream: str) -> KeyServer | None:
        """The key server of a stream, None where its keys are derived."""
        return self._servers.get(stream)

    async def close(self) -> None:
        """Ask for no more keys."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


def _name_of(scheme: Scheme, period: int, kids: Kids) -> _Name:
    return scheme, period, kids(TrackType.AUDIO, scheme, period)


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (err := task.exception()):
        _log.error("bug", exc_info=err)
