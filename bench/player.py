"""A player in Chromium on node B, revoked through node A: how long until the last byte, and until the picture stops.

Each run is a session of its own, revoked in the middle of a segment that fills a line of 16 Mbit/s. Times are from
the call sent to node A, and include the HTTP connection it needs; the picture is stopped by the player SDK.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from relay.demo.clip import build_clip
from relay.demo.command import CLIP_FOLDER
from tests.e2e.browser import open_browser, open_page
from tests.e2e.demo_page import play
from tests.e2e.link import Link
from tests.e2e.local import Server
from tests.e2e.network import Network
from tests.e2e.nodes import RATE, Stopped, live_nodes, page_for, stop

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
        browser = stack.enter_context(open_browser())
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
            _report(f"{player}/{form}", found)


def _report(name: str, found: list[Stopped]) -> None:
    print(f"{name} on node B, revoked through node A, {len(found)} runs")
    for step, label in STEPS.items():
        times = [getattr(stopped, step) for stopped in found]
        print(f"  {label:28} p50 {median(times):7.1f}  max {max(times):7.1f} ms")


if __name__ == "__main__":
    main()
