from dataclasses import replace
from itertools import combinations

import pytest

from relay.media.ivs import CountingIvs, HashedIvs
from relay.media.model import ClearUnit
from tests.media.material import AUDIO, VIDEO

UNIT = ClearUnit(1, memoryview(b"a moof"), memoryview(b"and its mdat"), b"layout", 10)


def test_equal_units_give_equal_ivs_on_every_node() -> None:
    assert HashedIvs().first(VIDEO, UNIT) == HashedIvs().first(VIDEO, replace(UNIT, moof=memoryview(b"a moof")))


def test_whatever_differs_gives_other_ivs() -> None:
    units = [
        UNIT,
        replace(UNIT, track_id=2),
        replace(UNIT, moof=memoryview(b"A moof")),
        replace(UNIT, data=memoryview(b"and its mdaT")),
        replace(UNIT, data=memoryview(b"and its mdat\0")),
        replace(UNIT, layout=b"LAYOUT"),
    ]
    ivs = [HashedIvs().first(VIDEO, unit) for unit in units]
    ivs.append(HashedIvs().first(replace(VIDEO, iv_key=bytes(32)), UNIT))
    assert all(a != b for a, b in combinations(ivs, 2))
    assert all(0 <= iv < 2**64 for iv in ivs)


def test_both_halves_of_the_iv_key_count() -> None:
    for changed in (0, 16):
        iv_key = bytearray(VIDEO.iv_key)
        iv_key[changed] ^= 1
        assert HashedIvs().first(replace(VIDEO, iv_key=bytes(iv_key)), UNIT) != HashedIvs().first(VIDEO, UNIT)


def test_only_the_iv_key_counts() -> None:
    """So that the IVs say nothing about the content key."""
    assert HashedIvs().first(replace(AUDIO, iv_key=VIDEO.iv_key), UNIT) == HashedIvs().first(VIDEO, UNIT)


@pytest.mark.parametrize("start", [0, 2**64 - 15])
def test_counting_goes_on_from_unit_to_unit_and_track_to_track_under_one_key(start: int) -> None:
    ivs = CountingIvs(start)
    other = replace(UNIT, track_id=2)
    firsts = [ivs.first(key, unit) for key, unit in ((VIDEO, UNIT), (VIDEO, other), (AUDIO, UNIT), (VIDEO, UNIT))]
    assert firsts == [start, (start + 10) % 2**64, start, (start + 20) % 2**64]
