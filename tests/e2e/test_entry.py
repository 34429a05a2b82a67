"""Bare players, without our SDK, given nothing but the entry URL: they follow the redirect and stay in the session."""

import json
import time
from pathlib import Path

import pytest
from aiohttp import web
from playwright.sync_api import Browser

from relay.demo.clip import Clip
from relay.demo.origin import create_origin
from tests.e2e.browser import open_page, until
from tests.e2e.local import NODE_MODULES, Server, configure
from tests.relay_process import relay_process

TOKEN_TTL_S = 4
PLAY_S = 14
ROTATION = '{ interval = "10m", pre_delivery = "30s" }'

DIST = {
    "shaka": "shaka-player/dist/shaka-player.compiled.js",
    "hls": "hls.js/dist/hls.min.js",
    "dash": "dashjs/dist/modern/umd/dash.all.min.js",
}
START = {
    "shaka": "const p = new shaka.Player(); await p.attach(v); await p.load(entry); await v.play();",
    "hls": """const p = new Hls({emeEnabled: true, drmSystems: {'org.w3.clearkey': {licenseUrl: licence}}});
              p.loadSource(entry); p.attachMedia(v); await v.play();""",
    "dash": "const p = dashjs.MediaPlayer().create(); p.initialize(v, entry, true);",
}


def bare_page(player: str, urls: dict[str, str]) -> web.Application:
    """A page that builds one player as its own documentation does."""
    html = f"""<!doctype html><video muted></video><script src="/player.js"></script>
    <script>(async () => {{ const v = document.querySelector('video'), {{entry, licence}} = {json.dumps(urls)};
    {START[player]} }})()</script>"""

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    async def script(_: web.Request) -> web.FileResponse:
        return web.FileResponse(NODE_MODULES / DIST[player])

    app = web.Application()
    app.router.add_get("/", index)
    app.router.add_get("/player.js", script)
    return app


@pytest.mark.parametrize("scheme", ["cenc", "cbcs"])
@pytest.mark.parametrize(("player", "index"), [("shaka", "mpd"), ("hls", "m3u8"), ("dash", "mpd")])
def test_a_session_outlives_its_token(
    browser: Browser, clip: Clip, server: Server, tmp_path: Path, player: str, index: str, scheme: str
) -> None:
    configure(tmp_path, server.start(create_origin(clip, time.time)), ROTATION)
    with relay_process(tmp_path) as relay, open_page(browser) as page:
        token = relay.token(exp=int(time.time()) + TOKEN_TTL_S)
        urls = {
            "entry": f"{relay.edge}/watch/demo/index.{index}?scheme={scheme}&token={token}",
            "licence": f"{relay.edge}/api/v1/drm/license?stream_id=demo&token={token}",
        }
        asked: list[str] = []
        failed: list[str] = []
        page.on("response", lambda answer: asked.append(answer.url))
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        page.goto(server.start(bare_page(player, urls)))
        until(page, "document.querySelector('video').currentTime > 0 && !document.querySelector('video').paused", 15)
        start = float(page.evaluate("document.querySelector('video').currentTime"))
        # Shaka and dash.js start a live stream by jumping to its edge.
        until(page, f"document.querySelector('video').currentTime > {start + PLAY_S}", PLAY_S + 15)
        assert [url for url in failed if "favicon" not in url] == []
        entries = [url for url in asked if "/watch/" in url]
        assert len(entries) == 1, "a refresh went back to the entry, whose token has expired"
        refreshes = [url for url in asked if f"/index.{index}" in url or "/m/" in url]
        assert len(refreshes) >= 3
