"""A viewer who takes whatever he can get from every node, and when he got it."""

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
SERVED_WITHIN_S = 10.0
_PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=3)


@dataclass
class Taken:
    """What one node gave. Times are of ``time.monotonic``."""

    served: dict[str, float] = field(default_factory=dict)
    """When each kind of thing last came: segment, flow, keys, licence."""
    refused: dict[str, tuple[float, str]] = field(default_factory=dict)
    """When and why each kind was last refused."""
    broken: dict[str, tuple[float, str]] = field(default_factory=dict)
    """When and how a request of each kind last ended without a whole answer."""

    @property
    def last(self) -> float:
        """When anything last came."""
        return max(self.served.values(), default=0.0)

    def refused_since(self, since: float, reason: str) -> bool:
        """Whether every kind has lately been refused for ``reason``."""
        found = self.refused.values()
        return len(self.refused) == len(self.served) and all(at > since and why == reason for at, why in found)


@dataclass(eq=False)
class Viewer:
    """One session, which asks all nodes for a segment, keys and licences, and holds a running segment open at each.

    ``paths`` are the same at every node; the licence challenge asks for ``kid``.
    """

    sid: str
    nodes: Sequence[RelayProcess]
    paths: dict[str, str]
    kid: str
    taken: list[Taken]

    @classmethod
    async def enter(cls, nodes: Sequence[RelayProcess], sid: str, at: int = 0) -> "Viewer":
        """Begin a session at one node."""
        entry = f"{nodes[at].edge}/watch/live/index.m3u8?token={nodes[at].token(sid=sid, sub=f'owner-of-{sid}')}"
        return await cls.begin(nodes, sid, entry)

    @classmethod
    async def begin(cls, nodes: Sequence[RelayProcess], sid: str, entry: str) -> "Viewer":
        """Begin a session at the URL of its entry manifest."""
        async with aiohttp.ClientSession(raise_for_status=True) as client:
            async with client.get(entry) as answer:
                master, base = await answer.text(), str(answer.url)
            audio = re.search(r'URI="(m/[^"]+)"', master)
            assert audio, master
            playlist_url = urljoin(base, audio[1])
            async with client.get(playlist_url) as answer:
                playlist = await answer.text()
            licence = re.search(r'URI="(http[^"]+license[^"]+)"', playlist)
            assert licence, playlist
            async with client.get(urljoin(base, "keys")) as answer:
                kid: str = json.loads(await answer.read())["keys"][0]["kid"]

        def segment(name: str) -> str:
            lines = (line for line in playlist.splitlines() if name in line and not line.startswith("#"))
            return _path(urljoin(playlist_url, next(lines)))

        paths = {
            "segment": segment("a_1.m4s"),
            "flow": segment(ENDLESS),
            "keys": _path(urljoin(base, "keys")),
            "licence": _path(licence[1]),
        }
        return cls(sid, nodes, paths, kid, [Taken() for _ in nodes])

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[None]:
        """Take what is to be had for the length of a block, which begins once every node has given everything."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as client:
            loops = [self._take(client, at, kind) for at in range(len(self.nodes)) for kind in self.paths]
            tasks = [asyncio.create_task(loop) for loop in loops]
            try:
                await self._wait_served(SERVED_WITHIN_S)
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_refused(self, within_s: float, reason: str = "revoked") -> None:
        """Wait until every node refuses everything for ``reason``, asked from now on."""
        since = time.monotonic()
        while not all(taken.refused_since(since, reason) for taken in self.taken):
            assert time.monotonic() < since + within_s, [taken.refused for taken in self.taken]
            await asyncio.sleep(PAUSE_S)

    def got_nothing_after(self, *bounds: float) -> None:
        """Assert that no node gave a byte past its bound; the nodes' bounds in order, or one for all."""
        limits = bounds * len(self.nodes) if len(bounds) == 1 else bounds
        late = {
            (node.folder.name, kind): round(at - bound, 3)
            for node, taken, bound in zip(self.nodes, self.taken, limits, strict=True)
            for kind, at in taken.served.items()
            if at > bound
        }
        assert not late, f"served past the bound, by seconds: {late}"

    def got_everything(self) -> None:
        """Assert that no node has refused or broken off any request."""
        trouble = {
            node.folder.name: (taken.refused, taken.broken)
            for node, taken in zip(self.nodes, self.taken, strict=True)
            if taken.refused or taken.broken
        }
        assert not trouble, f"refused, or broken off: {trouble}"

    async def verdicts(self, *nodes: int) -> list[str]:
        """What some nodes, or all, say to a request for a segment: "served", or why not."""
        chosen = nodes or range(len(self.nodes))
        async with aiohttp.ClientSession(timeout=_PATIENCE) as client:
            return list(await asyncio.gather(*(self.verdict(client, at) for at in chosen)))

    async def verdict(self, client: aiohttp.ClientSession, at: int, kind: str = "segment") -> str:
        """What one node says."""
        async with self._request(client, at, kind) as answer:
            await answer.read()
            return "served" if answer.status == 200 else answer.headers.get("Relay-Reason", str(answer.status))

    async def _wait_served(self, within_s: float) -> None:
        until = time.monotonic() + within_s
        while any(len(taken.served) < len(self.paths) for taken in self.taken):
            assert time.monotonic() < until, [(taken.served, taken.refused) for taken in self.taken]
            await asyncio.sleep(PAUSE_S)

    async def _take(self, client: aiohttp.ClientSession, at: int, kind: str) -> None:
        taken = self.taken[at]
        while True:
            try:
                async with self._request(client, at, kind) as answer:
                    if answer.status == 200:
                        async for _ in answer.content.iter_any():
                            taken.served[kind] = time.monotonic()
                    else:
                        why = answer.headers.get("Relay-Reason", str(answer.status))
                        taken.refused[kind] = time.monotonic(), why
            except (aiohttp.ClientError, TimeoutError) as err:
                taken.broken[kind] = time.monotonic(), repr(err)
            await asyncio.sleep(PAUSE_S)

    def _request(
        self, client: aiohttp.ClientSession, at: int, kind: str
    ) -> "contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]":
        url = self.nodes[at].edge + self.paths[kind]
        if kind != "licence":
            return client.get(url)
        return client.post(url, data=json.dumps({"kids": [self.kid], "type": "temporary"}))


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
