"""Scores of a leak: merged where they are of one bit of the code, and what they say of the variants."""

from math import inf, nan

import numpy as np
import pytest

from relay.watermark.accuse.readings import SYMBOL_ERROR, Readings


def test_scores_come_in_any_order_and_unreadable_ones_are_counted() -> None:
    readings = Readings.of([9, 4, 7, 5], [3.0, -2.0, nan, -inf])
    assert readings.positions.tolist() == [4, 9]
    assert readings.z.tolist() == [-2.0, 3.0]
    assert readings.segments == 4


def test_a_position_seen_several_times_is_one_reading() -> None:
    readings = Readings.of([5, 6, 5, 5, 5], [3.0, 1.0, 3.0, 3.0, 3.0])
    assert readings.positions.tolist() == [5, 6]
    assert readings.z.tolist() == pytest.approx([6.0, 1.0])  # four of one strength: twice as strong, as noise is
    assert readings.segments == 2


def test_positions_of_a_pattern_that_repeats_share_its_bits() -> None:
    readings = Readings.of([1, 101, 202], [4.0, 4.0, -3.0], pattern_length=100)
    assert readings.positions.tolist() == [1, 2]
    assert readings.z.tolist() == pytest.approx([8 / 2**0.5, -3.0])


def test_negative_scores_are_variant_b() -> None:
    b = Readings.of(range(5), [-30.0, -1.0, 0.0, 1.0, 30.0]).likelihoods(0.1)
    assert b[0] == pytest.approx(1 - SYMBOL_ERROR)
    assert b[4] == pytest.approx(SYMBOL_ERROR)
    assert b[2] == pytest.approx(0.5)
    assert 0.5 < b[1] < 0.9
    assert b[1] + b[3] == pytest.approx(1)


def test_a_weak_score_among_strong_ones_is_taken_for_an_erasure() -> None:
    among_strong = Readings.of(range(4), [40.0, -40.0, 40.0, -2.0]).likelihoods(0.4)[3]
    among_weak = Readings.of(range(4), [2.0, -2.0, 2.0, -2.0]).likelihoods(0.4)[3]
    assert 0.5 < among_strong < 0.7 < 0.8 < among_weak


def test_how_much_was_readable_is_told() -> None:
    readings = Readings.of(range(6), [40.0, -35.0, 0.3, -0.2, nan, 44.0])
    assert readings.telling(0.03) == 3
    assert readings.quality == 35.0
    assert Readings.of([], []).quality == 0.0
    assert Readings.of([3], [nan]).telling(0.03) == 0


@pytest.mark.parametrize(
    ("positions", "z", "length", "message"),
    [
        ([1, 2], [1.0], None, r"positions of shape \(2,\) with scores of shape \(1,\)"),
        ([[1]], [[1.0]], None, r"positions of shape \(1, 1\)"),
        ([1, -1], [1.0, 1.0], None, "position -1 is negative"),
        ([1], [1.0], 0, "a pattern of 0 bits"),
    ],
)
def test_scores_that_make_no_sense_are_refused(
    positions: list[int], z: list[float], length: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Readings.of(np.array(positions), np.array(z), length)
