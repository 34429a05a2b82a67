import pytest

from relay.errors import MediaError
from relay.watermark.etsi.inband import MAX_PLACES, SEI_UUID, find, overwritten, with_wmpi, wmpi_box
from relay.watermark.etsi.pace import PaceInfo
from tests.media.build import Traf, box, fragment

INFO = PaceInfo(33, 1)
STYP = box(b"styp", b"cmfs", bytes(4))
NOTHING = b"\xff" * 5


def sei(info: PaceInfo, header: bytes = b"\x06") -> bytes:
    """A NAL unit of a SEI message with user data (H.264 §7.3.2.3), length-prefixed."""
    nal = header + bytes((5, 21)) + SEI_UUID + info.encode() + b"\x80"
    return len(nal).to_bytes(4) + nal


def segment(*samples: bytes, extra: bytes = b"") -> bytes:
    return STYP + extra + fragment(Traf(1, [list(samples)]))


def test_a_box_stands_between_styp_and_moof() -> None:
    plain = segment(b"picture")
    marked = with_wmpi(plain, INFO)
    assert marked == STYP + bytes.fromhex("0000000d776d7069") + INFO.encode() + plain[len(STYP) :]
    assert with_wmpi(plain[len(STYP) :], INFO).startswith(wmpi_box(INFO))
    assert find(marked) == INFO


def test_a_box_is_overwritten_in_its_place() -> None:
    plain = segment(b"picture")
    gone = overwritten(with_wmpi(plain, INFO))
    assert gone == STYP + box(b"wmpi", NOTHING) + plain[len(STYP) :]
    assert find(gone) is None
    assert overwritten(gone) == gone


@pytest.mark.parametrize("header", [b"\x06", b"\x4e\x01"], ids=["H.264", "HEVC"])
def test_sei_messages_are_overwritten(header: bytes) -> None:
    marked = segment(sei(INFO, header) + b"\0\0\0\4slic", b"\0\0\0\4next")
    assert find(marked) == INFO
    gone = overwritten(marked)
    assert gone == marked.replace(INFO.encode(), NOTHING)
    assert len(gone) == len(marked)
    assert find(gone) is None


def test_what_says_nothing_is_not_copied() -> None:
    plain = segment(b"wmpi is no box here")
    assert overwritten(plain) is plain
    assert find(plain) is None


def test_box_and_message_agree_or_are_refused() -> None:
    assert find(with_wmpi(segment(sei(INFO)), INFO)) == INFO
    with pytest.raises(MediaError, match="contradicts"):
        find(with_wmpi(segment(sei(INFO)), PaceInfo(34, 1)))


def test_a_message_at_the_very_end() -> None:
    cut = segment(sei(INFO)[:-3])
    assert overwritten(cut).endswith(SEI_UUID + b"\xff" * 3)
    with pytest.raises(MediaError, match=r"SEI message@\d+: 3 bytes"):
        find(cut)


@pytest.mark.parametrize("data", [b"\0\0\0\x10wmpi\1", b"\0\0\0\4wmpi", STYP + b"\0wmpi"])
def test_boxes_that_cannot_be_walked(data: bytes) -> None:
    with pytest.raises(MediaError):
        overwritten(data)


def test_a_box_of_another_size_is_overwritten_whole() -> None:
    odd = box(b"wmpi", b"more than five")
    assert overwritten(odd) == box(b"wmpi", b"\xff" * 14)
    with pytest.raises(MediaError, match="14 bytes"):
        find(odd)


def test_the_work_is_bounded() -> None:
    with pytest.raises(MediaError, match=f"over {MAX_PLACES}"):
        overwritten(box(b"mdat", SEI_UUID * (MAX_PLACES + 1)))
