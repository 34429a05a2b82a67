"""A TCP proxy that breaks as networks do. It runs in a thread of its own, so any test may use it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import Any

_CHUNK = 64 * 1024


class Mode(Enum):
    """What the proxy does with connections and their bytes."""

    PASS = "pass"
    BLACKHOLE = "blackhole"
    """Takes connections and bytes, delivers nothing either way."""
    DROP_REQUESTS = "drop requests"
    """One way: what the client sends is lost, what the server sends arrives."""
    DROP_ANSWERS = "drop answers"
    """One way: what the server sends is lost, what the client sends arrives."""
    DROP_HALF = "drop half"
    """Every other new connection, and of those open every other, is reset."""
    RESET = "reset"
    """Every connection is reset as soon as it is made."""
    REFUSE = "refuse"
    """Nothing listens."""


@dataclass(eq=False)
class _Connection:
    number: int
    lossy: bool = False
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def reset(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class FaultyProxy:
    """Stands on ``address`` before ``target``. ``delay_s`` holds back every piece of data, each way."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.delay_s = 0.0
        self.address = ("127.0.0.1", 0)
        self.connections = 0
        """How many were ever made."""
        self._mode = Mode.PASS
        self._numbers = count()
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """The proxy as the URL of a Valkey server."""
        return f"redis://127.0.0.1:{self.address[1]}/0"

    @property
    def mode(self) -> Mode:
        """What it does now."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._call(self._change(mode))

    def start(self) -> None:
        """Listen on a port of its own."""
        self._thread.start()
        self._call(self._listen())

    def stop(self) -> None:
        """Reset everything and end the thread."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(5)

    async def _change(self, mode: Mode) -> None:
        self._mode = mode
        # TCP never delivers what comes after a hole: a connection that lost bytes can only break.
        self._reset(lambda connection: connection.lossy)
        if mode in (Mode.RESET, Mode.REFUSE):
            self._reset(lambda _: True)
        if mode is Mode.DROP_HALF:
            self._reset(lambda connection: connection.number % 2 == 0)
        if mode is Mode.REFUSE and self._server is not None:
            self._server.close()
            self._server = None
        if mode is not Mode.REFUSE and self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, *self.address)
        self.address = self._server.sockets[0].getsockname()[:2]

    def _reset(self, chosen: Callable[[_Connection], bool]) -> None:
        for connection in list(self._open):
            if chosen(connection):
                connection.reset()

    async def _end(self) -> None:
        await self._change(Mode.REFUSE)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = _Connection(next(self._numbers), writers=[writer])
        if self._mode is Mode.RESET or (self._mode is Mode.DROP_HALF and connection.number % 2 == 0):
            connection.reset()
            return
        self._open.add(connection)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            answers, requests = await asyncio.open_connection(*self.target)
            connection.writers.append(requests)
            await asyncio.gather(
                self._carry(connection, reader, requests, (Mode.DROP_REQUESTS, Mode.BLACKHOLE)),
                self._carry(connection, answers, writer, (Mode.DROP_ANSWERS, Mode.BLACKHOLE)),
            )
        except (OSError, asyncio.CancelledError):
            pass  # the target is down, or the test is over
        finally:
            connection.reset()
            self._open.discard(connection)
            self._tasks.discard(task)

    async def _carry(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        dropping: tuple[Mode, ...],
    ) -> None:
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        now = asyncio.get_running_loop().time

        async def deliver() -> None:
            while True:
                due, data = await late.get()
                await asyncio.sleep(due - now())
                if not data:
                    connection.reset()
                    return
                writer.write(data)
                await writer.drain()

        delivering = asyncio.ensure_future(deliver())
        try:
            while data := await reader.read(_CHUNK):
                if self._mode in dropping:
                    connection.lossy = True
                else:
                    late.put_nowait((now() + self.delay_s, data))
            late.put_nowait((now() + self.delay_s, b""))
            await delivering
        finally:
            delivering.cancel()


@contextmanager
def faulty_proxy(target: tuple[str, int]) -> Iterator[FaultyProxy]:
    """A proxy before ``target`` for the length of a block."""
    proxy = FaultyProxy(target)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
