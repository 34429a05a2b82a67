"""A headless Chromium of this machine, driven through Playwright."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


def executable() -> Path:
    """Where Chromium is. Without one the tests fail where they count (CI); elsewhere they are skipped, loudly."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return Path(found)
    reason = "NO BROWSER: the players were not tested. Install chromium (Debian: apt-get install chromium)."
    if os.environ.get("CI") == "true" or os.environ.get("SEGMENTGATE_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser with a profile of its own, closed at the end."""
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Browser) -> Iterator[Page]:
    """A page in a fresh context. An uncaught error on it fails the test."""
    errors: list[str] = []
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def until(page: Page, condition: str, timeout_s: float) -> None:
    """Wait for a JavaScript expression to hold.

    Playwright's own ``wait_for_function`` needs ``eval``, which the content security policy of our page forbids.
    """
    end = time.monotonic() + timeout_s
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < end, f"still not so after {timeout_s} s: {condition}"
        page.wait_for_timeout(50)
