"""The mark in a picture: its formula, its window, its size, and that both variants mirror each other."""

import numpy as np

from relay.watermark.picture.grid import chips
from relay.watermark.picture.mark import Marker, carrier, variant_of, window

CHIPS = chips(bytes(range(32)), "film", 3, 36, 64)
PICTURE = np.full((360, 640), 120, np.uint8)


def test_the_window_opens_and_closes_over_five_frames() -> None:
    assert [window(k, 50) for k in (0, 1, 3, 4, 25, 45, 46, 49)] == [0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 0.8, 0.2]
    assert [window(k, 3) for k in range(3)] == [0.2, 0.4, 0.2]


def test_the_carrier_has_the_sign_of_its_chip_in_the_middle_of_each_cell() -> None:
    found = carrier(CHIPS, 640, 360)
    assert found.shape == (360, 640)
    assert np.array_equal(np.sign(found[5::10, 5::10]), CHIPS)
    assert np.abs(np.diff(found, axis=0)).max() < 0.5


def test_the_offset_is_its_formula_on_average() -> None:
    # The mean over many frames takes the dither out: G * M * P is left, and the mask of this grey is 1.
    marker = Marker(CHIPS, 640, 360)
    mean = np.mean([marker.offset(PICTURE, k, 260, 0.45) for k in range(5, 255)], axis=0)
    np.testing.assert_allclose(mean, 0.45 * carrier(CHIPS, 640, 360), atol=0.15)
    assert np.abs(mean - 0.45 * carrier(CHIPS, 640, 360)).mean() < 0.03


def test_an_offset_is_the_same_every_time() -> None:
    one, other = (Marker(CHIPS, 640, 360).offset(PICTURE, 9, 50, 0.45) for _ in range(2))
    assert np.array_equal(one, other)
    assert one[:2, :12].tolist() == [[0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0]]


def test_variants_are_the_picture_plus_and_minus_the_same_offset() -> None:
    rng = np.random.default_rng(2)
    picture = rng.integers(20, 230, (360, 640), dtype=np.uint8)
    marker = Marker(CHIPS, 640, 360)
    offset = marker.offset(picture, 20, 50, 0.7)
    a, b = (variant_of(picture, offset, variant) for variant in range(2))
    assert a.dtype == b.dtype == np.uint8
    assert np.array_equal(a.astype(int), picture.astype(int) + offset)
    assert np.array_equal(b.astype(int), picture.astype(int) - offset)
    assert 0 < np.abs(offset).max() <= 4


def test_variants_stay_in_the_range_of_the_codec() -> None:
    rng = np.random.default_rng(3)
    picture = rng.choice(np.array([0, 255], np.uint8), (360, 640))
    offset = Marker(CHIPS, 640, 360).offset(picture, 20, 50, 0.8)
    assert 2 < np.abs(offset).max() <= 5
    for variant in range(2):
        wanted = np.clip(picture.astype(int) + (1 - 2 * variant) * offset.astype(int), 0, 255)
        assert np.array_equal(variant_of(picture, offset, variant), wanted)


def test_flat_material_changes_by_one_code_value_at_most() -> None:
    assert np.abs(Marker(CHIPS, 640, 360).offset(PICTURE, 20, 50, 0.45)).max() == 1
