"""What an open event channel costs, and what it costs to tell 10,000 of them a key. ``python -m bench.channels``

A relay in a process of its own before a live origin; one client holds all channels on plain sockets. The peer is a
bare aiohttp handler on the same loop that sends an event and waits, asked with the same headers.
"""

import contextlib
import http.client
import http.server
import os
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.relay_process import RelayProcess, relay_process, write_configuration

CHANNELS = 10_000
WARM = 300
ROTATION_S, LEAD_S = 60, 20
QUIET_S = 5
LIMIT_BYTES = 8192
"""Most that a channel may cost above the peer."""
HEADERS = (
    "Accept: text/event-stream\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n"
    "Cache-Control: no-cache\r\nOrigin: https://player.example\r\nReferer: https://player.example/\r\n"
    "Sec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: cross-site\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0\r\n"
)
BARE = """
import asyncio, uvloop
from aiohttp import web

async def events(request):
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    await response.write(b"event: keys\\ndata: {}\\n\\n")
    await asyncio.Event().wait()

async def main():
    app = web.Application()
    app.router.add_get("/{path:.*}", events)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

uvloop.run(main())
"""


class _Origin(http.server.BaseHTTPRequestHandler):
    """A live playlist of 2 s segments; nobody asks for the segments."""

    def do_GET(self) -> None:
        first = int(time.time()) // 2 - 30
        date = datetime.fromtimestamp(first * 2, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        lines += [f"#EXT-X-PROGRAM-DATE-TIME:{date}", '#EXT-X-MAP:URI="init.mp4"']
        lines += [f"#EXTINF:2.0,\nseg-{number}.m4s" for number in range(first, first + 30)]
        body = "\n".join(lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.apple.mpegurl")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


class Channels:
    """Open channels of one server, read as bytes come; counts the ``keys`` events."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._address = (where.hostname, where.port)
        self._poll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self.keys = 0

    def add(self, path: str) -> None:
        connection = socket.create_connection(self._address)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: relay.example\r\n{HEADERS}\r\n".encode())
        self._open[connection.fileno()] = connection
        self._poll.register(connection, select.EPOLLIN)
        self.read(0)

    def read(self, wait_s: float) -> None:
        for number, _ in self._poll.poll(wait_s):
            data = self._open[number].recv(65536)
            assert data, "a channel was closed"
            self.keys += data.count(b"event: keys")

    def read_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.read(0.02)

    def read_until(self, keys: int, within_s: float) -> None:
        until = time.monotonic() + within_s
        while self.keys < keys:
            assert time.monotonic() < until, f"{self.keys} of {keys} were told"
            self.read(0.02)

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    number = min(CHANNELS, most - 200)
    bare = _bare(number)
    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name, _relay(Path(name), origin.server_port) as relay:
        paths = _enter(relay, number + WARM)
        channels = Channels(relay.edge)
        # Early in a period, so that nothing is pushed before all channels are open.
        time.sleep(-time.time() % ROTATION_S)
        for path in paths[:WARM]:
            channels.add(path)
        channels.read_until(WARM, 30)
        before = _resident(relay.process.pid)
        started = time.perf_counter()
        for path in paths[WARM:]:
            channels.add(path)
        channels.read_until(WARM + number, 60)
        opened_s = time.perf_counter() - started
        ours = (_resident(relay.process.pid) - before) / number
        print(f"{number:,} channels opened in {opened_s:.1f} s")
        print(f"bare aiohttp handler {bare:8.0f} bytes a channel")
        print(f"session channel      {ours:8.0f} bytes a channel   {ours / bare:.2f} x   {ours - bare:+.0f} bytes")
        _push(relay, channels)
        pushed = (_resident(relay.process.pid) - before) / number
        print(f"after a push         {pushed:8.0f} bytes a channel")
        channels.close()
    origin.shutdown()
    assert ours - bare <= LIMIT_BYTES, "a channel costs too much"


def _push(relay: RelayProcess, channels: Channels) -> None:
    """Idle and while one period is told, what another request waits for: the event loop's pauses show in it."""
    quiet, idle_cpu = _Probe(relay.control), _cpu_s(relay.process.pid)
    channels.read_for(QUIET_S)
    idle_cpu = (_cpu_s(relay.process.pid) - idle_cpu) / QUIET_S
    quiet.stop()
    told = channels.keys
    everyone = told + len(channels._open)
    # Until the first of the coming period is told.
    channels.read_until(told + 1, ROTATION_S + LEAD_S)
    probe, cpu, started = _Probe(relay.control), _cpu_s(relay.process.pid), time.perf_counter()
    channels.read_until(everyone, LEAD_S)
    took = time.perf_counter() - started
    # Without what heartbeats and the probe itself cost.
    cpu = _cpu_s(relay.process.pid) - cpu - idle_cpu * took
    probe.stop()
    each_us = cpu / (everyone - told) * 1e6
    print(f"one period told to all in {took:.1f} s of a lead of {LEAD_S} s, {each_us:.0f} us CPU each")
    print(f"another request waits, ms   {'p50':>6} {'p99':>6} {'most':>6}")
    for what, found in (("quiet", quiet), ("while it is told", probe)):
        print(f"  {what:<24}  {found.percentile(50):6.2f} {found.percentile(99):6.2f} {max(found.waits_ms):6.2f}")


class _Probe:
    """Asks for something small all the time, on one connection, from a thread."""

    def __init__(self, url: str) -> None:
        self.waits_ms: list[float] = []
        self._going = True
        self._thread = threading.Thread(target=self._ask, args=(urlsplit(url),))
        self._thread.start()

    def stop(self) -> None:
        self._going = False
        self._thread.join()

    def percentile(self, which: int) -> float:
        return statistics.quantiles(self.waits_ms, n=100)[which - 1]

    def _ask(self, where: Any) -> None:
        connection = http.client.HTTPConnection(where.hostname, where.port)
        while self._going:
            started = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.waits_ms.append((time.perf_counter() - started) * 1000)
            time.sleep(0.002)
        connection.close()


def _bare(number: int) -> float:
    with subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        channels = Channels(f"http://127.0.0.1:{process.stdout.readline().strip()}")
        path = f"/p/{'x' * 300}/live/cenc.stable.uhd.clearkey.identity/events"
        for _ in range(WARM):
            channels.add(path)
        channels.read_until(WARM, 30)
        before = _resident(process.pid)
        for _ in range(number):
            channels.add(path)
        channels.read_until(WARM + number, 60)
        after = _resident(process.pid)
        channels.close()
        process.kill()
    return (after - before) / number


@contextlib.contextmanager
def _relay(folder: Path, port: int) -> Iterator[RelayProcess]:
    settings = {
        "origin": f'"http://127.0.0.1:{port}/"',
        "hls": '"live.m3u8"',
        "window": '"10m"',
        "rotation": f'{{ interval = "{ROTATION_S}s", pre_delivery = "{LEAD_S}s" }}',
    }
    write_configuration(folder, {"live": settings})
    text = (folder / "relay.toml").read_text()
    (folder / "relay.toml").write_text(text.replace("edge = { ", "edge = { max_connections = 20000, "))
    with relay_process(folder) as relay:
        yield relay


def _enter(relay: RelayProcess, number: int) -> list[str]:
    where = urlsplit(relay.edge)
    connection = http.client.HTTPConnection(where.hostname or "", where.port)
    paths = []
    for viewer in range(number):
        token = relay.token(sid=f"session-{viewer:08}", sub=f"account-{viewer:08}", jti=f"token-{viewer:08}")
        connection.request("GET", f"/watch/live/index.m3u8?token={token}")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 302, answer.status
        paths.append(answer.headers["Location"].replace("index.m3u8", "events"))
    connection.close()
    return paths


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
