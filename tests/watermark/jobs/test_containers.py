import pytest

from relay.watermark.jobs.containers import is_like_video

PACKET = b"\x47" + bytes(187)


@pytest.mark.parametrize(
    "beginning",
    [
        b"\0\0\0\x20ftypisom",
        b"\0\0\0\x08wide\0\0",
        b"\0\0\0\0mdat",
        b"\x1a\x45\xdf\xa3rest",
        b"RIFF\0\0\0\0AVI ",
        PACKET * 5,
        bytes(50) + PACKET * 5,
        (bytes(4) + PACKET) * 5,
        (PACKET + bytes(16)) * 4,
    ],
)
def test_what_is_looked_at_further(beginning: bytes) -> None:
    assert is_like_video(beginning)


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"ftyp",
        b"\0\0\0\x20ftyx",
        b"PK\x03\x04" + bytes(1000),
        b"\x1f\x8b\x08" + bytes(1000),
        b"<html>" * 200,
        b"#EXTM3U\nfile:///etc/passwd",
        b"\x47",
        PACKET + PACKET,
        b"ffconcat version 1.0",
        bytes(1024),
    ],
)
def test_what_is_not(beginning: bytes) -> None:
    assert not is_like_video(beginning)
