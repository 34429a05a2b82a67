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

    def mpd(self) -> str:
        """A live MPD of the same segments."""
        begun = datetime.fromtimestamp(0, UTC)
        return f"""<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic"
 profiles="urn:mpeg:dash:profile:isoff-live:2011"
 minBufferTime="PT2S" availabilityStartTime="{begun:%Y-%m-%dT%H:%M:%SZ}" timeShiftBufferDepth="PT20S">
<Period id="1" start="PT0S"><AdaptationSet contentType="video" mimeType="video/mp4">
<SegmentTemplate timescale="1" duration="{SEGMENT_S}" startNumber="0" initialization="i.mp4" media="s-$Number$.m4s"/>
<Representation id="v" bandwidth="1000" codecs="avc1.640028" width="640" height="360"/>
</AdaptationSet></Period></MPD>"""


@asynccontextmanager
async def open_studio(clock: Callable[[], float] = time.time) -> AsyncIterator[Studio]:
    """A studio on the air."""
    studio = Studio(clock=clock)

    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in studio.gone:
            return web.Response(status=404)
        return web.Response(text=studio.playlist(name), content_type="application/vnd.apple.mpegurl")

    async def answer_mpd(_: web.Request) -> web.Response:
        return web.Response(text=studio.mpd(), content_type="application/dash+xml")

    app = web.Application()
    app.router.add_get("/{name}/a.m3u8", answer)
    app.router.add_get("/{name}/live.mpd", answer_mpd)
    server = TestServer(app)
    await server.start_server()
    studio.url = str(server.make_url("")).rstrip("/")
    try:
        yield studio
    finally:
        await server.close()
