from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from relay.demo.clip import Clip, build_clip
from relay.demo.command import CLIP_FOLDER
from tests.e2e.browser import open_browser
from tests.e2e.demo import running_demo
from tests.e2e.local import Server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a module. Playwright keeps an event loop running in this thread as long as it lives,
    so it must be gone before the asynchronous tests of other modules."""
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def demo(browser: Browser) -> Iterator[dict[str, str]]:
    """The running demo; the browser is asked for first, so that nothing is started in vain without one."""
    with running_demo() as urls:
        yield urls


@pytest.fixture(scope="module")
def clip() -> Clip:
    """The demo's clip, encoded once for all runs."""
    return build_clip(CLIP_FOLDER)


@pytest.fixture
def server() -> Iterator[Server]:
    """Serves applications beside the browser."""
    made = Server()
    yield made
    made.stop()
