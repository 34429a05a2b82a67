"""Real players whose event channel does not come through: the next keys travel sealed in what they load anyway."""

import re

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.e2e.browser import open_page, until
from tests.e2e.demo_page import cross, play, seen

BOUNDARIES = 2
HEADER = "segmentgate-next-keys"


class Blocked:
    """Lets a page's channel and, after the first, its requests for keys fail; notes who brings next keys."""

    def __init__(self, page: Page) -> None:
        self.asked: list[str] = []
        self.sealed: list[str] = []
        page.route(re.compile(r"/p/.*/(events|keys)(\?.*)?$"), self._stop)
        page.on("response", lambda answer: self.sealed.append(answer.headers.get(HEADER, "")))

    def _stop(self, route: Route) -> None:
        name = re.sub(r".*/(events|keys).*", r"\1", route.request.url)
        self.asked.append(name)
        # The first answer brings the key that opens the others.
        route.continue_() if self.asked.count("keys") == 1 and name == "keys" else route.abort()


@pytest.mark.parametrize(("player", "format_"), [("shaka", "dash"), ("shaka", "hls"), ("hls", "hls"), ("dash", "dash")])
def test_sealed_headers_alone_carry_a_player_over_key_changes(
    browser: Browser, demo: dict[str, str], player: str, format_: str
) -> None:
    with open_page(browser) as page:
        blocked = Blocked(page)
        play(page, demo["page"], player, format_)
        until(page, "window.__demo.guard.kids.length", 10)
        kids = page.evaluate("window.__demo.guard.kids")
        state = cross(page, BOUNDARIES)
        assert state["stalls"] == 0
        assert state["licencesAfterStart"] == 0
        assert blocked.asked.count("events") >= 1
        gained = set(page.evaluate("window.__demo.guard.kids")) - set(kids)
        assert len(gained) >= BOUNDARIES
        page.wait_for_timeout(500)
        assert len({text for text in blocked.sealed if text}) >= BOUNDARIES
        assert seen(page)["error"] is None
