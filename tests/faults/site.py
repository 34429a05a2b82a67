"""Three relay processes that share a real Valkey, each by a proxy of its own that can break, before one origin."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from os import SEEK_END
from pathlib import Path
from signal import SIGHUP
from typing import Any

import aiohttp
from aiohttp import web

from tests.cluster import cluster, wait_ready
from tests.edge.test_live import INIT, SEGMENT, live_playlist
from tests.faults.viewer import Viewer
from tests.proxy import FaultyProxy, Mode, faulty_proxy
from tests.relay_process import RelayProcess
from tests.slow_origin import create_slow_origin
from tests.valkey import Data, Valkey, valkey_server

STALE_AFTER_S = 1.0
PERIOD_S = 3
BOUND_S = 1.5
"""From the answer to a revocation to the last byte from any node in touch; much, for this machine may be busy."""
HEALED_S = 2.0
"""From the end of a fault to the last byte from any node."""
REPAIRED_S = 4.0
"""The same where what the log never had must first be found missing, and offered again."""
_PATIENCE = aiohttp.ClientTimeout(total=20)
_sids = count(1)


async def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Acknowledged:
    """An answer of the revocation API, and when it came (``time.monotonic``)."""

    status: int
    body: Any
    at: float


@dataclass
class Site:
    """The nodes and what connects them. ``revoked`` are the viewers whose revocation was acknowledged."""

    valkey: Valkey
    proxies: Sequence[FaultyProxy]
    nodes: Sequence[RelayProcess]
    revoked: list[Viewer] = field(default_factory=list)

    @asynccontextmanager
    async def pirate(self) -> AsyncIterator[Viewer]:
        """A new viewer whom every node is serving everything."""
        viewer = await self.enter("pirate")
        async with viewer.taking():
            yield viewer

    async def revoke(self, viewer: Viewer, at: int = 0, query: str = "", **item: Any) -> Acknowledged:
        """Revoke (or, by ``action``, restore) a viewer's session through a node's API."""
        done = await self.order(at, query, value=viewer.sid, **item)
        if item.get("action") == "restore":
            self.revoked = [one for one in self.revoked if one is not viewer]
        elif done.status in (200, 202):
            self.revoked.append(viewer)
        return done

    async def order(self, at: int, query: str = "", **item: Any) -> Acknowledged:
        """Send one item, of a session unless it says otherwise, to a node's API."""
        return await self.order_all(at, [{"type": "session", **item}], query)

    async def order_all(self, at: int, items: Sequence[Mapping[str, Any]], query: str = "") -> Acknowledged:
        """Send many items to a node's API in one call."""
        headers = {"Idempotency-Key": f"call-{next(_sids)}"}
        return await self._call(at, "POST", query, headers, json=items)

    async def get(self, at: int, path: str) -> Acknowledged:
        """Read something below the resource of revocations of a node's API."""
        return await self._call(at, "GET", path, {})

    async def records(self, sid: str, at: int) -> Any:
        """What the journal of a node has of a session."""
        found = await self.get(at, f"?type=session&value={sid}")
        assert found.status == 200, found
        return found.body

    async def reload(self, at: int) -> None:
        """SIGHUP; returns when the node says that it has taken its files over."""
        node = self.nodes[at]
        with (node.folder / "log").open() as log:
            log.seek(0, SEEK_END)
            node.process.send_signal(SIGHUP)
            said: list[str] = []

            def has_reloaded() -> bool:
                said.append(log.read())
                return '"event": "reloaded"' in "".join(said)

            await until(has_reloaded)

    async def kill(self, *nodes: int) -> None:
        """SIGKILL."""
        await asyncio.gather(*(asyncio.to_thread(self.nodes[at].kill) for at in nodes))

    async def start_again(self, *nodes: int) -> None:
        """Start nodes that were killed, on what is left of their files. Returns before they are ready."""
        await asyncio.gather(*(asyncio.to_thread(self.nodes[at].start_again) for at in nodes))

    async def ready(self, *nodes: int) -> None:
        """Wait until some nodes, or all, say that they have caught up."""
        await asyncio.gather(*(asyncio.to_thread(wait_ready, self.nodes[at]) for at in nodes or range(len(self.nodes))))

    async def _call(self, at: int, method: str, path: str, headers: dict[str, str], **body: Any) -> Acknowledged:
        node = self.nodes[at]
        url, headers = (
            f"{node.control}/api/v1/revocations{path}",
            {"Authorization": f"Bearer {node.api_key}", **headers},
        )
        async with (
            aiohttp.ClientSession(timeout=_PATIENCE) as client,
            client.request(method, url, headers=headers, **body) as answer,
        ):
            return Acknowledged(answer.status, await answer.json(content_type=None), time.monotonic())

    def mend(self) -> None:
        """Put right what a test left broken."""
        for proxy in self.proxies:
            proxy.delay_s = 0.0
            proxy.mode = Mode.PASS
        if not self.valkey.running:
            self.valkey.start()
        for node in self.nodes:
            if node.process.poll() is not None:
                node.start_again()
        for node in self.nodes:
            wait_ready(node)

    async def lose_the_log(self, data: Data = Data.LOST) -> None:
        """Kill the log's server and start it with what it then still knows."""
        await asyncio.to_thread(self.valkey.kill)
        await asyncio.to_thread(self.valkey.start, data)

    async def enter(self, who: str = "viewer") -> Viewer:
        """A new viewer, as soon as sessions can begin."""
        until = time.monotonic() + 15
        while True:
            try:
                return await Viewer.enter(self.nodes, f"{who}-{next(_sids)}")
            except aiohttp.ClientError:
                assert time.monotonic() < until, "no session can begin"
                await asyncio.sleep(0.1)

    async def resident(self) -> Viewer:
        """A new viewer who may stay for long and miss nothing.

        He leaves out the segment that never ends: an origin is given up that takes two minutes over one.
        """
        viewer = await self.enter("resident")
        del viewer.paths["flow"]
        return viewer

    async def serves_the_innocent(self) -> None:
        """Wait until every node serves a viewer whom nobody revoked."""
        viewer = await self.enter("innocent")
        async with viewer.taking():
            pass

    async def refuses_all_revoked(self, within_s: float = 10.0) -> None:
        """Wait until every node says ``revoked`` to everyone whose revocation was ever acknowledged."""
        until, wanted = time.monotonic() + within_s, ["revoked"] * len(self.nodes)
        for viewer in self.revoked:
            while (found := await viewer.verdicts()) != wanted:
                assert time.monotonic() < until, f"{viewer.sid}: {found}"
                await asyncio.sleep(0.1)


