"""Evidence against pairs: exact means over innocent sessions, and each member shown on its own."""

from itertools import product

import numpy as np
import pytest

from relay.watermark.accuse.candidates import GivenCandidates
from relay.watermark.accuse.pairs import CONTRIBUTORS, PAIR_WEIGHT, score_pairs
from relay.watermark.accuse.readings import Readings

SIZE = 7
Z = [40.0, -38.0, 0.4, 3.0, -1.0, 40.0, -41.0]
EVERY = np.packbits(np.array(list(product([0, 1], repeat=SIZE)), dtype=np.uint8), axis=1)
"""Each pattern there is, once."""


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_the_means_over_innocent_sessions_are_the_weights(share: float) -> None:
    readings = Readings.of(range(SIZE), Z)
    patterns = np.concatenate([EVERY, EVERY])  # so that pairs of equal patterns are off the diagonal, too
    scores = score_pairs(readings, GivenCandidates(patterns, SIZE, share))
    bits = np.unpackbits(EVERY, axis=1)[:, :SIZE]
    probability = np.where(bits, share, 1 - share).prod(axis=1)
    half = len(EVERY)
    joint, added = scores.joint[:half, half:], scores.added[:half, half:]
    assert probability @ np.exp2(joint) @ probability == pytest.approx(PAIR_WEIGHT, rel=1e-9)
    assert np.exp2(added) @ probability == pytest.approx(np.full(half, PAIR_WEIGHT), rel=1e-9)


def test_pairs_are_scored_in_either_order_and_nobody_with_himself() -> None:
    scores = score_pairs(Readings.of(range(SIZE), Z), GivenCandidates(EVERY[:20], SIZE))
    assert scores.joint == pytest.approx(scores.joint.T)
    assert np.all(np.isneginf(np.diag(scores.joint)))
    assert np.all(np.diag(scores.bounds(100, 1)) == 1)


def test_bounds_count_all_pairs_all_partners_and_all_alignments() -> None:
    random = np.random.default_rng(3)
    patterns = random.integers(256, size=(3, 40), dtype=np.uint8)
    bits = np.unpackbits(patterns, axis=1)
    mixed = bits[random.integers(2, size=320), np.arange(320)]
    scores = score_pairs(Readings.of(range(320), 40.0 - 80 * mixed), GivenCandidates(patterns, 320))
    joint = 1000 * 999 / 2 * 2.0 ** -scores.joint[0, 1]
    assert scores.joint_bounds(1000, 1)[0, 1] == pytest.approx(joint)
    assert scores.bounds(1000, 3)[0, 1] == pytest.approx(3 * (joint + CONTRIBUTORS * 1000 * 2.0 ** -scores.added[0, 1]))
    assert scores.bounds(1000, 1)[0, 1] < 1e-12
    assert scores.bounds(1000, 1)[0, 2] == 1


def test_beside_a_guilty_session_an_innocent_one_stays_innocent() -> None:
    """The pair's evidence grows with the one alone; what is against the other does not."""
    random = np.random.default_rng(4)
    patterns = random.integers(256, size=(50, 40), dtype=np.uint8)
    leaked = np.unpackbits(patterns[0])
    scores = score_pairs(Readings.of(range(320), 40.0 - 80 * leaked), GivenCandidates(patterns, 320))
    assert scores.joint[0, 1:].min() > 70
    assert scores.added[0, 1:].max() < 5
    assert scores.added[1:, 0].min() > 70
    assert scores.bounds(10_000, 1)[0, 1:].min() == 1
