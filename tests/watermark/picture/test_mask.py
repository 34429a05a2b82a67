"""The mask: its values worked out by hand where a picture allows it."""

import numpy as np
import pytest

from relay.watermark.picture.mask import mask_of


@pytest.mark.parametrize(
    ("level", "share"), [(0, 0.6), (16, 0.6), (28, 0.7), (40, 0.8), (55, 0.9), (70, 1.0), (200, 1.0), (235, 0.85)]
)
def test_a_flat_picture_is_masked_by_its_level_alone(level: int, share: float) -> None:
    found = mask_of(np.full((180, 320), level, np.uint8), 640, 360)
    assert found.shape == (360, 640)
    np.testing.assert_allclose(found, share, atol=1e-4)


def test_texture_takes_more_and_no_more_than_three() -> None:
    # A chessboard of single pixels, 100 and 140: deviation 20 about a mean of 120.
    board = np.where(np.indices((180, 320)).sum(axis=0) % 2, 140, 100).astype(np.uint8)
    found = mask_of(board, 320, 180)
    assert found.max() == pytest.approx(3.0)
    gentle = np.where(np.indices((180, 320)).sum(axis=0) % 2, 125, 115).astype(np.uint8)
    np.testing.assert_allclose(mask_of(gentle, 320, 180)[20:-20, 20:-20], 1 + 0.12 * 5, atol=0.02)


def test_a_smooth_zone_beside_an_edge_stays_smooth() -> None:
    picture = np.full((180, 320), 80, np.uint8)
    picture[:, 160:] = 180
    found = mask_of(picture, 320, 180)
    # Beyond the reach of the 9x9 deviation, less that of the 5x5 minimum, plus that of the 7x7 mean.
    assert np.all(found[:, : 160 - 5] < 1.001)
    assert found[:, 158:162].min() > 1.0


def test_renditions_of_a_picture_have_the_same_mask() -> None:
    rng = np.random.default_rng(5)
    large = np.kron(rng.integers(60, 200, (18, 32)), np.ones((40, 40))).astype(np.uint8)
    small = large[::2, ::2]
    np.testing.assert_allclose(mask_of(large, 320, 180), mask_of(small, 320, 180), atol=0.15)
