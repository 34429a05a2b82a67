"""A player in Chromium on node B, revoked through node A: how long until the last byte, and until the picture stops.

Each run is a session of its own, revoked in the middle of a segment that fills a line of 16 Mbit/s. Times are from
the call sent to node A, and include the HTTP connection it needs. The picture is stopped by the player SDK; a player
without it shows what is in its buffer.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import pytest

from relay.demo.clip import build_clip
from relay.demo.command import CLIP_FOLDER
from tests.e2e.bare import bare_page, watch
from tests.e2e.browser import open_browser, open_page
from tests.e2e.demo_page import play
from tests.e2e.link import Link
from tests.e2e.local import Server
from tests.e2e.network import Network
from tests.e2e.nodes import RATE, live_nodes, page_for, revoke_in_mid_segment, stop

PAIRS = [("shaka", "dash"), ("hls", "hls"), ("dash", "dash")]
STEPS = {
    "answered_ms": "the call answered",
    "last_byte_ms": "last byte of media or keys",
    "picture_ms": "picture stopped",
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    runs = options.parse_args().runs
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(open_browser())
        except pytest.skip.Exception as reason:
            print(reason)
            return
        server = Server()
        stack.callback(server.stop)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        nodes = live_nodes(Path(folder), build_clip(CLIP_FOLDER), server, 2)
        a, b = stack.enter_context(nodes)
        for player, form in PAIRS:
            found = []
            for run in range(runs):
                sid = f"{player}-{form}-{run}"
                with Link(server, b.edge, RATE) as link, open_page(browser) as page:
                    network = Network(page, link.url)
                    play(page, page_for(server, link.url, a.token(sid=sid, sub=sid)), player, form)
                    found.append(stop(page, network, a, sid))
            print(f"{player}/{form} with the SDK on node B, revoked through node A, {runs} runs")
            for step, label in STEPS.items():
                _report(label, [getattr(stopped, step) for stopped in found])
        last_bytes = []
        for run in range(runs):
            sid = f"bare-{run}"
            with Link(server, b.edge, RATE) as link, open_page(browser) as page:
                network, token = Network(page, link.url), a.token(sid=sid, sub=sid)
                entry = f"{link.url}/watch/demo/index.mpd?token={token}"
                licence = f"{link.url}/api/v1/drm/license?stream_id=demo&token={token}"
                page.goto(server.start(bare_page("shaka", {"entry": entry, "licence": licence})))
                watch(page, 1)
                call = revoke_in_mid_segment(page, network, a, sid)
                last_bytes.append(1000 * (network.last_byte_at - call.sent))
        print(f"shaka/dash without the SDK on node B, revoked through node A, {runs} runs")
        _report(STEPS["last_byte_ms"], last_bytes)


def _report(label: str, times: list[float]) -> None:
    print(f"  {label:28} p50 {median(times):7.1f}  max {max(times):7.1f} ms")


if __name__ == "__main__":
    main()
