from pathlib import Path

import pytest

from relay.demo.clip import Clip, build_clip


@pytest.fixture(scope="session")
def clip_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def clip(clip_cache: Path) -> Clip:
    return build_clip(clip_cache)
