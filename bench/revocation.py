"""How fast a revocation bites, here and on other nodes. ``python -m bench.revocation [--seconds N]``

Three relay processes share a real Valkey. A thousand sessions read live segments that are still being made, on all
three nodes; five hundred sessions a second are revoked through node *a*, one in five of them among those that read,
which are replaced. Measured from outside, on the clock of the client: from the revocation's last byte sent to the end
of the viewer's connection. The peer in the same run is the bus alone: XADD to the answered XREAD of another client.
"""

import argparse
import asyncio
import gc
import json
import re
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import aiohttp
import uvloop
from aiohttp import web

from bench.tail import Tail
from keys.material import RootKey
from keys.ring import KeyRing
from keys.seal import Sealer
from relay.gate.passes import PassCodec
from relay.model import Session
from tests.cluster import cluster
from tests.relay_process import ISSUER, RelayProcess
from tests.slow_origin import ENDLESS, create_slow_origin
from tests.valkey import valkey_server

OPEN = 1000
HIT_EVERY = 5
"""One revocation in so many names a session that is open here; the others, sessions that are not."""
RATE = 500
CHANNELS = 20
"""Different live segments, whose fragments come at different times."""
CALLERS = 256
"""Connections that the revocations come by: each call is answered when it is durable, and others must not wait."""
LOCAL_LIMIT_MS = 2.0
CUT_LIMIT_MS = 20.0


_BUFFER = memoryview(bytearray(256 * 1024))
"""Where all viewers read to: what they get is only counted."""


class Viewer(asyncio.BufferedProtocol):
    """One session reading the endless segment: knows when its last byte came and when it was cut."""

    def __init__(self, run: "Run", number: int, node: int) -> None:
        self._run = run
        self._number = number
        self.node = node
        self.sid = f"viewer-{number:07}"
        self.flowing = False
        self.revoked_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        host, path = self._run.segment_of(self.node, self._number, self.sid)
        cast(asyncio.Transport, transport).write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        if not self.flowing:
            head = bytes(_BUFFER[: min(nbytes, 200)])
            assert head.startswith(b"HTTP/1.1 200"), head
            self.flowing = True
            self._run.opened(self)
        if self.revoked_at:
            self._run.after_revocation += nbytes

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost(self)


