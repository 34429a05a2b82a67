"""One film and what one session received of it, made once: encoding is what takes the time."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

from relay.watermark.analyse.asset import Asset, read_asset
from relay.watermark.picture.planes import BytePlane
from tests.watermark.analyse import film

BITS = [0, 1, 1, 0]


@dataclass(frozen=True)
class Film:
    """An asset, another one, and copies of the first."""

    asset: Asset
    other: Asset
    received: Path
    unmarked: Path
    frames: list[BytePlane]
    """Of the received copy, before it was encoded."""
    bits: list[int]

    def passage(self, first: int, end: int) -> list[BytePlane]:
        """The frames of some positions."""
        return self.frames[first * film.FRAMES : end * film.FRAMES]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def film_of_four(tmp_path_factory: pytest.TempPathFactory) -> Film:
    folder = tmp_path_factory.mktemp("film")
    film.write_asset(folder / "film", "film", seed=1, segments=len(BITS))
    film.write_asset(folder / "other", "other", seed=2, segments=len(BITS))
    frames = list(film.marked(film.scenes(1, len(BITS)), "film", BITS))
    film.write(folder / "received.mp4", frames)
    film.write(folder / "unmarked.mp4", film.scenes(1, len(BITS)))
    asset, other = read_asset(folder / "film"), read_asset(folder / "other")
    return Film(asset, other, folder / "received.mp4", folder / "unmarked.mp4", frames, BITS)
