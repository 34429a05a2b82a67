"""Bare players over key changes that the manifests show: each asks for the keys of new periods by itself."""

import re
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

ROTATION = '{ interval = "8s", pre_delivery = "4s" }'
WATCH_S = 14
"""Crosses one boundary at least, and reaches a period whose key was not released at the start: 4 s + 8 s at most."""

KEY_REQUEST = re.compile(r"/api/v1/drm/license\?|/k/[^/]*\.key")
INIT_SEGMENT = re.compile(r"/i/hd\.1\.(\d+)/")

CASES = [
    ("shaka", "mpd", "scheme=cenc"),
    ("shaka", "m3u8", "scheme=cenc"),
    # Shaka knows no KEYFORMAT org.w3.clearkey, and hls.js does not bear cbcs under identity beside it.
    ("shaka", "m3u8", "scheme=cbcs&systems=identity"),
    ("hls", "m3u8", "scheme=cenc"),
    ("hls", "m3u8", "scheme=cbcs"),
    ("dash", "mpd", "scheme=cenc"),
]


@pytest.mark.parametrize(("player", "index", "query"), CASES)
def test_bare_players_ask_for_new_keys_in_time(
    browser: Browser, clip: Clip, server: Server, tmp_path: Path, player: str, index: str, query: str
) -> None:
    configure(tmp_path, server.start(create_origin(clip, time.time)), ROTATION)
    with relay_process(tmp_path) as relay, open_page(browser) as page:
        token = relay.token()
        urls = {
            "entry": f"{relay.edge}/watch/demo/index.{index}?signalling=period&{query}&token={token}",
            "licence": f"{relay.edge}/api/v1/drm/license?stream_id=demo&token={token}",
        }
        asked: list[str] = []
        failed: list[str] = []
        page.on("response", lambda answer: asked.append(answer.url))
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        page.goto(server.start(bare_page(player, urls)))
        took_s = watch(page, WATCH_S)
        assert page.evaluate("errors") == []
        assert [url for url in failed if "favicon" not in url] == []
        assert took_s < WATCH_S + 1, "the picture stood still"
        assert len({found[1] for url in asked if (found := INIT_SEGMENT.search(url))}) >= 2
        first_segment = next(at for at, url in enumerate(asked) if ".m4s" in url)
        assert any(KEY_REQUEST.search(url) for url in asked[first_segment:]), "no key was asked for on the way"
