"""One small asset, embedded once for all tests that look at what was made."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from relay.watermark.embed.plan import Plan, Rung, planned
from relay.watermark.embed.pool import embed
from relay.watermark.embed.source import probe
from relay.watermark.index import AssetIndex
from tests.watermark.embed.clips import HEIGHT, WIDTH, frames_of, texture, write_clip

KEY = bytes(range(32))
FRAMES = 110
"""Two segments of texture, and a stub that is black."""


@dataclass(frozen=True)
class Made:
    """What a run of the embedder left."""

    plan: Plan
    index: AssetIndex
    heard: list[tuple[int, int | None]]

    @property
    def origin(self) -> Path:
        return self.plan.folder.origin


def plan_of(path: Path, out: Path, *rungs: str, segment_s: int = 2) -> Plan:
    return planned(
        path,
        probe(path, path.name),
        out,
        "film",
        KEY,
        [Rung.parse(text) for text in rungs],
        segment_s=Fraction(segment_s),
        gain=0.45,
        crf=20,
        preset="veryfast",
    )


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4.4 s of 426x240 with a tone."""
    black = np.full((HEIGHT, WIDTH), 16, np.uint8)
    frames = list(frames_of(texture(k) if k < 100 else black for k in range(FRAMES)))
    return write_clip(tmp_path_factory.mktemp("clip") / "film.mp4", frames, audio="aac")


@pytest.fixture(scope="session")
def made(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The clip in two renditions, by a pool of processes."""
    heard: list[tuple[int, int | None]] = []
    plan = plan_of(clip, tmp_path_factory.mktemp("out") / "film", "240@900k", "144")
    index = embed(plan, 1, lambda done, of: heard.append((done, of)))
    return Made(plan, index, heard)