@contextmanager
def running_site(
    folder: Path, ahead_s: Sequence[float] = (0.0, 0.0, 0.0), stale_after_s: float = STALE_AFTER_S
) -> Iterator[Site]:
    """A site of a node for each clock; its streams refuse everyone while a node's state is older than it should be.

    Stream "live" has a segment that is still being made, "rolling" changes keys every :data:`PERIOD_S`, "sold" is like
    "live" for who has bought it.
    """
    with ExitStack() as stack:
        origin = stack.enter_context(_origin())
        valkey = stack.enter_context(valkey_server())
        proxies = [stack.enter_context(faulty_proxy(valkey.address)) for _ in ahead_s]
        closed = {"stale": '"closed"'}
        rotation = f'{{ interval = "{PERIOD_S}s", pre_delivery = "1s" }}'
        streams = {
            "live": {"origin": json.dumps(origin), "hls": '"master.m3u8"', **closed},
            "sold": {"origin": json.dumps(origin), "hls": '"master.m3u8"', "entitlement": '"required"'},
            "rolling": {
                "origin": json.dumps(f"{origin}rolling/"),
                "hls": '"live.m3u8"',
                "rotation": rotation,
                "window": '"2m"',
                **closed,
            },
        }
        state = {"stale_after": f'"{stale_after_s:g}s"'}
        nodes = stack.enter_context(cluster(folder, streams, [proxy.url for proxy in proxies], state, None, ahead_s))
        yield Site(valkey, proxies, nodes)


def create_origin() -> web.Application:
    """The slow origin, and below ``rolling/`` a playlist that ends now."""

    async def serve(request: web.Request) -> web.Response:
        if request.match_info["name"] == "live.m3u8":
            return web.Response(text=live_playlist(time.time()))
        return web.Response(body=INIT if request.match_info["name"] == "init.mp4" else SEGMENT)

    app = create_slow_origin(pause_s=0.1, fragments=3000)
    app.router.add_get("/rolling/{name}", serve)
    return app


@contextmanager
def _origin() -> Iterator[str]:
    """An origin in a thread of its own; its base URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(create_origin(), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(5)
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
