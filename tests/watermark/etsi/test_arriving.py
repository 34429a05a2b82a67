"""Pace information in segments that are still arriving."""

import pytest

from relay.watermark.etsi.arriving import Arriving
from relay.watermark.etsi.inband import SEI_UUID, find, overwritten, with_wmpi
from relay.watermark.etsi.pace import PaceInfo
from tests.edge.world import VECTORS

INFO = PaceInfo(33, 1)
SEGMENT = (VECTORS / "clear" / "v_1.m4s").read_bytes()
LAST = len(SEGMENT) - 100
TOLD = with_wmpi(SEGMENT[:LAST] + SEI_UUID + INFO.encode() + SEGMENT[LAST + 21 :], INFO)


@pytest.mark.parametrize("step", [1, 3, 8, 1000, len(TOLD)])
def test_it_is_overwritten_however_the_segment_is_cut(step: int) -> None:
    arriving = Arriving()
    pieces = [arriving.feed(TOLD[at : at + step]) for at in range(0, len(TOLD), step)]
    found = b"".join([*pieces, arriving.finish()])
    assert find(TOLD) == INFO
    assert found == overwritten(TOLD) != TOLD
    assert find(found) is None
    # Each piece given out is made of whole boxes.
    assert sum(map(bool, pieces)) <= 6


def test_what_is_cut_short_comes_out_in_the_end() -> None:
    arriving = Arriving()
    assert arriving.feed(SEGMENT[:-5]) + arriving.finish() == SEGMENT[:-5]
