"""Players without our SDK, built as their own documentation does, given nothing but an entry URL."""

import json
import time

from aiohttp import web
from playwright.sync_api import Page

from tests.e2e.browser import until
from tests.e2e.local import NODE_MODULES

DIST = {
    "shaka": "shaka-player/dist/shaka-player.compiled.js",
    "hls": "hls.js/dist/hls.min.js",
    "dash": "dashjs/dist/modern/umd/dash.all.min.js",
}
START = {
    "shaka": """const p = new shaka.Player(); await p.attach(v);
                p.addEventListener('error', ({detail}) => errors.push(`${detail.severity} ${detail.code}`));
                await p.load(entry); await v.play();""",
    "hls": """const p = new Hls({emeEnabled: true, drmSystems: {'org.w3.clearkey': {licenseUrl: licence}}});
              p.on(Hls.Events.ERROR, (_, {fatal, details}) => errors.push(`${fatal ? 'fatal' : 'passing'} ${details}`));
              p.loadSource(entry); p.attachMedia(v); await v.play();""",
    "dash": """const p = dashjs.MediaPlayer().create(); p.initialize(v, entry, true);
               p.on('error', ({error}) => errors.push(`${error.code} ${error.message}`));""",
}
VIDEO = "document.querySelector('video')"


def bare_page(player: str, urls: dict[str, str]) -> web.Application:
    """A page with one player, whose errors it notes in ``errors``."""
    html = f"""<!doctype html><video muted></video><script src="/player.js"></script>
    <script>const errors = []; (async () => {{
    const v = document.querySelector('video'), {{entry, licence}} = {json.dumps(urls)};
    {START[player]} }})()</script>"""

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    async def script(_: web.Request) -> web.FileResponse:
        return web.FileResponse(NODE_MODULES / DIST[player])

    app = web.Application()
    app.router.add_get("/", index)
    app.router.add_get("/player.js", script)
    return app


def watch(page: Page, seconds: float) -> float:
    """Wait for the picture to move, then until so much more of the stream has been shown; how long that took (s)."""
    # Shaka and dash.js start a live stream by jumping to its edge, so what counts is a picture that moves by itself.
    until(page, f"{VIDEO}.currentTime > 0 && !{VIDEO}.paused && {VIDEO}.readyState > 2 && !{VIDEO}.seeking", 15)
    start, since = float(page.evaluate(f"{VIDEO}.currentTime")), time.monotonic()
    until(page, f"{VIDEO}.currentTime > {start + seconds}", seconds + 15)
    return time.monotonic() - since
