"""The gated segment path on a cache hit: what it costs and what it allocates. ``python -m bench.hit``

Serves segments of growing size from memory to a client in another process. The peer is a bare aiohttp
handler that returns the same bytes, with no gate, session, registry or cache, on the same loop.
"""

import asyncio
import re
import sys
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urljoin

import uvloop
from aiohttp import web

from tests.edge.world import VECTORS, World, running_world

COPIES = (1, 50, 200, 800)
ROUNDS = 60
SEGMENT = (VECTORS / "clear" / "v_1.m4s").read_bytes()

# A plain socket, so that the client costs as little as possible of the same machine.
CLIENT = """
import socket, statistics, sys, time
from urllib.parse import urlsplit
url, rounds = urlsplit(sys.argv[1]), int(sys.argv[2])
connection = socket.create_connection((url.hostname, url.port))
request = f"GET {url.path}?{url.query} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode()
buffer, times = bytearray(1 << 20), []
for _ in range(rounds):
    started = time.perf_counter()
    connection.sendall(request)
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        head += connection.recv(4096)
    assert head.startswith(b"HTTP/1.1 200"), head
    left = int(head.lower().split(b"content-length: ")[1].split(b"\\r")[0]) - len(head.split(b"\\r\\n\\r\\n", 1)[1])
    while left:
        left -= connection.recv_into(buffer)
    times.append(time.perf_counter() - started)
print(statistics.median(times))
"""


async def main() -> None:
    print(f"{'segment':>10} {'ours ms':>9} {'bare ms':>9} {'ratio':>6} {'peak allocation':>16}")
    for copies in COPIES:
        async with _world(copies) as (world, segment):
            status, body, _ = await world.get(segment)
            assert status == 200
            ours = await _median(segment)
            tracemalloc.start()
            await _median(segment, 3)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            await _median(segment, 20)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            async with _bare(body) as url:
                bare = await _median(url)
            kilobytes = len(body) // 1024
            print(f"{kilobytes:>7} KB {ours:9.3f} {bare:9.3f} {ours / bare:6.2f} {(peak - before) / 1024:>13.0f} KB")


@asynccontextmanager
async def _world(copies: int) -> AsyncIterator[tuple[World, str]]:
    async def origin(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("v_1.m4s"):
            return web.Response(body=SEGMENT * copies)
        return web.FileResponse(VECTORS / request.path.lstrip("/"))

    app = web.Application()
    app.router.add_get("/{path:.*}", origin)
    async with running_world(
        app, lambda url: {"vod": {"origin": f"{url}/clear/", "hls": "master.m3u8", "dash": "manifest.mpd"}}
    ) as world:
        master = await world.enter("vod")
        _, body, _ = await world.get(master)
        playlist = urljoin(master, next(line for line in body.decode().splitlines() if line.startswith("m/")))
        _, body, _ = await world.get(playlist)
        match = re.search(r"^([^#\n]+v_1\.m4s.+)$", body.decode(), re.MULTILINE)
        assert match
        yield world, urljoin(playlist, match[1])


@asynccontextmanager
async def _bare(body: bytes) -> AsyncIterator[str]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="video/mp4")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/x?y"
    finally:
        await runner.cleanup()


async def _median(url: str, rounds: int = ROUNDS) -> float:
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, url, str(rounds), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await client.communicate()
    return float(out) * 1000


if __name__ == "__main__":
    uvloop.run(main())
