"""Widevine signalling, byte for byte what an independent packager writes."""

import pytest

from keys.errors import SignallingError
from keys.model import Scheme
from keys.signalling import widevine
from keys.signalling.pssh import Pssh
from keys.signalling.systems import WIDEVINE
from tests.keys.signalling.vectors import KIDS, MP4_SCHEMES, VIDEO_KID, box_of, init_boxes, mpd_boxes, playlist_data


@pytest.mark.parametrize("scheme", MP4_SCHEMES)
def test_the_box_is_the_packagers(scheme: Scheme) -> None:
    box = widevine.pssh(KIDS, scheme)
    assert box == box_of(mpd_boxes(scheme), WIDEVINE)
    assert box == box_of(init_boxes(scheme), WIDEVINE)
    assert box == playlist_data(scheme, f"urn:uuid:{WIDEVINE}")


@pytest.mark.parametrize(
    ("scheme", "field_9"),
    [(Scheme.CENC, "48e3dc959b06"), (Scheme.CBCS, "48f3c6899b06")],
)
def test_the_message_holds_the_key_ids_in_order_and_the_scheme(scheme: Scheme, field_9: str) -> None:
    message = Pssh.decode(widevine.pssh([VIDEO_KID, bytes(16)], scheme)).data
    assert message.hex() == f"1210{VIDEO_KID.hex()}1210{bytes(16).hex()}{field_9}"


@pytest.mark.parametrize(
    ("kids", "scheme", "message"),
    [
        ([], Scheme.CENC, "needs at least one key ID"),
        ([bytes(8)], Scheme.CENC, "8 bytes, expected 16"),
        ([VIDEO_KID], Scheme.AES128, "knows no aes-128"),
        ([VIDEO_KID] * 4000, Scheme.CENC, "more than 65536"),
    ],
)
def test_what_widevine_cannot_signal_is_refused(kids: list[bytes], scheme: Scheme, message: str) -> None:
    with pytest.raises(SignallingError, match=message):
        widevine.pssh(kids, scheme)
