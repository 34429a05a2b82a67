"""Scores of segments: null statistics, sign and size under the mark, and what must not disturb them."""

import cv2
import numpy as np
import pytest

from relay.watermark.picture.grid import Chips, Grid, chips
from relay.watermark.picture.mark import Marker, variant_of, window
from relay.watermark.picture.planes import BytePlane, Plane, shrunk
from relay.watermark.score import evidence, score, scored_frames, unexplained

KEY = bytes(range(32))
GRID = Grid(36, 64)
N = 50


def scene(k: int) -> BytePlane:
    """A textured picture that moves: smooth shapes with detail over half of it."""
    rng = np.random.default_rng(11)
    shapes = cv2.GaussianBlur(rng.uniform(0, 255, (400, 800)).astype(np.float32), (0, 0), 25)
    shapes = (shapes - shapes.mean()) * 14 + 120
    shapes[:, 400:] += cv2.GaussianBlur(rng.normal(0, 40, (400, 400)).astype(np.float32), (0, 0), 1.5)
    return np.asarray(np.clip(shapes[10:370, k : k + 640], 16, 235), np.uint8)


def gathered(variant: int, copy_of: object = None, gain: float = 0.45, position: int = 3, noise: float = 2.0) -> Plane:
    """The evidence of a segment whose copy is noisy and toned: variant 0 (a), 1 (b), or None of both (-1)."""
    marker = Marker(chips(KEY, "film", position, 36, 64), 640, 360)
    rng = np.random.default_rng(position)
    total = np.zeros((36, 64), np.float32)
    for k in scored_frames(N):
        picture = scene(k)
        shown = picture if variant < 0 else variant_of(picture, marker.offset(picture, k, N, gain), variant)
        leak = shrunk(shown, 480, 270) * 0.8 + 20 + rng.normal(0, noise, (270, 480)).astype(np.float32)
        if callable(copy_of):
            leak = copy_of(leak)
        original = shrunk(picture, 480, 270)
        total += evidence(unexplained(original, leak), original, window(k, N), GRID)
    return total


def pattern(position: int, key: bytes = KEY) -> Chips:
    return chips(key, "film", position, 36, 64)


def test_a_is_above_zero_and_b_below_alike() -> None:
    a, b = score(pattern(3), gathered(0)), score(pattern(3), gathered(1))
    assert a > 20
    assert b < -20
    assert abs(a + b) < 6


def test_without_a_mark_the_score_is_standard_normal() -> None:
    plain = gathered(-1)
    scores = np.array([score(pattern(position), plain) for position in range(400)])
    assert scores.std() == pytest.approx(1, abs=0.12)
    assert abs(scores.mean()) < 0.2
    assert np.abs(scores).max() < 4.5


def test_under_a_wrong_key_a_marked_copy_scores_as_if_it_were_not() -> None:
    marked = gathered(0)
    scores = np.array([score(pattern(position, KEY[::-1]), marked) for position in range(400)])
    assert scores.std() == pytest.approx(1, abs=0.12)
    assert np.abs(scores).max() < 4.5


def test_the_mean_of_both_variants_says_nothing() -> None:
    marker = Marker(pattern(3), 640, 360)
    rng = np.random.default_rng(1)
    total = np.zeros((36, 64), np.float32)
    for k in scored_frames(N):
        picture = scene(k)
        offset = marker.offset(picture, k, N, 0.45)
        a, b = (variant_of(picture, offset, variant) for variant in range(2))
        leak = np.asarray((shrunk(a, 480, 270) + shrunk(b, 480, 270)) / 2 + rng.normal(0, 2, (270, 480)), np.float32)
        original = shrunk(picture, 480, 270)
        total += evidence(unexplained(original, leak), original, window(k, N), GRID)
    assert abs(score(pattern(3), total)) < 4


def dim_at_the_rim(leak: Plane) -> Plane:
    y, x = np.mgrid[-1:1:270j, -1:1:480j]
    return np.asarray(leak * (1 - 0.25 * (x * x + y * y)), np.float32)


def moved(leak: Plane) -> Plane:
    return cv2.warpAffine(
        leak, np.array([[1.001, 0.001, 0.3], [-0.001, 1.001, -0.4]]), (480, 270), borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float32)


def gamma(leak: Plane) -> Plane:
    return (255 * (np.clip(leak, 0, 255) / 255) ** 1.4).astype(np.float32)


def captioned(leak: Plane) -> Plane:
    letters = np.zeros(leak.shape, np.uint8)
    cv2.putText(letters, "SUBTITLES THAT WERE ADDED", (20, 240), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (235,), 2)
    return np.asarray(np.where(letters > 0, 235, leak), np.float32)


@pytest.mark.parametrize("nuisance", [dim_at_the_rim, moved, gamma, captioned])
def test_nuisances_are_explained_away(nuisance: object) -> None:
    assert score(pattern(3), gathered(0, nuisance)) > 15


def test_what_was_cropped_away_is_left_out() -> None:
    marker, inside = Marker(pattern(3), 640, 360), np.ones((270, 480), np.bool_)
    inside[:, :120] = False
    total = np.zeros((36, 64), np.float32)
    for k in scored_frames(N):
        picture = scene(k)
        leak = shrunk(variant_of(picture, marker.offset(picture, k, N, 0.45), 1), 480, 270)
        leak[~inside] = 0
        original = shrunk(picture, 480, 270)
        found = evidence(unexplained(original, leak, inside), original, window(k, N), GRID, inside)
        assert not found[:, :16].any()
        total += found
    assert score(pattern(3), total) < -15


def test_nothing_in_common_is_said_to_be_too_little() -> None:
    plane = np.zeros((270, 480), np.float32)
    with pytest.raises(ValueError, match="0 pixels in common"):
        unexplained(plane, plane, np.zeros((270, 480), np.bool_))


def test_a_black_segment_scores_near_zero() -> None:
    black = np.full((270, 480), 16, np.float32)
    total = evidence(unexplained(black, black.copy()), black, 1.0, GRID)
    assert abs(score(pattern(3), total)) < 4


@pytest.mark.parametrize(
    ("n", "frames"), [(50, [2, 11, 20, 29, 38, 47][:6]), (5, [2]), (4, [1, 2]), (1, [0]), (2, [0, 1])]
)
def test_scored_frames_keep_off_the_ends(n: int, frames: list[int]) -> None:
    assert scored_frames(n) == frames
