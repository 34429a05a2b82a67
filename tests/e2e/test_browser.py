"""A machine without a browser must not look like one on which the players work."""

import shutil

import pytest

from tests.e2e import browser


def none_found(_: str) -> None:
    return None


def test_ci_without_a_browser_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", none_found)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="NO BROWSER"):
        browser.executable()


def test_elsewhere_it_is_a_skip_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", none_found)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("SEGMENTGATE_REQUIRE_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="NO BROWSER"):
        browser.executable()
