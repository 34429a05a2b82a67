import pytest

from relay.demo.clip import Clip, build_clip
from relay.demo.command import CLIP_FOLDER


@pytest.fixture(scope="session")
def clip() -> Clip:
    """The demo's clip, encoded once for all runs."""
    return build_clip(CLIP_FOLDER)
