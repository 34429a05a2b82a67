import numpy as np
import pytest

from relay.watermark.analyse.clocks import Clock, Timed, speeds

FRAME_S = 0.04


def passage(start_s: float, end_s: float, speed: float, found: float, seed: int = 1) -> Timed:
    """Three frames a second, each shown for a while."""
    leak = np.arange(start_s, end_s, 0.33)
    late = np.random.default_rng(seed).uniform(-FRAME_S / 2, FRAME_S / 2, len(leak))
    return Timed(leak, speed * leak + 100.0 + late, found)


def test_a_clock_goes_both_ways() -> None:
    clock = Clock(start_s=100.0, speed=25 / 24, late_s=0.02)
    assert clock.asset_s(24.0) == pytest.approx(125.02)
    assert clock.leak_s(clock.asset_s(7.0)) == pytest.approx(7.0)


@pytest.mark.parametrize("speed", [1.0, 25 / 24, 24 / 25, 1.05])
def test_a_speed_that_films_are_shown_at_is_told_exactly(speed: float) -> None:
    assert speeds([passage(0, 30, speed, found=speed + 0.001)], FRAME_S) == [speed]


def test_a_speed_of_its_own_is_measured() -> None:
    (found,) = speeds([passage(0, 60, 1.0137, found=1.014)], FRAME_S)
    assert found == pytest.approx(1.0137, abs=2e-4)


def test_passages_of_one_recording_share_its_speed() -> None:
    cut = [passage(0, 40, 1.02, 1.02), passage(50, 65, 1.02, 1.022, seed=2), passage(70, 74, 1.02, 1.024, seed=3)]
    assert speeds(cut, FRAME_S) == [1.02, 1.02, 1.02]


def test_a_passage_from_elsewhere_keeps_its_own() -> None:
    mixed = [passage(0, 60, 1.0, 1.0), passage(70, 100, 0.96, 0.96, seed=2)]
    assert speeds(mixed, FRAME_S) == [1.0, pytest.approx(0.96, abs=2e-3)]


def test_short_passages_keep_what_they_were_found_with() -> None:
    nothing = Timed(np.zeros(0), np.zeros(0), 25 / 24)
    assert speeds([passage(0, 5, 1.0, 1.0), nothing], FRAME_S) == [1.0, 25 / 24]
