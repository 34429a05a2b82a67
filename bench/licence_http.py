"""Licences over HTTP, one server process, beside a bare aiohttp handler that answers the same bytes, in the same run;
and what a storm of them does to viewers' segments. ``python -m bench.licence_http``

Clients are plain sockets in another process, with several keep-alive connections. Rounds alternate between the relay
and its peer, and ratios are of rounds that follow each other: other people's work on the machine hits both alike.
Widevine challenges are new ones, each by a device whose chain is known; RSA is done in the licence process, whose
time is not in the processor time shown, that of the server process.
"""

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, redirect_stderr
from pathlib import Path
from statistics import median
from urllib.parse import urljoin

import uvloop
from aiohttp import web

from bench.tail import Tail
from keys.model import TrackType
from relay.telemetry.log import set_up_logging
from tests.edge.test_licences import WidevineDevice, content_key, kids_json, material
from tests.edge.world import VECTORS, World, running_world, stream

ROUNDS = 7
CLEAR_KEYS, WIDEVINE = 1500, 300
HITS, STORMS = 1500, 5
CONNECTIONS = 16
BARS = {"Clear Key": 0.60, "Widevine, new": 0.35}
STORM_BAR = 2.0

# Arguments: URL, file of bodies ("-": GET), requests, connections. Prints the time of all, then that of each.
CLIENT = """
import selectors, socket, sys, time
from urllib.parse import urlsplit
url, file, count, width = urlsplit(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
bodies = [b""] if file == "-" else [bytes.fromhex(line) for line in open(file)]
method = "GET" if file == "-" else "POST"
head = f"{method} {url.path}?{url.query} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: %d\\r\\n\\r\\n"
requests = [(head % len(body)).encode() + body for body in bodies]
selector, sent, left, times = selectors.DefaultSelector(), 0, count, []
state = {}
def send(connection):
    global sent
    state[connection] = [b"", None, time.perf_counter()]
    connection.sendall(requests[sent % len(requests)])
    sent += 1
connections = [socket.create_connection((url.hostname, url.port)) for _ in range(width)]
begun = time.perf_counter()
for connection in connections:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(connection, selectors.EVENT_READ)
    send(connection)
while left:
    for key, _ in selector.select():
        connection = key.fileobj
        entry = state[connection]
        got = connection.recv(1 << 18)
        assert got, "the server went away"
        if entry[1] is None:
            entry[0] += got
            if b"\\r\\n\\r\\n" not in entry[0]:
                continue
            answer, got = entry[0].split(b"\\r\\n\\r\\n", 1)
            assert answer.startswith(b"HTTP/1.1 200"), entry[0]
            entry[1] = int(answer.lower().split(b"content-length: ")[1].split(b"\\r")[0])
        entry[1] -= len(got)
        if entry[1] == 0:
            times.append(time.perf_counter() - entry[2])
            left -= 1
            if sent < count:
                send(connection)
print(time.perf_counter() - begun, *times)
"""


def main() -> None:
    # As in service, only not to be read.
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        set_up_logging()
        uvloop.run(_measure())


