"""A viewer who takes whatever he can get from every node, and what he got when."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import aiohttp

from tests.relay_process import RelayProcess
from tests.slow_origin import ENDLESS

PAUSE_S = 0.03
REFUSED = (401, 403, 409, 410)


@dataclass
class Taken:
    """What one node gave. Times are of ``time.monotonic``."""

    served: dict[str, float] = field(default_factory=dict)
    """When each kind of thing was last served: segment, keys, licence, flow."""
    refusals: list[tuple[float, str]] = field(default_factory=list)
    """When and why requests were refused."""

    @property
    def last(self) -> float:
        """When anything was last served."""
        return max(self.served.values(), default=0.0)

    @property
    def reason(self) -> str:
        """The latest refusal's."""
        return self.refusals[-1][1] if self.refusals else ""


@dataclass
class Pirate:
    """One session, asking all nodes for segments, keys and licences, and holding a running segment open at each."""

    nodes: Sequence[RelayProcess]
    paths: dict[str, str]
    taken: list[Taken]

    @classmethod
    async def enter(cls, nodes: Sequence[RelayProcess], **claims: str) -> "Pirate":
        """Enter through the first node; its pass holds at every node."""
        async with aiohttp.ClientSession() as client:
            async with client.get(f"{nodes[0].edge}/watch/live/index.m3u8?token={nodes[0].token(**claims)}") as answer:
                assert answer.status == 200, await answer.text()
                master, base = await answer.text(), str(answer.url)
            audio = re.search(r'URI="(m/[^"]+)"', master)
            assert audio, master
            async with client.get(playlist_url := urljoin(base, audio[1])) as answer:
                playlist = await answer.text()
        licence = re.search(r'URI="(http[^"]+license[^"]+)"', playlist)
        assert licence, playlist

        def line(name: str) -> str:
            return _path(urljoin(playlist_url, next(one for one in playlist.splitlines() if re.match(rf"[^#].*{name}", one))))

        paths = {
            "segment": line("a_1.m4s"),
            "flow": line(ENDLESS),
            "keys": _path(urljoin(base, "keys")),
            "licence": _path(licence[1]),
        }
        return cls(nodes, paths, [Taken() for _ in nodes])

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[None]:
        """Take what is to be had from all nodes while the block runs, which begins once everything flows."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=10, sock_connect=1)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
            tasks = [
                asyncio.create_task(self._take(client, number, kind)) for number in range(len(self.nodes)) for kind in self.paths
            ]
            try:
                async with asyncio.timeout(10):
                    while any(len(taken.served) < len(self.paths) for taken in self.taken):
                        await asyncio.sleep(PAUSE_S)
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def refused_everywhere(self, within_s: float, reason: str = "revoked") -> None:
        """Wait until every node refuses for ``reason``."""
        until = time.monotonic() + within_s
        while not all(taken.reason == reason for taken in self.taken):
            assert time.monotonic() < until, [taken.reason for taken in self.taken]
            await asyncio.sleep(PAUSE_S)

    async def _take(self, client: aiohttp.ClientSession, number: int, kind: str) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                await self._ask(client, number, kind)
            await asyncio.sleep(PAUSE_S)

    async def _ask(self, client: aiohttp.ClientSession, number: int, kind: str) -> None:
        taken, url = self.taken[number], self.nodes[number].edge + self.paths[kind]
        challenge = json.dumps({"kids": [self.kid], "type": "temporary"}) if kind == "licence" else None
        async with client.request("POST" if challenge else "GET", url, data=challenge) as answer:
            if answer.status != 200:
                taken.refusals.append((time.monotonic(), answer.headers.get("Relay-Reason", str(answer.status))))
                return
            async for piece in answer.content.iter_any():
                taken.served[kind] = time.monotonic()
                if kind == "keys":
                    self.kid = json.loads(piece)["keys"][0]["kid"]

    kid: str = "AAAAAAAAAAAAAAAAAAAAAA"


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
