"""What the watermark survives. ``OPENBLAS_NUM_THREADS=1 python -m bench.watermark [--strength 0.45] [--attack NAME]…``

Everything from the source to the reading: the embedder marks the programme of :mod:`bench.watermark_programme`, one
session gets its variants, every attack of :mod:`bench.watermark_attacks` is done to its copy, and the analyser reads
the result, told nothing but where the assets are. With ``--docs`` the table goes into docs/watermark.md.

"Leak needed" is bootstrapped from the scores measured: the length at which nine of ten leaks name one of 10^6 sessions
with a false accusation in 10^9. 104 s is what a copy without any fault takes.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.accuse import Generator, named_alone, needed
from bench.watermark_attacks import ATTACKS, apply
from bench.watermark_programme import make_programme
from relay.watermark.accuse.candidates import Candidates, DerivedCandidates
from relay.watermark.accuse.readings import Readings
from relay.watermark.analyse.analysis import analyse
from relay.watermark.analyse.asset import Asset, read_asset
from relay.watermark.analyse.limits import Limits
from relay.watermark.analyse.reading import Reading
from relay.watermark.code import AssetCode

FOLDER = Path(tempfile.gettempdir()) / f"segmentgate-bench-{os.getuid()}"
DOCS = Path(__file__).parent.parent / "docs" / "watermark.md"
SEGMENT_S = 2
TRIALS = 60
ASSET, KEY, NUMBER = "bench", bytes(range(32)), 4711
HEAD = """| attack | wrong bits / positions | median z | worst z | kbit/s | leak needed | analysis, × real time |
|---|---|---|---|---|---|---|"""


@dataclass(frozen=True, slots=True)
class Row:
    """One attack's result. ``z`` are positive where they tell the variant that was given."""

    name: str
    z: list[float]
    rate_kbit: float
    times_real: float

    def __str__(self) -> str:
        if not self.z:
            return f"| {self.name} | not read | - | - | {self.rate_kbit:.0f} | - | {self.times_real:.1f} |"
        wrong = sum(one < 0 for one in self.z)
        enough = leak_needed(self.z)
        took = f"{enough * SEGMENT_S} s" if enough else "more than 80 min"
        z = f"{np.median(self.z):.1f} | {min(self.z):.1f}"
        return f"| {self.name} | {wrong}/{len(self.z)} | {z} | {self.rate_kbit:.0f} | {took} | {self.times_real:.1f} |"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--strength", type=float, default=0.45)
    options.add_argument("--attack", action="append", choices=sorted(ATTACKS))
    options.add_argument("--docs", action="store_true")
    chosen = options.parse_args()
    # What one core does is asked for.
    cv2.setNumThreads(1)
    asset, copy = marked(make_programme(FOLDER), chosen.strength)
    lines = [HEAD]
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.attack or ATTACKS:
            row = measured(name, asset, copy, Path(folder) / "attacked.mp4")
            lines.append(str(row))
            print(lines[-1], flush=True)
    if chosen.docs:
        into_docs(f"attacks {chosen.strength:g}", lines)


def marked(programme: Path, strength: float) -> tuple[Asset, Path]:
    """The programme as the embedder leaves it, and the copy of one session."""
    out, key = FOLDER / f"marked-{strength:g}", FOLDER / "chip.key"
    key.write_text(KEY.hex())
    command = ["watermark", "embed", str(programme), "--out", str(out), "--asset", ASSET, "--strength", str(strength)]
    if not (out / "asset" / "index.json").exists():
        subprocess.run([sys.executable, "-m", "relay.cli", *command, "--chip-key-file", str(key)], check=True)
    asset = read_asset(out / "asset")
    (rendition,) = (folder.parent for folder in (out / "origin").glob("*/a"))
    names = sorted(file.name for file in (rendition / "a").iterdir())
    given = given_variants(len(names))
    parts = [rendition / "ab"[bit] / name for bit, name in zip(given, names, strict=True)]
    copy = FOLDER / f"copy-{strength:g}.mp4"
    copy.write_bytes(b"".join(part.read_bytes() for part in (rendition / "init.mp4", *parts)))
    return asset, copy


def given_variants(positions: int) -> list[int]:
    """What the session got."""
    code = AssetCode(KEY)
    return [code.bit(NUMBER, position) for position in range(positions)]


def measured(name: str, asset: Asset, copy: Path, target: Path) -> Row:
    """Attack the copy, analyse it, compare with the truth."""
    apply(ATTACKS[name], copy, target)
    body = target.read_bytes()
    start = time.process_time()
    reading = analyse(io.BytesIO(body), [asset], lambda _: KEY, Limits(), lambda _step, _done: None)
    spent = time.process_time() - start
    rate = len(body) * 8 / 1000 / max(reading.duration_s, 1e-3)
    return Row(name, truthful(reading), rate, reading.duration_s / spent)


def truthful(reading: Reading) -> list[float]:
    """z of each position that was read, positive where it tells the variant that was given."""
    read = [one for found in reading.assets for one in found.positions if not one.erased]
    given = given_variants(1 + max((one.position for one in read), default=0))
    return [-one.z if given[one.position] else one.z for one in read]


def leak_needed(z: list[float]) -> int | None:
    """Positions, by drawing from the scores measured."""

    def make(segments: int, random: Generator) -> tuple[Readings, Candidates]:
        guilty = DerivedCandidates(AssetCode(random.bytes(32)), random.integers(2**64, size=1, dtype=np.uint64))
        bits = guilty.bits(0, 1, np.arange(segments))[0].astype(float)
        return Readings.of(np.arange(segments), random.choice(z, size=segments) * (1 - 2 * bits)), guilty

    return needed(named_alone, make, TRIALS)


def into_docs(name: str, lines: list[str]) -> None:
    """Put a table between its marks in docs/watermark.md."""
    text = DOCS.read_text()
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    DOCS.write_text(before + begin + "\n".join(lines) + "\n" + end + after)


if __name__ == "__main__":
    main()
