"""Grids and chips: golden values, because a pattern that changes loses every copy made before."""

import numpy as np
import pytest

from relay.watermark.picture.grid import Grid, chips, grid_of

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("width", "height", "columns"),
    [(1280, 720, 64), (854, 480, 64), (1920, 800, 86), (720, 540, 48), (608, 1080, 20), (1, 5000, 1)],
)
def test_a_grid_has_36_rows_and_nearly_square_cells(width: int, height: int, columns: int) -> None:
    assert grid_of(width, height) == Grid(36, columns)


def test_chips_are_those_of_the_golden_vector() -> None:
    # Made with hashlib alone: shake_256 of the four fields, each after its length as 4 bytes big-endian.
    found = chips(KEY, "film", 7, 36, 64)
    assert found.shape == (36, 64)
    assert "".join("+" if chip > 0 else "-" for chip in found[0, :32]) == "--+-+----+++++--------+-+++--+-+"
    assert np.packbits(found > 0).tobytes()[-4:].hex() == "f4c9f3ed"


def test_chips_are_signs_that_balance() -> None:
    found = chips(KEY, "film", 0, 36, 64)
    assert set(np.unique(found)) == {-1, 1}
    assert abs(int(found.sum())) < 5 * np.sqrt(found.size)


def test_key_asset_and_position_each_change_half_of_the_chips() -> None:
    base = chips(KEY, "film", 1, 36, 64).astype(int)
    for other in (chips(KEY[::-1], "film", 1, 36, 64), chips(KEY, "films", 1, 36, 64), chips(KEY, "film", 2, 36, 64)):
        assert abs(float((base * other).mean())) < 0.1


def test_positions_run_to_the_end_of_64_bits() -> None:
    assert chips(KEY, "film", 2**64 - 1, 2, 2).shape == (2, 2)
    with pytest.raises(OverflowError):
        chips(KEY, "film", 2**64, 2, 2)
