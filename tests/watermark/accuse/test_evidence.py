"""Evidence is an e-value: its mean over all bits that an innocent session may have is what it should be, exactly."""

from itertools import product

import numpy as np
import pytest

from relay.watermark.accuse import evidence
from relay.watermark.accuse.candidates import Bits, DerivedCandidates, Served
from relay.watermark.accuse.evidence import SINGLE_WEIGHT, Mixture, scan
from relay.watermark.accuse.readings import Floats, Readings
from relay.watermark.code import AssetCode

LEAKS = {
    "clean": [40.0, -40.0, 41.0, -39.0, 42.0, 38.0, -40.0, -44.0, 40.0],
    "averaged": [40.0, 0.1, -0.7, -39.0, 1.2, 38.0, -0.3, -44.0, 0.0],
    "weak": [0.9, -0.1, 1.4, -2.0, 0.3, 1.1, -0.2, 0.4, -1.3],
    "made up": [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0],
    "nothing": [0.0] * 9,
}
SHARES = np.array([0.5, 0.2, 0.8, 0.07, 0.93, 0.5, 0.33, 0.67, 0.79])


def every_session(shares: Floats) -> tuple[Bits, Floats]:
    """All bits that a session may have, and how probable they are."""
    bits = np.array(list(product([False, True], repeat=shares.size)))
    return bits, np.where(bits, shares, 1 - shares).prod(axis=1)


@pytest.mark.parametrize("z", LEAKS.values(), ids=LEAKS)
@pytest.mark.parametrize("parts", [evidence.PART, 2], ids=["whole", "windows"])
def test_the_mean_over_innocent_sessions_is_the_weight_of_what_is_tried(
    z: list[float], parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "PART", parts)
    bits, probability = every_session(SHARES)
    mixture = Mixture.of(Readings.of(range(9), z), SHARES)
    assert (mixture.windows.shape[1] > 0) == (parts == 2)
    assert probability @ np.exp2(mixture.evidence(bits)) == pytest.approx(SINGLE_WEIGHT, rel=1e-9)


@pytest.mark.parametrize("z", LEAKS.values(), ids=LEAKS)
def test_so_it_is_for_sessions_that_were_served_some_positions(z: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "PART", 2)
    bits, probability = every_session(SHARES)
    known = np.broadcast_to(np.arange(9) % 3 != 1, bits.shape)
    evidences = Mixture.of(Readings.of(range(9), z), SHARES).evidence(bits, known)
    assert probability @ np.exp2(evidences) == pytest.approx(SINGLE_WEIGHT, rel=1e-9)
    assert np.unique(evidences.round(9)).size <= 2**6  # the others' bits change nothing


def test_who_was_served_nothing_has_no_evidence_for_or_against() -> None:
    mixture = Mixture.of(Readings.of(range(9), LEAKS["clean"]), SHARES)
    assert mixture.evidence(np.ones((1, 9), dtype=bool), np.zeros((1, 9), dtype=bool)) == pytest.approx(
        np.log2(SINGLE_WEIGHT)
    )


def test_every_matching_position_of_a_clean_leak_is_nearly_a_bit() -> None:
    size = 60
    bits = np.random.default_rng(1).random((1, size)) < 0.5
    mixture = Mixture.of(Readings.of(range(size), np.where(bits[0], -40, 40)), np.full(size, 0.5))
    assert size - 3 < mixture.evidence(bits)[0] < size
    assert mixture.evidence(~bits)[0] < -10


@pytest.mark.parametrize("size", [0, 1, 47, 48, 96, 97, 200, 1000, 3600])
def test_windows_cover_the_leak_and_weigh_what_they_may(size: int) -> None:
    mixture = Mixture.of(Readings.of(range(size), np.ones(size)), np.full(size, 0.5))
    assert [place for part in mixture.parts for place in range(part.start, part.stop)] == list(range(size))
    assert np.exp(mixture.log_weights).sum() == pytest.approx(SINGLE_WEIGHT)
    for window in mixture.windows.T:
        inside = np.flatnonzero(window)
        assert inside.tolist() == list(range(inside[0], inside[-1] + 1))
        length = mixture.parts[inside[-1]].stop - mixture.parts[inside[0]].start
        assert size / 2 + 1 >= length >= 2 * evidence.PART - 1


@pytest.mark.parametrize("positions", [range(40, 190), range(0, 600, 4), [7]], ids=["range", "gaps", "one"])
def test_the_scan_of_chunks_is_the_exact_evidence(positions: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "CELLS", 7 * len(positions))  # many chunks, and a rest
    random = np.random.default_rng(5)
    numbers = random.integers(2**64, size=100, dtype=np.uint64)
    rows = np.arange(0, 100, 2)
    served = Served(rows, np.zeros_like(rows), random.integers(0, 200, rows.size))
    readings = Readings.of(positions, random.normal(size=len(positions)) * 10)
    for intervals in (None, served):
        candidates = DerivedCandidates(AssetCode(bytes(32), 4), numbers, intervals)
        known = candidates.known(0, 100, readings.positions)
        exact = Mixture.of(readings, candidates.shares(readings.positions)).evidence(
            candidates.bits(0, 100, readings.positions), known
        )
        found, eligible = scan(readings, candidates)
        some = np.ones(100, dtype=bool) if known is None else known.any(axis=1)
        assert eligible == some.sum()
        assert found[some] == pytest.approx(exact[some], abs=0.01)
        assert np.all(np.isneginf(found[~some]))
