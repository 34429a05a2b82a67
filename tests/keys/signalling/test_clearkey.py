"""Clear Key init data: the common box of an independent packager."""

import pytest

from keys.errors import SignallingError
from keys.model import Scheme
from keys.signalling import clearkey
from keys.signalling.systems import COMMON
from tests.keys.signalling.vectors import KIDS, MP4_SCHEMES, VIDEO_KID, box_of, init_boxes, mpd_boxes


@pytest.mark.parametrize("scheme", MP4_SCHEMES)
def test_the_common_box_is_the_packagers(scheme: Scheme) -> None:
    assert clearkey.common_pssh(KIDS) == box_of(mpd_boxes(scheme), COMMON)
    assert clearkey.common_pssh(KIDS) == box_of(init_boxes(scheme), COMMON)


@pytest.mark.parametrize(
    ("kids", "message"), [([], "needs at least one key ID"), ([VIDEO_KID, bytes(3)], "3 bytes, expected 16")]
)
def test_none_or_broken_key_ids_are_refused(kids: list[bytes], message: str) -> None:
    with pytest.raises(SignallingError, match=message):
        clearkey.common_pssh(kids)
