"""The clip's picture in the two variants of a watermark, as the embedder makes any title."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from relay.demo.scene import SEGMENT_S
from relay.watermark.index import VERSION

ASSET = "demo"
RENDITIONS = ("1280x720@2200k", "640x360@900k")
STRENGTH = 0.45
PRESET = "ultrafast"
"""The first start waits for it. Copies of it read no worse than those of slower presets, only it has more bits."""
CRF = 21.0
SETTINGS = f"{ASSET} {RENDITIONS} {STRENGTH} {PRESET} {CRF} {VERSION}"
"""What a clip was made with: another, and it is made anew."""


def make_marked(picture: Path, directory: Path, chip_key: bytes, progress: Callable[[float], None]) -> None:
    """Write ``origin/`` and ``asset/`` of a picture into ``directory``; ``progress`` hears the share that is done.

    Raises :class:`relay.watermark.embed.errors.EmbedError`.
    """
    from relay.watermark.embed.threads import take_one_thread

    take_one_thread()
    from relay.watermark.embed.plan import Rung, planned
    from relay.watermark.embed.pool import embed
    from relay.watermark.embed.source import probe

    plan = planned(
        picture,
        probe(picture, picture.name),
        directory,
        ASSET,
        chip_key,
        [Rung.parse(rung) for rung in RENDITIONS],
        segment_s=Fraction(SEGMENT_S),
        gain=STRENGTH,
        crf=CRF,
        preset=PRESET,
    )
    embed(plan, len(os.sched_getaffinity(0)), lambda done, of: progress(done / of if of else 0.0))
