"""Memory for shared bytes, bounded by bytes, and flights that keep equal work from being done twice."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Weighed(Protocol):
    """A value that knows its size in bytes."""

    @property
    def weight(self) -> int:
        """Bytes this value keeps alive."""
        ...


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Weighed)
R = TypeVar("R")

_ENTRY_OVERHEAD = 512


class ByteCache(Generic[K, V]):
    """Least recently used values up to ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[K, V] = OrderedDict()
        self.size = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value of a key, now the most recent; None when it is not here."""
        value = self._entries.get(key)
        if value is None:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value, dropping the least recent ones to make room. One too large for the cache is not kept."""
        self.discard(key)
        weight = value.weight + _ENTRY_OVERHEAD
        if weight > self._limit:
            return
        self._entries[key] = value
        self.size += weight
        while self.size > self._limit:
            self._drop(next(iter(self._entries)))

    def discard(self, key: K) -> None:
        """Forget a key if it is here."""
        if key in self._entries:
            self._drop(key)

    def _drop(self, key: K) -> None:
        self.size -= self._entries.pop(key).weight + _ENTRY_OVERHEAD


class Flights(Generic[K, R]):
    """Single flight: while work for a key is under way, whoever asks for the same waits for its result.

    The work is cancelled when the last one waiting has gone.
    """

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[R]] = {}
        self._waiting: dict[K, int] = {}

    async def join(self, key: K, work: Callable[[], Awaitable[R]]) -> R:
        """The result of ``work`` for ``key``, started here or joined."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.ensure_future(_run(work))
            self._waiting[key] = 0
            task.add_done_callback(lambda done: self._landed(key, done))
        self._waiting[key] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._left(key, task)

    def _left(self, key: K, task: asyncio.Task[R]) -> None:
        if self._tasks.get(key) is not task:
            return
        self._waiting[key] -= 1
        if not self._waiting[key] and not task.done():
            del self._tasks[key], self._waiting[key]
            task.cancel()

    def _landed(self, key: K, task: asyncio.Task[R]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key], self._waiting[key]
        if not task.cancelled():
            task.exception()  # retrieved, so that a failure nobody waits for any more is not reported as lost


async def _run(work: Callable[[], Awaitable[R]]) -> R:
    return await work()
