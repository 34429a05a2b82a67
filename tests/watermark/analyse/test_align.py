import cv2
import numpy as np
import pytest

from relay.watermark.analyse.align import Copy, Original, refined
from relay.watermark.analyse.bend import bent
from relay.watermark.analyse.features import Finder
from relay.watermark.analyse.warp import Warp
from relay.watermark.picture.planes import BytePlane
from tests.watermark.analyse import film

SHAPE = (270, 480)
SEEN = np.array([[0.9, 0.04, 20.0], [-0.03, 0.92, 14.0], [5e-5, -8e-5, 1.0]])


@pytest.fixture(scope="module")
def original() -> BytePlane:
    return np.asarray(cv2.resize(next(film.scenes(3, 1)), SHAPE[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def seen_through(original: BytePlane, homography: np.ndarray) -> BytePlane:
    """What a camera records: darker, of less contrast, elsewhere."""
    moved = cv2.warpPerspective(original, homography, SHAPE[::-1], flags=cv2.INTER_CUBIC)
    return np.clip(20 + 0.7 * moved.astype(float), 0, 255).astype(np.uint8)


def test_features_find_the_picture_from_nothing(original: BytePlane) -> None:
    finder = Finder()
    pair = (finder.features(original), finder.features(seen_through(original, SEEN)))
    found = finder.homography([pair], SHAPE, SHAPE, False, 3.0)
    assert found is not None
    assert found.warp.corners() == pytest.approx(Warp(SEEN, SHAPE, SHAPE).corners(), abs=1.5)


def test_a_mirrored_copy_is_not_taken_for_a_plain_one(original: BytePlane) -> None:
    finder = Finder()
    pair = (finder.features(original), finder.features(np.ascontiguousarray(original[:, ::-1])))
    assert finder.homography([pair], SHAPE, SHAPE, False, 3.0) is None


def test_a_small_move_is_followed_to_a_fraction_of_a_pixel(original: BytePlane) -> None:
    copy = Copy(seen_through(original, SEEN))
    start = Warp(SEEN @ np.array([[1.01, 0, -4.0], [0.005, 1, 3.0], [0, 0, 1]]), SHAPE, SHAPE)
    prepared = Original(original)
    moved = refined(prepared, copy, refined(prepared, copy, start, level=1, rounds=6), level=0, rounds=4)
    assert moved.corners() == pytest.approx(Warp(SEEN, SHAPE, SHAPE).corners(), abs=0.3)
    assert copy.agreement(prepared, moved) > 0.9
    assert copy.agreement(prepared, start) < 0.5


def test_different_pictures_do_not_agree(original: BytePlane) -> None:
    other = cv2.resize(next(film.scenes(4, 1)), SHAPE[::-1], interpolation=cv2.INTER_AREA)
    straight = Warp(np.eye(3), SHAPE, SHAPE)
    assert abs(Copy(np.asarray(other, np.uint8)).agreement(Original(original), straight)) < 0.1


def test_the_bend_of_a_lens_is_found(original: BytePlane) -> None:
    rows, columns = SHAPE
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    right, down = (x - 239.5) / 240, (y - 134.5) / 240
    radius = right**2 + down**2
    # The copy at (x, y) shows what a straight lens would show further out.
    further = (x + 240 * right * 0.02 * radius, y + 240 * down * 0.02 * radius)
    copy = np.asarray(cv2.remap(original, *further, cv2.INTER_CUBIC), np.uint8)
    straight = Warp(np.eye(3), SHAPE, SHAPE)
    found = bent(straight, [(original, copy, straight)])
    over, inside = found.laid_over(copy)
    before, _ = straight.laid_over(copy)
    inner = np.s_[15:-15, 15:-15]
    assert inside[inner].all()
    assert np.abs(over - original)[inner].mean() < 0.5 * np.abs(before - original)[inner].mean()