async def _measure() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with _world() as world:
            # As in manifests.
            session = (await world.enter("vod")).split("/p/")[1].rpartition("/")[0]
            url = f"{world.edge}/api/v1/drm/license?session={session}"
            sd, audio = content_key("vod", TrackType.SD), content_key("vod", TrackType.AUDIO)
            clear = _file(folder, "clear", [kids_json(sd, audio).encode()])
            # Serial numbers of a hundred devices, whose chains are verified in the first round.
            devices = [WidevineDevice(serial=bytes([n])) for n in range(100)]
            challenges = [
                device.challenge(sd.kid, request_id=f"{at}".encode())
                for at, device in enumerate(devices * (WIDEVINE * (ROUNDS + STORMS) // 100 + 1))
            ]
            names = f"{'relay':>8} {'bare':>8} {'ratio':>6} {'bar':>5} {'relay µs':>9} {'bare µs':>9}"
            print(f"{'licences a second':20} {names}")
            await _compare(world, "Clear Key", url, clear, CLEAR_KEYS)
            rounds = [
                _file(folder, f"widevine-{at}", challenges[at * WIDEVINE : (at + 1) * WIDEVINE])
                for at in range(ROUNDS + STORMS)
            ]
            await _run(url, _file(folder, "warm", [device.challenge(audio.kid) for device in devices]), 100)
            await _compare(world, "Widevine, new", url, rounds[:ROUNDS], WIDEVINE)
            await _storm(await _segment(world), url, rounds[ROUNDS:])


async def _compare(world: World, label: str, url: str, bodies: Path | Sequence[Path], count: int) -> None:
    files = bodies if isinstance(bodies, Sequence) else [bodies] * ROUNDS
    async with world.client.post(url, data=bytes.fromhex(files[0].read_text().split()[0])) as answer:
        body, content_type = await answer.read(), answer.content_type
        assert answer.status == 200, body
    rows = []
    async with _bare(body, content_type) as bare_url:
        for file in files:
            bare, bare_us = await _rate(bare_url, file, count)
            here, here_us = await _rate(url, file, count)
            rows.append((here, bare, here / bare, here_us, bare_us))
    ours, peer, ratio, ours_us, peer_us = (median(column) for column in zip(*rows, strict=True))
    print(f"{label:20} {ours:8.0f} {peer:8.0f} {ratio:6.2f} {BARS[label]:5.2f} {ours_us:9.0f} {peer_us:9.0f}")


async def _rate(url: str, file: Path, count: int) -> tuple[float, float]:
    """Answers a second, and what each costs this process, in microseconds of processor time."""
    before = time.process_time()
    seconds, *_ = await _run(url, file, count)
    return count / seconds, (time.process_time() - before) / count * 1e6


async def _storm(segment: str, url: str, rounds: Sequence[Path]) -> None:
    """Cached segments by one connection, without and with a storm of new Widevine licences beside.

    The storm's client is kept from taking processors that it would not have if it were elsewhere.
    """
    calm, stormy, ratios, rates = Tail(), Tail(), [], []
    for file in rounds:
        _, *times = await _run(segment, None, HITS, 1)
        storm = asyncio.create_task(_run(url, file, WIDEVINE, idle=True))
        under = []
        while not storm.done():
            _, *some = await _run(segment, None, HITS // 10, 1)
            under += some
        rates.append(WIDEVINE / (await storm)[0])
        calm.samples += times
        stormy.samples += under
        ratios.append(Tail(under).percentile(99) / Tail(times).percentile(99))
    print(f"segment hits, calm       {calm}")
    print(f"segment hits, stormy     {stormy}")
    told = f"p99 under a storm of {median(rates):.0f} licences a second: {median(ratios):.2f} times the calm one"
    print(f"{told}, bar {STORM_BAR:.1f}")


def _file(folder: str, name: str, bodies: Sequence[bytes]) -> Path:
    path = Path(folder) / name
    path.write_text("".join(f"{body.hex()}\n" for body in bodies))
    return path


@asynccontextmanager
async def _world() -> AsyncIterator[World]:
    app = web.Application()
    app.router.add_static("/", VECTORS)

    def streams(url: str) -> dict[str, object]:
        return {"vod": stream(url, "clear", hls="master.m3u8", dash="manifest.mpd")}

    async with running_world(app, streams, material()) as world:
        yield world


async def _segment(world: World) -> str:
    """The URL of a segment that is in the cache."""
    master = await world.enter("vod")
    _, body, _ = await world.get(master)
    playlist = urljoin(master, next(line for line in body.decode().splitlines() if line.startswith("m/")))
    _, body, _ = await world.get(playlist)
    match = re.search(r"^([^#\n]+v_1\.m4s.+)$", body.decode(), re.MULTILINE)
    assert match
    segment: str = urljoin(playlist, match[1])
    assert (await world.get(segment))[0] == 200
    return segment


@asynccontextmanager
async def _bare(body: bytes, content_type: str) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type=content_type)

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/x?y"
    finally:
        await runner.cleanup()


async def _run(
    url: str, bodies: Path | None, count: int, connections: int = CONNECTIONS, idle: bool = False
) -> list[float]:
    """Seconds that so many requests took, then those of each. An ``idle`` client takes what processors others leave."""
    arguments = (url, str(bodies or "-"), str(count), str(connections))
    client = await asyncio.create_subprocess_exec(
        *(("chrt", "--idle", "0") if idle else ()),
        sys.executable,
        "-c",
        CLIENT,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await client.communicate()
    assert client.returncode == 0
    return [float(number) for number in out.split()]


if __name__ == "__main__":
    main()
