"""The demo page as a test uses it: by its buttons and its counters."""

from typing import Any

from playwright.sync_api import Page

from tests.e2e.browser import until
from tests.e2e.demo import ROTATION_S


def seen(page: Page) -> dict[str, Any]:
    """The counters of the demo page."""
    state: dict[str, Any] = page.evaluate("({...window.__demo, session: null, guard: null})")
    return state


def play(page: Page, url: str, player: str, format_: str) -> None:
    page.goto(f"{url}?player={player}&format={format_}")
    until(page, "window.__demo?.started || window.__demo?.error", 30)
    assert seen(page)["error"] is None, seen(page)["error"]


def cross(page: Page, boundaries: int) -> dict[str, Any]:
    """Play until the picture has passed so many more key changes and shown a second of the last period."""
    goal = seen(page)["boundaries"] + boundaries
    until(
        page, f"window.__demo.boundaries >= {goal} || window.__demo.state !== 'playing'", (boundaries + 2) * ROTATION_S
    )
    position = seen(page)["currentTime"]
    until(page, f"window.__demo.currentTime > {position + 1}", 10)
    return seen(page)
