"""The shared log of several nodes: one stream of a Valkey or Redis server, which carries it but is never the record.

The server may die, hang, lose its last writes or begin anew at any time: every call has a time limit, every loop
connects again after a jittered pause, and what the stream lacks is offered again from the nodes' journals
(:mod:`relay.state.replica`). Keys, all below the namespace: ``events`` is the stream; ``nodes`` a hash of every
node's last heartbeat; ``reports:<incarnation>`` a short stream of what other nodes report to one of them;
``claim:<name>`` a value drawn by one node for all.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple, TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.typing import KeyT, StreamIdT

from relay.state.messages import Claim, Envelope, Heartbeat, Message, Report
from relay.state.vector import Extent
from relay.telemetry.metrics import LOG_DROPPED

BLOCK_MS = 250
"""How long an idle read waits. Its answer, even an empty one, proves that nothing was missed until it was asked."""
READ_MESSAGES = 64
WRITE_MESSAGES = 64
MAX_MESSAGES = 20_000
"""The stream's length, about. Of single revocations 20,000 take 10 MB, of full batches 1.5 GB."""
MAX_QUEUED_BYTES = 64 * 1024 * 1024
MAX_REPORTS = 4096
REPORT_TTL_S = 60
CLAIM_TTL_S = 7 * 86_400
MAX_MEMBERS = 1024
CHECK_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
"""Before connecting again."""

_START = b"0-0"
_FIELD = b"m"
_Told = TypeVar("_Told", Message, Heartbeat, Report)
_log = structlog.get_logger()


class LogError(Exception):
    """The shared log could not be asked. Stays inside :mod:`relay.state`."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where the log is. ``url`` is redis://, rediss:// (TLS) or unix://; the password never stands in it."""

    url: str
    namespace: str = "segmentgate"
    password: str = field(default="", repr=False)
    io_timeout_s: float = 5.0


class Roll(NamedTuple):
    """What all nodes last said of themselves, and the time of the server.

    ``lost``: this node was on the roll before, and is no more: the server has forgotten.
    """

    now: float
    heartbeats: list[Heartbeat]
    lost: bool


class _Write(NamedTuple):
    key: bytes
    sealed: bytes
    report: bool = False


