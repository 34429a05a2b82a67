"""Bare players, without our SDK, given nothing but the entry URL: they follow the redirect and stay in the session."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from relay.demo.clip import Clip
from relay.demo.origin import create_origin
from tests.e2e.bare import bare_page, watch
from tests.e2e.browser import open_page
from tests.e2e.local import Server, configure
from tests.relay_process import relay_process

TOKEN_TTL_S = 4
PLAY_S = 14
ROTATION = '{ interval = "10m", pre_delivery = "30s" }'


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
        watch(page, PLAY_S)
        assert [url for url in failed if "favicon" not in url] == []
        entries = [url for url in asked if "/watch/" in url]
        assert len(entries) == 1, "a refresh went back to the entry, whose token has expired"
        refreshes = [url for url in asked if f"/index.{index}" in url or "/m/" in url]
        assert len(refreshes) >= 3
