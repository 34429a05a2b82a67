"""Real players in a real browser, over key boundaries and into a revocation."""

import sys

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.browser import open_page, until
from tests.e2e.demo_page import cross, play, seen

PAIRS = [
    ("shaka", "dash"),
    ("shaka", "hls"),
    ("hls", "hls"),
    ("dash", "dash"),
]
PLAIN_PAIRS = [("shaka", "hls_aes128"), ("hls", "hls_aes128")]
"""HLS AES-128: players ask for each period's key themselves, as they have no CDM to be fed."""

BOUNDARIES = 2


def stop(page: Page, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Press the button; the picture must stop and the session must be worth nothing."""
    page.click("#revoke")
    until(page, "window.__demo.stoppedAt !== null", 10)
    state = seen(page)
    picture_ms = state["stoppedAt"] - state["revokedAt"]
    answer_ms = state["acknowledgedAt"] - state["revokedAt"]
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: picture stopped {picture_ms:.0f} ms after the click, answer {answer_ms:.0f} ms\n")
    assert picture_ms < 1000
    assert state["state"] == "revoked"
    assert page.evaluate("document.querySelector('video').paused")
    status, reason = page.evaluate(
        "fetch(window.__demo.manifestUrl).then(a => [a.status, a.headers.get('Relay-Reason')])"
    )
    assert (status, reason) == (403, "revoked")


@pytest.mark.parametrize(("player", "format_"), PAIRS)
def test_keys_change_unnoticed_and_revoking_stops_the_picture(
    browser: Browser, demo: dict[str, str], player: str, format_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_page(browser) as page:
        play(page, demo["page"], player, format_)
        state = cross(page, BOUNDARIES)
        assert state["stalls"] == 0
        assert state["failures"] == []
        assert state["licenceRequests"] >= 1
        assert state["licencesAfterStart"] == 0
        stop(page, capsys, f"{player}/{format_}")


@pytest.mark.parametrize(("player", "format_"), PLAIN_PAIRS)
def test_plain_players_cross_boundaries(
    browser: Browser, demo: dict[str, str], player: str, format_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_page(browser) as page:
        play(page, demo["page"], player, format_)
        state = cross(page, BOUNDARIES)
        assert state["stalls"] == 0
        assert state["failures"] == []
        stop(page, capsys, f"{player}/{format_}")
