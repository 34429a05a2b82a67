"""What Shaka Packager wrote for the two keys of the test vectors: the values to match byte for byte."""

import re
from base64 import b64decode
from pathlib import Path

from keys.material import playready_checksum
from keys.model import KeySignal, Scheme
from keys.signalling.pssh import Pssh

VECTORS = Path(__file__).parents[2] / "vectors"

VIDEO_KID = bytes.fromhex("6d5c3a1e0f4b4c2d8e9f10213243546a")
VIDEO_KEY = bytes.fromhex("b4e1f7a90c2d5e638817f4d2a06b9c35")
AUDIO_KID = bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90")
AUDIO_KEY = bytes.fromhex("5f0e1d2c3b4a59687786950a1b2c3d4e")

# The packager lists the key IDs of all tracks in every box, in this order.
KIDS = (AUDIO_KID, VIDEO_KID)
VIDEO = KeySignal(VIDEO_KID, playready_checksum(VIDEO_KID, VIDEO_KEY))
AUDIO = KeySignal(AUDIO_KID, playready_checksum(AUDIO_KID, AUDIO_KEY))

MP4_SCHEMES = [Scheme.CENC, Scheme.CBCS]


def mpd_boxes(scheme: Scheme) -> list[bytes]:
    """The ``pssh`` boxes of the vectors' MPD: common, PlayReady, Widevine of video, then of audio."""
    return [b64decode(found) for found in re.findall("<cenc:pssh>(.*?)</", _text(scheme, "manifest.mpd"))]


def mpd_objects(scheme: Scheme) -> list[bytes]:
    """The PlayReady Objects of the vectors' MPD: video, then audio."""
    return [b64decode(found) for found in re.findall("<mspr:pro>(.*?)</", _text(scheme, "manifest.mpd"))]


def playlist_data(scheme: Scheme, key_format: str) -> bytes:
    """What the key tag of a format carries in the vectors' video playlist."""
    for line in _text(scheme, "v.m3u8").splitlines():
        if line.startswith("#EXT-X-KEY:") and f'KEYFORMAT="{key_format}"' in line:
            _, _, data = line.partition(";base64,")
            return b64decode(data.partition('"')[0])
    raise LookupError(key_format)


def init_boxes(scheme: Scheme) -> list[bytes]:
    """The ``pssh`` boxes at the end of the vectors' video init segment."""
    init = (VECTORS / scheme / "v_init.mp4").read_bytes()
    starts = [found.start() - 4 for found in re.finditer(b"pssh", init)]
    return [init[at : at + int.from_bytes(init[at : at + 4], "big")] for at in starts]


def box_of(boxes: list[bytes], system: object) -> bytes:
    """The first box of a system."""
    return next(box for box in boxes if Pssh.decode(box).system == system)


def _text(scheme: Scheme, name: str) -> str:
    return (VECTORS / scheme / name).read_text(encoding="utf-8")
