import numpy as np
import pytest

from relay.watermark.analyse.activity import COLUMNS, RATE, ROWS, curve
from relay.watermark.analyse.search import SPEEDS, candidates

FPS = 25


def thumbs(seconds: float, seed: int = 6) -> np.ndarray:
    """Blobs that move at a pace of their own every half second, as scenes do."""
    noise = np.random.default_rng(seed)
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    places, frames = noise.uniform(0, 1, (5, 2)) * (COLUMNS, ROWS), []
    for k in range(round(seconds * FPS)):
        if k % 12 == 0:
            speeds = noise.normal(0, noise.choice([0.02, 0.3, 1.5]), (5, 2))
        places = (places + speeds) % (COLUMNS, ROWS)
        frames.append(sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / 12) for px, py in places))
    return np.asarray(np.clip(np.stack(frames) * 120 + 40, 0, 255), np.uint8)


@pytest.fixture(scope="module")
def title() -> np.ndarray:
    return thumbs(60)


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_passage_is_found_at_its_place_and_speed(title: np.ndarray, speed: float) -> None:
    whole = curve(title, np.arange(len(title)) / FPS, np.arange(0, 60, 1 / RATE))
    other = curve(thumbs(60, seed=7), np.arange(len(title)) / FPS, np.arange(0, 60, 1 / RATE))
    passage = 255 - title[500:1000, :, ::-1] // 2  # negative, paler, mirrored
    best = candidates(passage, np.arange(500) / FPS / speed, 0.0, 20 / speed, [other, whole], SPEEDS)[0]
    assert best.asset == 1
    assert best.speed == speed
    assert best.start_s == pytest.approx(20.0, abs=0.2)
    assert best.agreement > 0.8


def test_a_passage_of_another_film_hardly_agrees(title: np.ndarray) -> None:
    whole = curve(title, np.arange(len(title)) / FPS, np.arange(0, 60, 1 / RATE))
    found = candidates(thumbs(20, seed=8), np.arange(500) / FPS, 0.0, 20.0, [whole], SPEEDS)
    assert all(one.agreement < 0.6 for one in found)
