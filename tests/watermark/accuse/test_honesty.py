"""How often innocent sessions are accused, against what is stated: over 10^5 cases and more, for leaks of all kinds."""

from collections.abc import Callable

import numpy as np
import pytest

from bench.accuse import innocents_reaching, partners_named
from relay.watermark.accuse.readings import Floats

THRESHOLDS = (0.1, 0.01, 0.001)


def unmarked(bits: Floats, random: np.random.Generator) -> Floats:
    return np.asarray(random.normal(size=bits.shape[1]))


def copied(bits: Floats, random: np.random.Generator) -> Floats:
    return np.asarray(40 * (1 - 2 * bits[0]) + unmarked(bits, random))


def averaged(bits: Floats, random: np.random.Generator) -> Floats:
    return np.asarray(40 * (1 - 2 * bits[:2].mean(axis=0)) + unmarked(bits, random))


def rarer(bits: Floats, random: np.random.Generator) -> Floats:
    mean = bits.mean(axis=0)
    return np.asarray(40 * (1 - 2 * np.where((mean == 0) | (mean == 1), mean, mean < 0.5)))


def all_a(bits: Floats, random: np.random.Generator) -> Floats:
    return np.full(bits.shape[1], 40.0)


@pytest.mark.parametrize("profile", [2, 8])
@pytest.mark.parametrize("make", [unmarked, copied, averaged, rarer, all_a])
def test_innocent_sessions_are_accused_no_more_often_than_stated(
    profile: int, make: Callable[[Floats, np.random.Generator], Floats]
) -> None:
    cases, reached = innocents_reaching(THRESHOLDS, profile, make, leaks=12, sessions=10_000, segments=110, seed=11)
    assert cases == 120_000
    for stated, count in zip(THRESHOLDS, reached, strict=True):
        assert count <= stated * cases


def test_the_frequency_is_measurable() -> None:
    """Innocent sessions do reach low thresholds: the tests above are not passed by evidence that never grows."""
    _, reached = innocents_reaching((0.1,), 2, copied, leaks=12, sessions=10_000, segments=12, seed=3)
    assert reached[0] > 100


@pytest.mark.parametrize("profile", [2, 4])
def test_innocent_partners_of_a_guilty_session_are_named_no_more_often_than_stated(profile: int) -> None:
    """One leaks together with a session that is no candidate; whoever is paired with him is innocent."""
    stated = (0.3, 0.1, 0.01)
    cases, named = partners_named(stated, profile, leaks=400, sessions=12, segments=60, seed=5)
    assert cases == 400
    for bound, count in zip(stated, named, strict=True):
        assert count <= bound * cases
