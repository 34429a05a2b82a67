"""The demo's origin and pages in this process, before a relay in its own."""

import asyncio
import socket
from pathlib import Path
from threading import Thread

from aiohttp import web

from tests.relay_process import write_configuration

ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "relay" / "console"
NODE_MODULES = ROOT / "node_modules"


class Server:
    """Applications in a thread with a loop of their own, beside the browser's."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._runners: list[web.AppRunner] = []

    def start(self, app: web.Application) -> str:
        """Serve an application and return its URL."""
        return asyncio.run_coroutine_threadsafe(self._start(app), self.loop).result(10)

    def stop(self) -> None:
        """Stop serving."""
        for runner in self._runners:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    async def _start(self, app: web.Application) -> str:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configure(folder: Path, origin: str, rotation: str) -> None:
    """One live stream on fixed ports, so that a second process takes the first one's place."""
    settings = {
        "origin": f'"{origin}/live/"',
        "hls": '"master.m3u8"',
        "dash": '"manifest.mpd"',
        "window": '"2m"',
        "rotation": rotation,
    }
    write_configuration(folder, {"demo": settings}, (free_port(), free_port()))
