"""Players on one of several nodes: revoked through another, and while another dies."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from relay.demo.clip import Clip
from tests.cluster import wait_ready
from tests.e2e.browser import open_page, until
from tests.e2e.demo_page import play, seen
from tests.e2e.link import Link
from tests.e2e.local import Server
from tests.e2e.network import Network
from tests.e2e.nodes import RATE, ask, cut, live_nodes, page_for, revoke, stop

BOUND_MS = 1000
"""Much: this machine may be busy. What is usual is in the output, and in bench/player.py."""


@pytest.mark.parametrize(("player", "form"), [("shaka", "dash"), ("hls", "hls")])
def test_a_player_on_node_b_is_stopped_through_node_a(
    browser: Browser,
    clip: Clip,
    server: Server,
    tmp_path: Path,
    player: str,
    form: str,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    with ExitStack() as stack:
        a, b = stack.enter_context(live_nodes(tmp_path, clip, server, 2))
        link = stack.enter_context(Link(server, b.edge, RATE))
        page, other = (stack.enter_context(open_page(browser)) for _ in range(2))
        network = Network(page, link.url)
        token = a.token(sid="gone", sub="gone")
        other.goto(f"{page_for(server, b.edge, a.token(sid='kept', sub='kept'))}?player={player}&format={form}")
        play(page, page_for(server, link.url, token), player, form)
        until(other, "window.__demo.started", 10)
        before = seen(other)

        stopped = stop(page, network, a, "gone")
        with capsys.disabled():
            sys.stdout.write(f"\n{player}/{form} on node b, revoked through node a: {stopped}\n")
        for name in ("answered_ms", "last_byte_ms", "picture_ms"):
            record_property(name, round(getattr(stopped, name), 1))
            assert getattr(stopped, name) < BOUND_MS, name
        assert (cut(a), cut(b) >= 2) == (0, True), "node b was to cut the segment and the channel"
        assert seen(page)["state"] == "revoked"
        assert page.evaluate("document.querySelector('video').paused")

        had = {(exchange.path, exchange.body) for exchange in network.served}
        had |= {(path.replace("/events", "/keys"), "") for path, _ in had if "/events" in path}
        for needed in ("/license", "/events", "/keys", ".m4s"):
            assert any(needed in path for path, _ in had), needed
        for node in (a, b):
            assert {ask(node.edge + path, body) for path, body in had} == {(403, "revoked")}
            assert ask(f"{node.edge}/watch/demo/index.mpd?token={token}") == (403, "revoked")

        after = seen(other)
        assert after["currentTime"] > before["currentTime"] + 1
        assert (after["state"], after["stalls"], after["failures"]) == ("playing", before["stalls"], [])


def test_a_player_does_not_notice_another_node_s_death(
    browser: Browser, clip: Clip, server: Server, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        a, b = stack.enter_context(live_nodes(tmp_path, clip, server, 2))
        page = stack.enter_context(open_page(browser))
        play(page, page_for(server, a.edge, a.token(sid="kept", sub="kept")), "shaka", "dash")
        entry = f"/watch/demo/index.mpd?token={a.token(sid='gone', sub='gone')}"
        assert ask(b.edge + entry) == (200, "")

        before = seen(page)
        b.kill()
        page.wait_for_timeout(1000)
        revoke(a, "gone")
        b.start_again()
        wait_ready(b)
        assert ask(b.edge + entry) == (403, "revoked")
        until(page, f"window.__demo.currentTime > {before['currentTime'] + 6}", 15)
        after = seen(page)
        assert (after["state"], after["stalls"], after["failures"]) == ("playing", before["stalls"], [])
        assert after["licencesAfterStart"] == 0