class SharedLog:
    """The log as the node of one incarnation uses it.

    ``connections`` counts how often it was reached anew. ``synced_at`` is when (``time.monotonic``) the last read was
    *asked* that reached the end of the stream and all of whose messages have been received: the state is no older than
    that, however slow the network is.
    """

    def __init__(self, settings: LogSettings, envelope: Envelope, incarnation: str) -> None:
        self.synced_at = -inf
        self.connected = False
        self.connections = 0
        self._settings = settings
        self._envelope = envelope
        self._events_key = f"{settings.namespace}:events".encode()
        self._nodes_key = f"{settings.namespace}:nodes".encode()
        self._incarnation = incarnation
        self._cursors = {self._events_key: _START, self._reports_key(incarnation): _START}
        # Reports first, then what is new, then what is offered again, of which there may be much.
        self._queues: tuple[deque[_Write], ...] = (deque(), deque(), deque())
        self._queued_bytes = 0
        self._filled, self._drained = asyncio.Event(), asyncio.Event()
        self._client: Redis | None = None
        self._server_ahead_s: float | None = None
        self._name = ""

    # Writing. Nothing that is called from outside waits for the network.

    def report(self, to: str, report: Report) -> None:
        """Tell the node of incarnation ``to`` what was applied here."""
        self._enqueue(0, _Write(self._reports_key(to), self._envelope.seal(report), report=True))

    def publish(self, message: Message) -> None:
        """Send new events as soon as the server takes them."""
        self._enqueue(1, _Write(self._events_key, self._envelope.seal(message)))

    def offer(self, message: Message) -> None:
        """Send old events when there is nothing new to send."""
        self._enqueue(2, _Write(self._events_key, self._envelope.seal(message)))

    @property
    def offering(self) -> bool:
        """Whether old events still wait to be sent."""
        return bool(self._queues[2])

    async def flush(self, patience_s: float) -> None:
        """Wait until everything is sent, but not for a server that cannot be reached."""
        if self.connected and any(self._queues):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), patience_s)

    async def send(self) -> None:
        """Keep sending what is queued. Never returns. A message is sent twice rather than not at all."""
        await self._persevere("send", self._send)

    def _enqueue(self, urgency: int, write: _Write) -> None:
        if self._queued_bytes + len(write.sealed) > MAX_QUEUED_BYTES:
            # The journal has the events, and their absence elsewhere will be noticed.
            LOG_DROPPED.labels("queue_full").inc()
            return
        self._queues[urgency].append(write)
        self._queued_bytes += len(write.sealed)
        self._filled.set()
        self._drained.clear()

    async def _send(self, client: Redis) -> None:
        while True:
            await self._filled.wait()
            queue = next(filter(None, self._queues), None)
            if queue is None:
                self._filled.clear()
                self._drained.set()
                continue
            batch = [queue[at] for at in range(min(len(queue), WRITE_MESSAGES))]
            async with client.pipeline(transaction=False) as pipe:
                for write in batch:
                    length = MAX_REPORTS if write.report else MAX_MESSAGES
                    pipe.xadd(write.key, {_FIELD: write.sealed}, maxlen=length, approximate=True)
                    if write.report:
                        pipe.expire(write.key, REPORT_TTL_S)
                await pipe.execute()
            for write in batch:
                queue.popleft()
                self._queued_bytes -= len(write.sealed)

    # Reading.

    async def follow(self, receive: Callable[[Message], Awaitable[None]], hear: Callable[[Report], None]) -> None:
        """Keep reading, from the start of the stream. Never returns."""

        async def read(client: Redis) -> None:
            await self._read(client, receive, hear)

        await self._persevere("follow", read)

    async def _read(
        self, client: Redis, receive: Callable[[Message], Awaitable[None]], hear: Callable[[Report], None]
    ) -> None:
        check_at = 0.0
        while True:
            if time.monotonic() >= check_at:
                await self._rewind_if_ahead(client)
                check_at = time.monotonic() + CHECK_S
            asked_at = time.monotonic()
            streams: dict[KeyT, StreamIdT] = dict(self._cursors.items())
            answer: Any = await client.xread(streams, count=READ_MESSAGES, block=BLOCK_MS)
            self._note_connected()
            found: dict[bytes, list[tuple[bytes, dict[bytes, bytes]]]] = dict(answer or ())
            events = found.pop(self._events_key, [])
            for key, entries in found.items():
                for report in self._opened(entries, Report):
                    hear(report)
                self._cursors[key] = entries[-1][0]
            for message in self._opened(events, Message):
                await receive(message)
            if events:
                self._cursors[self._events_key] = events[-1][0]
            if len(events) < READ_MESSAGES:
                self.synced_at = asked_at

    async def _rewind_if_ahead(self, client: Redis) -> None:
        # A server that took over without the last writes, or with a slower clock, numbers messages below our cursor:
        # they would never be read. Reading all again costs little, for what is known is skipped unread.
        try:
            last: bytes = (await client.xinfo_stream(self._events_key))["last-generated-id"]
        except ResponseError:
            last = _START  # no such stream
        if _position(last) < _position(self._cursors[self._events_key]):
            _log.warning("shared_log_rewound", namespace=self._settings.namespace)
            self._cursors = dict.fromkeys(self._cursors, _START)

    def _opened(self, entries: list[tuple[bytes, dict[bytes, bytes]]], kind: type[_Told]) -> list[_Told]:
        found = []
        for _, fields in entries:
            try:
                found.append(self._envelope.open(fields.get(_FIELD, b""), kind))
            except ValueError:
                LOG_DROPPED.labels("unreadable").inc()
        return found

    # The roll of nodes.

    async def call_roll(self, name: str, extent: Extent, gone: Iterable[str] = (), former: str = "") -> Roll:
        """Leave a heartbeat, forget the incarnations ``gone``, and hear who else is there.

        ``former`` is the incarnation whose successor this one is: nobody is to wait for it any more.

        Raises :class:`redis.exceptions.RedisError` or OSError when the server cannot be reached.
        """
        try:
            return await self._call_roll(name, extent, gone, former)
        except (RedisError, OSError):
            # The address may lead to another server by now; a connection to the old one would never find it.
            await self._hang_up()
            raise

    async def _call_roll(self, name: str, extent: Extent, gone: Iterable[str], former: str) -> Roll:
        client = self._client = self._client or self._open()
        if self._server_ahead_s is None:
            self._server_ahead_s = _seconds(await client.time()) - time.monotonic()
        heartbeat = Heartbeat(name, self._incarnation, time.monotonic() + self._server_ahead_s, *extent)
        sent = time.monotonic()
        async with client.pipeline(transaction=False) as pipe:
            if former:
                pipe.hset(self._nodes_key, former, self._last_word(name, former, heartbeat.at))
            pipe.hset(self._nodes_key, self._incarnation, self._envelope.seal(heartbeat))
            for incarnation in gone:
                pipe.hdel(self._nodes_key, incarnation)
            pipe.time()
            pipe.hgetall(self._nodes_key)
            added, *_, server_time, entries = await pipe.execute()
        now = _seconds(server_time)
        self._server_ahead_s = now - (sent + time.monotonic()) / 2
        heartbeats = []
        for data in list(entries.values())[:MAX_MEMBERS]:
            with suppress(ValueError):
                heartbeats.append(self._envelope.open(data, Heartbeat))
        self._name = name
        return Roll(now, heartbeats, lost=bool(former and added))

    async def claim(self, name: str, value: bytes) -> bytes:
        """The value of ``name`` for all nodes: ``value``, unless another was first.

        Raises :class:`LogError` when the server cannot be reached, and for a value that no node put there.
        """
        key = f"{self._settings.namespace}:claim:{name}"
        client = self._open()
        try:
            await client.set(key, self._envelope.seal(Claim(name, value)), nx=True, ex=CLAIM_TTL_S)
            standing = await client.get(key)
            claim = self._envelope.open(standing if isinstance(standing, bytes) else b"", Claim)
        except (RedisError, OSError, ValueError) as err:
            raise LogError(f"claim: {type(err).__name__}") from None
        finally:
            with suppress(RedisError, OSError):
                await client.aclose()
        if claim.name != name:
            raise LogError("claim: of another name")
        return claim.value

    async def leave(self) -> None:
        """Take this node off the roll, for it stops in good order, and close the connection."""
        if self._client is not None:
            with suppress(RedisError, OSError):
                at = time.monotonic() + (self._server_ahead_s or 0.0)
                await self._client.hset(
                    self._nodes_key, self._incarnation, self._last_word(self._name, self._incarnation, at)
                )
        await self._hang_up()

    def _last_word(self, name: str, incarnation: str, at: float) -> bytes:
        return self._envelope.seal(Heartbeat(name, incarnation, at, {}, {}, left=True))

    async def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(RedisError, OSError):
                await client.aclose()

    # Connections.

    async def _persevere(self, what: str, use: Callable[[Redis], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            client = self._open()
            try:
                await use(client)
            except (RedisError, OSError) as err:
                self._note_lost(what, err)
            except Exception:
                # A bug must not end the loop in silence. What could not be taken stays unread: the state grows stale.
                _log.exception("shared_log_failed", loop=what)
            finally:
                with suppress(RedisError, OSError):
                    await client.aclose()
            if time.monotonic() - began > 2 * LONGEST_PAUSE_S:
                pause = FIRST_PAUSE_S
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, guards nothing
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _open(self) -> Redis:
        settings = self._settings
        return Redis.from_url(
            settings.url,
            password=settings.password or None,
            socket_timeout=settings.io_timeout_s,
            socket_connect_timeout=settings.io_timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )

    def _note_connected(self) -> None:
        if not self.connected:
            self.connected = True
            self.connections += 1
            _log.info("shared_log_connected", namespace=self._settings.namespace)

    def _note_lost(self, what: str, err: Exception) -> None:
        if self.connected:
            self.connected = False
            _log.warning("shared_log_lost", loop=what, error=type(err).__name__)

    def _reports_key(self, incarnation: str) -> bytes:
        return f"{self._settings.namespace}:reports:{incarnation}".encode()


def _position(stream_id: bytes) -> tuple[int, int]:
    milliseconds, _, number = stream_id.partition(b"-")
    return int(milliseconds), int(number)


def _seconds(time_of_server: tuple[int, int]) -> float:
    return time_of_server[0] + time_of_server[1] / 1_000_000
