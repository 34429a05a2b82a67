import numpy as np
import pytest

from relay.watermark.least_squares import combined, solved


@pytest.mark.parametrize("pixels", [100, 384, 5000])
def test_agrees_with_the_textbook(pixels: int) -> None:
    noise = np.random.default_rng(4)
    columns = noise.standard_normal((7, pixels)).astype(np.float32)
    target = noise.standard_normal(pixels).astype(np.float32)
    weights = noise.uniform(0.1, 2, pixels).astype(np.float32)
    root = np.sqrt(weights.astype(np.float64))
    expected, *_ = np.linalg.lstsq((columns * root).T, target * root, rcond=None)
    factors = solved(columns, target, weights, 1e-9)
    assert factors == pytest.approx(expected, abs=1e-4)
    assert combined(factors, columns) == pytest.approx(factors @ columns, abs=1e-4)


def test_what_nothing_determines_is_zero() -> None:
    columns = np.zeros((3, 1000), np.float32)
    columns[0] = 1
    target = np.full(1000, 5, np.float32)
    assert solved(columns, target, np.ones(1000, np.float32), 1e-6) == pytest.approx([5, 0, 0], abs=1e-3)
