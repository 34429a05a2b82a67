"""A client that sends exactly the bytes it is given, and reads answers by the letter of RFC 9112 §6.3."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether the server says that it is the connection's last."""
        return self.headers.get("connection", "").lower() == "close"


@dataclass(frozen=True, slots=True)
class Wire:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    patience_s: float = TIMEOUT_S

    async def send(self, data: bytes) -> None:
        """Send bytes as they are. A server that has closed already takes nothing more: that is for replies to show."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def reply(self, method: str = "GET") -> Reply | None:
        """The next answer; None when the server closed instead. Raises AssertionError where it is not HTTP."""
        async with asyncio.timeout(self.patience_s):
            head = b""
            with contextlib.suppress(ConnectionError):
                while not head.endswith(b"\r\n\r\n") and (line := await self.reader.readline()):
                    head += line
            if not head:
                return None
            assert head.endswith(b"\r\n\r\n"), f"half an answer: {head[:200]!r}"
            start, *fields = head[:-4].decode("ascii").split("\r\n")
            version, status, *_ = start.split(" ", 2)
            assert version in ("HTTP/1.0", "HTTP/1.1"), start
            headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
            return Reply(int(status), headers, await self._body(int(status), headers, method))

    async def replies(self) -> list[Reply]:
        """Every answer until the server closes."""
        found = []
        while reply := await self.reply():
            found.append(reply)
        return found

    async def closed(self) -> bool:
        """Whether the server closes without a further byte."""
        async with asyncio.timeout(self.patience_s):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def _body(self, status: int, headers: dict[str, str], method: str) -> bytes:
        if method == "HEAD" or status < 200 or status in (204, 304):
            return b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await self.reader.readuntil(b"\r\n"))[:-2], 16):
                body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
            return body
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        return await self.reader.read()


@asynccontextmanager
async def wire(
    address: tuple[str, int], tls: ssl.SSLContext | None = None, patience_s: float = TIMEOUT_S
) -> AsyncIterator[Wire]:
    """A connection to a listener, broken off in the end."""
    reader, writer = await asyncio.open_connection(*address, ssl=tls, limit=1 << 20)
    try:
        yield Wire(reader, writer, patience_s)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
