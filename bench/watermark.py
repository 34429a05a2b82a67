"""What the watermark survives. ``python -m bench.watermark ASSET_FOLDER COPY --variants 0110… --chip-key FILE``

ASSET_FOLDER is what the embedder wrote for the analyser, COPY what one session received of it, and the variants
those that it was given, from position 0 on (0 is a, 1 is b). Every attack of :mod:`bench.watermark_attacks`, or those
named with ``--attack``, is done to the copy, and the result analysed from scratch. Prints a table in Markdown.
"""

import argparse
import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.watermark_attacks import ATTACKS, apply
from relay.watermark.analyse.analysis import analyse
from relay.watermark.analyse.asset import Asset, read_asset
from relay.watermark.analyse.limits import Limits
from relay.watermark.analyse.reading import Reading


@dataclass(frozen=True, slots=True)
class Row:
    """One attack's result."""

    name: str
    wrong: int
    read: int
    z: list[float]
    rate_kbit: float
    times_real: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("asset", type=Path)
    options.add_argument("copy", type=Path)
    options.add_argument("--variants", required=True)
    options.add_argument("--chip-key", type=Path, required=True)
    options.add_argument("--attack", action="append", choices=sorted(ATTACKS))
    chosen = options.parse_args()
    # What one core does is asked for.
    cv2.setNumThreads(1)
    asset, key = read_asset(chosen.asset), chosen.chip_key.read_bytes()
    print("| attack | wrong bits / positions | median z | worst z | kbit/s | analysis, times real time |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.attack or ATTACKS:
            row = measured(name, asset, key, chosen.copy, chosen.variants, Path(folder) / "attacked.mp4")
            z = f"{np.median(row.z):.1f} | {min(row.z):.1f}" if row.z else "- | -"
            print(
                f"| {row.name} | {row.wrong}/{row.read} | {z} | {row.rate_kbit:.0f} | {row.times_real:.1f} |",
                flush=True,
            )


def measured(name: str, asset: Asset, key: bytes, copy: Path, variants: str, target: Path) -> Row:
    """Attack the copy, analyse it, compare with the truth. A worst z below zero is a wrong bit."""
    apply(ATTACKS[name], copy, target)
    body = target.read_bytes()
    start = time.process_time()
    reading = analyse(io.BytesIO(body), [asset], lambda _: key, Limits(), lambda _step, _done: None)
    spent = time.process_time() - start
    z = truthful(reading, variants)
    return Row(
        name=name,
        wrong=sum(one < 0 for one in z),
        read=len(z),
        z=z,
        rate_kbit=len(body) * 8 / 1000 / max(reading.duration_s, 1e-3),
        times_real=reading.duration_s / spent,
    )


def truthful(reading: Reading, variants: str) -> list[float]:
    """z of each position that was read, positive where it tells the variant that was given."""
    return [
        -one.z if variants[one.position] == "1" else one.z
        for found in reading.assets
        for one in found.positions
        if not one.erased
    ]


if __name__ == "__main__":
    main()
