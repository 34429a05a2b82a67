"""Resident memory of a relay: idle, and what 10,000 live sessions add. ``python -m bench.memory``

Each session enters, fetches the MPD, an init segment, a segment and its keys, as a player does.
The peer is Python with the relay's modules imported and nothing running.
"""

import asyncio
import functools
import http.server
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urljoin

import aiohttp

from tests.relay_process import RelayProcess, relay_process, write_configuration

SESSIONS = 10_000
IDLE_LIMIT_MB = 80
SESSIONS_LIMIT_MB = 20
VECTORS = Path(__file__).parent.parent / "tests" / "vectors" / "clear"
MB = 1_000_000


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def main() -> None:
    handler = functools.partial(_Quiet, directory=str(VECTORS))
    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"http://127.0.0.1:{origin.server_port}/"
        write_configuration(folder, {"vod": {"origin": f'"{url}"', "dash": '"manifest.mpd"'}})
        with relay_process(folder) as relay:
            time.sleep(1)
            idle = relay.resident_bytes()
            asyncio.run(_play(relay, 0, 200))
            warm = relay.resident_bytes()
            asyncio.run(_play(relay, 200, SESSIONS))
            full = relay.resident_bytes()
    origin.shutdown()
    imports = _imports_alone()
    print(f"imports alone            {imports / MB:8.1f} MB")
    print(f"idle relay               {idle / MB:8.1f} MB   {idle / imports:.2f} x imports   limit {IDLE_LIMIT_MB} MB")
    print(f"after 200 sessions       {warm / MB:8.1f} MB")
    print(f"{SESSIONS:,} sessions add     {(full - warm) / MB:8.1f} MB   limit {SESSIONS_LIMIT_MB} MB")


async def _play(relay: RelayProcess, first: int, last: int) -> None:
    limit = asyncio.Semaphore(32)
    async with aiohttp.ClientSession() as client:

        async def one(number: int) -> None:
            async with limit:
                token = relay.token(sid=f"session-{number:08}", sub=f"account-{number:08}")
                async with client.get(f"{relay.edge}/watch/vod/index.mpd?token={token}") as answer:
                    mpd, base = await answer.text(), str(answer.url)
                init = re.findall(r'initialization="([^"]+)"', mpd)[0].replace("&amp;", "&")
                media = re.findall(r'media="([^"]+)"', mpd)[0].replace("&amp;", "&").replace("$Number$", "1")
                for path in (init, media, "keys"):
                    async with client.get(urljoin(base, path)) as answer:
                        assert answer.status == 200, await answer.text()
                        await answer.read()

        await asyncio.gather(*(one(number) for number in range(first, last)))


def _imports_alone() -> int:
    script = "import relay.app,re;print(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    return int(subprocess.check_output([sys.executable, "-c", script])) * 1024


if __name__ == "__main__":
    main()
