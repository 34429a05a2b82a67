"""A million revocations through the API while segments are served. ``python -m bench.bulk [--count N]``

One relay with its journal on disk, batches of 10,000 one after another; meanwhile a viewer's segment requests come
at a steady rate. The peer is the same relay in the same run, before the load begins.
"""

import argparse
import asyncio
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPConnection
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp
import uvloop
from aiohttp import web

from bench.tail import Tail
from tests.relay_process import RelayProcess, relay_process, write_configuration
from tests.slow_origin import create_slow_origin

BATCH = 10_000
REQUESTS_PER_S = 200
QUIET_S = 15.0
RATIO_LIMIT = 2.0
MB = 1_000_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=1_000_000)
    count = options.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(_measure(Path(folder), count))


async def _measure(folder: Path, count: int) -> None:
    runner = web.AppRunner(create_slow_origin())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin = json.dumps(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    write_configuration(folder, {"vod": {"origin": origin, "hls": '"master.m3u8"'}}, control={"probe": '"0s"'})
    process = relay_process(folder)
    relay = await asyncio.to_thread(process.__enter__)
    try:
        async with aiohttp.ClientSession() as client:
            url = await _segment(client, relay)
            await _serve_for(client, url, asyncio.Event(), 3.0)
            before = relay.resident_bytes()
            quiet, _ = await _serve_for(client, url, asyncio.Event(), QUIET_S)
            done = asyncio.Event()
            serving = asyncio.create_task(_serve_for(client, url, done, 3600.0))
            # Another process, for a viewer who is measured must not wait while batches are written.
            with ProcessPoolExecutor(1, get_context("spawn")) as loader:
                elapsed, slowest = await asyncio.get_running_loop().run_in_executor(
                    loader, _load, relay.control, relay.api_key, count
                )
            done.set()
            loaded, failures = await serving
            _report(quiet, loaded, failures, count, elapsed, slowest, relay.resident_bytes() - before)
    finally:
        await asyncio.to_thread(process.__exit__, None, None, None)
        await runner.cleanup()


async def _segment(client: aiohttp.ClientSession, relay: RelayProcess) -> str:
    async with client.get(f"{relay.edge}/watch/vod/index.m3u8?token={relay.token()}") as answer:
        master, base = await answer.text(), str(answer.url)
    playlist_url = urljoin(base, next(line for line in master.splitlines() if line.startswith("m/")))
    async with client.get(playlist_url) as answer:
        playlist = await answer.text()
    return urljoin(playlist_url, next(line for line in playlist.splitlines() if "v_1.m4s" in line))


async def _serve_for(client: aiohttp.ClientSession, url: str, stop: asyncio.Event, seconds: float) -> tuple[Tail, int]:
    """Ask at a steady rate, whatever the answers take; gives their times and how many failed."""
    tail, failures = Tail(), 0
    asking: set[asyncio.Task[None]] = set()

    async def ask() -> None:
        nonlocal failures
        sent = time.perf_counter()
        try:
            async with client.get(url) as answer:
                await answer.read()
                failures += answer.status != 200
        except aiohttp.ClientError:
            failures += 1
        tail.samples.append(time.perf_counter() - sent)

    begin, asked = time.perf_counter(), 0
    while not stop.is_set() and (elapsed := time.perf_counter() - begin) < seconds:
        while asked < elapsed * REQUESTS_PER_S:
            task = asyncio.create_task(ask())
            asking.add(task)
            task.add_done_callback(asking.discard)
            asked += 1
        await asyncio.sleep(0.001)
    await asyncio.gather(*asking)
    return tail, failures


def _load(control: str, api_key: str, count: int) -> tuple[float, float]:
    """Revoke ``count`` sessions, a batch after the other; gives the seconds it took, and the longest that one took."""
    connection = HTTPConnection(urlsplit(control).netloc)
    begin, slowest = time.perf_counter(), 0.0
    for first in range(0, count, BATCH):
        lines = [
            f'{{"type":"session","value":"bulk-{number:09}","reason":"bench"}}'
            for number in range(first, min(first + BATCH, count))
        ]
        headers = {
            "Authorization": f"Bearer {api_key}",
            "Content-Type": "application/x-ndjson",
            "Idempotency-Key": f"batch-{first}",
        }
        sent = time.perf_counter()
        connection.request("POST", "/api/v1/revocations", "\n".join(lines), headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        slowest = max(slowest, time.perf_counter() - sent)
    return time.perf_counter() - begin, slowest


def _report(quiet: Tail, loaded: Tail, failures: int, count: int, elapsed: float, slowest: float, grown: int) -> None:
    ratio = loaded.percentile(99) / quiet.percentile(99)
    print(f"{count:,} revocations in {elapsed:.1f} s ({count / elapsed:,.0f}/s), slowest batch {slowest:.2f} s")
    print(f"resident memory grew by {grown / MB:.0f} MB, {grown / count:.0f} bytes an entry")
    print(f"segment requests before    {quiet}")
    print(f"segment requests meanwhile {loaded}   failed: {failures}")
    print(f"p99 against before         {ratio:.2f} x   limit {RATIO_LIMIT:g} x")
    print("within the limits" if ratio <= RATIO_LIMIT and not failures else "OUTSIDE THE LIMITS")


if __name__ == "__main__":
    main()
