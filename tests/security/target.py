"""The relay under attack, and the requests that an attack is made of."""

import re
from dataclasses import dataclass, field
from functools import cached_property

from yarl import URL

from tests.relay_process import RelayProcess
from tests.wire import Reply, wire

FOLLOWER = b"GET /follower HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
"""What comes next on the connection. It is answered with 404, as nothing else here is, and ends it."""
NOT_FOUND = 404
HEAD_TIMEOUT_S = 1


@dataclass
class Target:
    """One relay. ``fetched`` is what it asked of the origin."""

    relay: RelayProcess
    fetched: list[str] = field(default_factory=list)

    def address(self, listener: str) -> tuple[str, int]:
        """Where ``edge`` or ``control`` listens."""
        url = URL(getattr(self.relay, listener))
        assert url.host is not None
        assert url.port is not None
        return url.host, url.port

    async def exchange(self, data: bytes, listener: str = "edge") -> list[Reply]:
        """Every answer to some bytes, until the relay closes."""
        async with wire(self.address(listener)) as peer:
            await peer.send(data)
            return await peer.replies()

    async def get(self, path: str, *fields: str, listener: str = "edge") -> Reply:
        """The answer to one plain request."""
        lines = [f"GET {path} HTTP/1.1", "Host: a", "Connection: close", *fields, "", ""]
        (reply,) = await self.exchange("\r\n".join(lines).encode(), listener)
        return reply

    async def session(self) -> str:
        """The path of a session's multivariant playlist."""
        reply = await self.get(f"/watch/vod/index.m3u8?token={self.relay.token()}")
        assert reply.status == 302, reply
        return reply.headers["location"]

    async def segment(self) -> str:
        """The path of a media segment of a session."""
        master = await self.session()
        found = master
        for pattern in (rb"(?m)^m/[^\n]+", rb"(?m)^[^#\n]*s/[^\n]+"):
            match = re.search(pattern, (await self.get(found)).body)
            assert match, found
            found = str(URL(found, encoded=True).join(URL(match[0].decode(), encoded=True)))
        return found

    @cached_property
    def bearer(self) -> str:
        """The field that the control API asks for."""
        return f"Authorization: Bearer {self.relay.api_key}"