class Caller(asyncio.Protocol):
    """A kept-alive connection to a control listener; answers come in the order of the calls."""

    def __init__(self, host: str, api_key: str) -> None:
        self._head = (
            f"POST /api/v1/drm/revoke HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {api_key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def call(self, body: bytes) -> "asyncio.Future[bytes]":
        """Send one call; the future has its answer's body."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._transport.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        return answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            declared = re.search(rb"(?i)content-length: (\d+)", head)
            assert head.startswith(b"HTTP/1.1 200"), head + rest
            assert declared
            size = int(declared[1])
            if len(rest) < size:
                return
            self._waiting.popleft().set_result(rest[:size])
            self._buffer = rest[size:]


class Run:
    """The load and what it measures."""

    def __init__(self, nodes: list[RelayProcess], segments: list[str]) -> None:
        secret = bytes.fromhex((nodes[0].folder / "root.key").read_text())
        self._passes = PassCodec(Sealer(KeyRing([RootKey(1, secret)]).service_keys("pass")))
        self._session = Session("", "account", ISSUER, int(time.time()) + 3600)
        self._nodes = nodes
        self._hosts = [urlsplit(node.edge).netloc for node in nodes]
        self._segments = [segment.split("/", 3)[3] for segment in segments]
        self._numbers: Iterator[int] = iter(range(10**7))
        self._opening: set[asyncio.Task[object]] = set()
        self.ready: list[deque[Viewer]] = [deque() for _ in nodes]
        self.cut = [Tail() for _ in nodes]
        self.applied = Tail()
        self.answered = Tail()
        self.after_revocation = 0
        self.lost_early = 0
        self.running = True
        self.all_open = asyncio.Event()

    def segment_of(self, node: int, number: int, sid: str) -> tuple[str, str]:
        """Host and path of an endless segment for a session."""
        session = replace(self._session, sid=sid, account=f"a-{sid}")
        return self._hosts[node], f"/p/{self._passes.mint(session)}/{self._segments[number % CHANNELS]}"

    async def open(self, node: int) -> None:
        """Begin another session on a node."""
        host, port = self._hosts[node].split(":")
        viewer = Viewer(self, next(self._numbers), node)
        await asyncio.get_running_loop().create_connection(lambda: viewer, host, int(port))

    def opened(self, viewer: Viewer) -> None:
        """A session has its first bytes."""
        self.ready[viewer.node].append(viewer)
        if sum(map(len, self.ready)) == OPEN:
            self.all_open.set()

    def lost(self, viewer: Viewer) -> None:
        """A connection has ended: by a revocation, unless the run is over."""
        if viewer.revoked_at:
            self.cut[viewer.node].samples.append(time.perf_counter() - viewer.revoked_at)
        elif self.running:
            self.lost_early += 1
        if self.running:
            task = asyncio.get_running_loop().create_task(self.open(viewer.node))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def revoke_for(self, seconds: float) -> None:
        """Revoke :data:`RATE` sessions a second through the first node."""
        host = urlsplit(self._nodes[0].control)
        loop = asyncio.get_running_loop()
        callers = []
        for _ in range(CALLERS):
            _, caller = await loop.create_connection(
                lambda: Caller(host.netloc, self._nodes[0].api_key), str(host.hostname), host.port or 0
            )
            callers.append(caller)
        begin, calls = time.perf_counter(), 0
        pending = []
        while (elapsed := time.perf_counter() - begin) < seconds:
            while calls < elapsed * RATE:
                node = calls // HIT_EVERY % len(self._nodes)
                if calls % HIT_EVERY == 0 and self.ready[node]:
                    viewer = self.ready[node].popleft()
                    sid, sent = viewer.sid, time.perf_counter()
                    viewer.revoked_at = sent
                else:
                    sid, sent = f"nobody-{calls}", time.perf_counter()
                answer = callers[calls % len(callers)].call(json.dumps({"session_id": sid}).encode())
                answer.add_done_callback(partial(self._answered, sent))
                pending.append(answer)
                calls += 1
            await asyncio.sleep(0.001)
        await asyncio.wait_for(asyncio.gather(*pending), 30)
        await asyncio.sleep(0.5)
        self.running = False

    def _answered(self, sent: float, answer: "asyncio.Future[bytes]") -> None:
        body = answer.result()
        self.answered.samples.append(time.perf_counter() - sent)
        self.applied.samples.append(json.loads(body)["applied_ms"] / 1000)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=10.0)
    seconds = options.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, valkey_server(sync="everysec") as valkey:
        uvloop.run(_measure(Path(folder), valkey.url, seconds))


async def _measure(folder: Path, log: str, seconds: float) -> None:
    runner = web.AppRunner(create_slow_origin(pause_s=1.0, fragments=10_000), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    streams = {
        f"live-{number}": {"origin": json.dumps(f"{origin}{number}/"), "hls": '"master.m3u8"'}
        for number in range(CHANNELS)
    }
    stack = cluster(folder, streams, [log] * 3)
    nodes = await asyncio.to_thread(stack.__enter__)
    try:
        run = Run(nodes, [await _endless_segment(nodes[0], stream) for stream in streams])
        for number in range(OPEN):
            await run.open(number % len(nodes))
        await run.all_open.wait()
        # A full collection of what a thousand viewers made here held up both ends of a measurement for 90 ms.
        gc.collect()
        gc.freeze()
        gc.disable()
        bus = await _bus_alone(log)
        await run.revoke_for(seconds)
        _report(run, bus, seconds)
    finally:
        await asyncio.to_thread(stack.__exit__, None, None, None)
        await runner.cleanup()


async def _endless_segment(node: RelayProcess, stream: str) -> str:
    async with aiohttp.ClientSession() as client:
        entry = f"{node.edge}/watch/{stream}/index.m3u8?token={node.token()}"
        async with client.get(entry) as answer:
            master, base = await answer.text(), str(answer.url)
        audio = re.search(r'URI="(m/[^"]+)"', master)
        assert audio, master
        playlist_url = urljoin(base, audio[1])
        async with client.get(playlist_url) as answer:
            playlist = await answer.text()
        line = next(line for line in playlist.splitlines() if ENDLESS in line and not line.startswith("#"))
        url = urlsplit(urljoin(playlist_url, line))
        return f"{url.path}?{url.query}"


async def _bus_alone(log: str) -> Tail:
    """XADD here to XREAD there, with nothing else on the bus."""
    from redis.asyncio import Redis

    writer, reader = Redis.from_url(log), Redis.from_url(log)
    tail, last = Tail(), await writer.xadd("bench", {"e": b"first"})
    for _ in range(300):
        read: asyncio.Future[Any] = asyncio.ensure_future(reader.xread({"bench": last}, block=2000))
        await asyncio.sleep(0.003)
        sent = time.perf_counter()
        await writer.xadd("bench", {"e": b"x" * 150})
        found = await read
        tail.samples.append(time.perf_counter() - sent)
        last = found[0][1][-1][0] if isinstance(found, list) else found[b"bench"][0][-1][0]
    await writer.delete("bench")
    await writer.aclose()
    await reader.aclose()
    return tail


def _report(run: Run, bus: Tail, seconds: float) -> None:
    others = Tail(run.cut[1].samples + run.cut[2].samples)
    rate = len(run.answered.samples) / seconds
    print(f"{OPEN:,} open streaming responses on 3 nodes, {rate:.0f} revocations/s for {seconds:.0f} s")
    print(f"refused and cut on the node that took the call   {run.applied}   limit {LOCAL_LIMIT_MS:g} ms p99")
    print(f"  the same, call sent to connection cut          {run.cut[0]}")
    print(f"  call sent to call answered (durable)           {run.answered}")
    print(f"call sent to connection cut on the other nodes   {others}   limit {CUT_LIMIT_MS:g} ms p99")
    print(f"peer: the bus alone, XADD to XREAD answered      {bus}")
    print(f"other nodes against the bus alone, p50           {others.percentile(50) / bus.percentile(50):7.1f} x")
    print(f"bytes that arrived after the call was sent       {run.after_revocation:,}")
    print(f"connections lost without a revocation            {run.lost_early}")
    good = run.applied.percentile(99) <= LOCAL_LIMIT_MS and others.percentile(99) <= CUT_LIMIT_MS
    print("within the limits" if good and not run.lost_early else "OUTSIDE THE LIMITS")


if __name__ == "__main__":
    main()
