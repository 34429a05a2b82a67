"""Whether bytes begin like a video file that is read here: a look before anything is queued for it. Pure."""

from typing import Final

BEGINNING: Final = 1024
"""Bytes that suffice."""
_BOXES: Final = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"sidx", b"uuid")
"""What files of ISO/IEC 14496-12 and its ancestors begin with, after a length of 4 bytes."""
_MARKS: Final = (b"\x1a\x45\xdf\xa3", b"RIFF")
"""Matroska and WebM; AVI."""
_PACKETS: Final = (188, 192, 204)
"""Of MPEG-2 transport streams, plain, with time stamps, with error correction."""
_SYNC: Final = 0x47


def is_like_video(beginning: bytes) -> bool:
    """Whether the first :data:`BEGINNING` bytes of a file, or all of it, are like those of any such container."""
    return beginning[4:8] in _BOXES or beginning.startswith(_MARKS) or _is_transport_stream(beginning)


def _is_transport_stream(beginning: bytes) -> bool:
    for length in _PACKETS:
        for first in range(min(length, len(beginning))):
            syncs = beginning[first::length]
            if len(syncs) >= 3 and all(byte == _SYNC for byte in syncs):
                return True
    return False
