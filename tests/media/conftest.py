"""Clips are encoded once for the whole run, when the first test asks for them."""

from collections.abc import Callable
from functools import cache, partial

import pytest

from tests.media.peers_for_tests import Clip, make_clip


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Clip]:
    return cache(partial(make_clip, folder=tmp_path_factory.mktemp("clips")))
