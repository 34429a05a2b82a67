"""An origin of playlists alone: a live one with dates, a live one without, a finished title. Each may be taken away."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

SEGMENT_S = 4
LISTED = 5


@dataclass
class Studio:
    """``gone`` are the names of playlists that the origin answers with 404; ``clock`` is its wall clock (s)."""

    url: str = ""
    clock: Callable[[], float] = time.time
    gone: set[str] = field(default_factory=set)

    def stream(self, name: str, **settings: Any) -> dict[str, Any]:
        """Configuration of a stream of its own: ``dated``, ``numbered`` or ``finished``."""
        rotation = {"interval": "10m", "pre_delivery": "30s"}
        return {"origin": f"{self.url}/{name}/", "hls": "a.m3u8", "rotation": rotation, **settings}

    def playlist(self, kind: str) -> str:
        """The playlist of a stream now."""
        number = int(self.clock()) // SEGMENT_S - LISTED
        lines = ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{SEGMENT_S}"]
        if kind == "finished":
            number = 0
            lines.append("#EXT-X-PLAYLIST-TYPE:VOD")
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{number}")
        if kind == "dated":
            date = datetime.fromtimestamp(number * SEGMENT_S, UTC)
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{date:%Y-%m-%dT%H:%M:%SZ}")
        lines.append('#EXT-X-MAP:URI="init.mp4"')
        lines += [f"#EXTINF:{SEGMENT_S}.0,\nseg-{number + at}.m4s" for at in range(LISTED)]
        if kind == "finished":
            lines.append("#EXT-X-ENDLIST")
        return "\n".join(lines) + "\n"


@asynccontextmanager
async def open_studio(clock: Callable[[], float] = time.time) -> AsyncIterator[Studio]:
    """A studio on the air."""
    studio = Studio(clock=clock)

    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in studio.gone:
            return web.Response(status=404)
        return web.Response(text=studio.playlist(name), content_type="application/vnd.apple.mpegurl")

    app = web.Application()
    app.router.add_get("/{name}/a.m3u8", answer)
    server = TestServer(app)
    await server.start_server()
    studio.url = str(server.make_url("")).rstrip("/")
    try:
        yield studio
    finally:
        await server.close()
