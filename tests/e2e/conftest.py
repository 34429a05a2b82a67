from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.browser import open_browser
from tests.e2e.demo import running_demo


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def demo(browser: Browser) -> Iterator[dict[str, str]]:
    """The running demo; the browser is asked for first, so that nothing is started in vain without one."""
    with running_demo() as urls:
        yield urls
