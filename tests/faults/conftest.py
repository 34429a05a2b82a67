"""One site for all fault tests: starting it takes longer than most of them."""

from collections.abc import Iterator

import pytest

from tests.faults.site import Site, running_site


@pytest.fixture(scope="session")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three nodes with right clocks."""
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """The site, whole again after each test."""
    yield shared_site
    shared_site.mend()
