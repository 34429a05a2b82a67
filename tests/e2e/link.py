"""The line between a viewer and a node: slow, with next to nothing buffered on the way."""

import asyncio
import socket
from urllib.parse import urlsplit

from tests.e2e.local import Server

PIECE = 4096


class Link:
    """Stands before the listener at ``url`` and lets ``rate`` bytes a second through to the viewer, in all.

    What waits for its turn waits in the node's socket, so that there is something to drop when the node cuts.
    """

    def __init__(self, server: Server, url: str, rate: int) -> None:
        parts = urlsplit(url)
        self._target = parts.hostname or "", parts.port or 0
        self._rate = rate
        self._free_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = server.loop
        self._listener: asyncio.Server | None = None
        self.url = ""

    def __enter__(self) -> "Link":
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(5)

    async def _start(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def _stop(self) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, viewer_reader: asyncio.StreamReader, viewer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
        line.setblocking(False)
        node: asyncio.StreamWriter | None = None
        try:
            await self._loop.sock_connect(line, self._target)
            node_reader, node = await asyncio.open_connection(sock=line, limit=PIECE)
            await asyncio.gather(self._ask(viewer_reader, node), self._answer(node_reader, viewer))
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # one side is gone, or the test is over
        finally:
            self._tasks.discard(task)
            for end in (viewer, node or line):
                end.transport.abort() if isinstance(end, asyncio.StreamWriter) else end.close()

    async def _ask(self, viewer: asyncio.StreamReader, node: asyncio.StreamWriter) -> None:
        while data := await viewer.read(PIECE):
            node.write(data)
            await node.drain()
        raise EOFError

    async def _answer(self, node: asyncio.StreamReader, viewer: asyncio.StreamWriter) -> None:
        while data := await node.read(PIECE):
            now = self._loop.time()
            self._free_at = max(now, self._free_at) + len(data) / self._rate
            await asyncio.sleep(self._free_at - now)
            viewer.write(data)
            await viewer.drain()
        raise EOFError
