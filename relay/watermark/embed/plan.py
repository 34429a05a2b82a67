"""What is to be made of a source: renditions, times, strength. Everything a process needs to make any part of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from pathlib import Path

import msgspec

from relay.watermark.embed.encode import Encoding
from relay.watermark.embed.errors import EmbedError
from relay.watermark.embed.folder import Folder
from relay.watermark.embed.segment import Pattern
from relay.watermark.embed.source import Source
from relay.watermark.embed.timing import Timing
from relay.watermark.index import key_check
from relay.watermark.picture.grid import grid_of

_RUNG = re.compile(r"(?:(\d{2,5})x)?(\d{2,5})(?:@(\d{2,6})k)?", re.ASCII)
_ASPECT_TOLERANCE = 0.01
_MOST_BYTES = 2 << 30
WEAK_BELOW = 480
"""Lines below which re-encoded copies of a rendition lose much of the mark."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A rendition as it was asked for: 0 is left to the source's shape, or uncapped."""

    width: int
    height: int
    peak: int

    @classmethod
    def parse(cls, text: str) -> "Rung":
        """Read ``1280x720@2500k``, ``720@2500k`` or ``720``. Raises :class:`ValueError`."""
        match = _RUNG.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no rendition: write 1280x720@2500k, 720@2500k or 720")
        width, height, peak = (int(part or 0) for part in match.groups())
        return cls(width, height, peak * 1000)


@dataclass(frozen=True, slots=True)
class Rendition:
    """A rendition: its folder's name, and how it is encoded."""

    name: str
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the embedder, largest rendition first. The first makes the proxy, too."""

    path: Path
    source: Source
    folder: Folder
    timing: Timing
    pattern: Pattern
    renditions: tuple[Rendition, ...]
    gain: float

    @property
    def expected(self) -> int | None:
        """How many positions there will be, by what the container says of its length."""
        if self.source.duration_s is None:
            return None
        return max(1, -(-round(self.source.duration_s * 1000) // round(self.timing.segment_s * 1000)))

    @property
    def identity(self) -> str:
        """Differs between runs that would not make the same files: a run may only go on with its own."""
        found = self.path.stat()
        values = (
            self.path.name, found.st_size, found.st_mtime_ns, self.pattern.asset,
            key_check(self.pattern.chip_key, self.pattern.asset), str(self.timing.segment_s), self.gain,
            [(one.name, repr(one.encoding)) for one in self.renditions],
        )  # fmt: skip
        return blake2b(msgspec.json.encode(values), digest_size=16).hexdigest()


def planned(
    path: Path,
    source: Source,
    out: Path,
    asset: str,
    chip_key: bytes,
    rungs: Sequence[Rung],
    *,
    segment_s: Fraction,
    gain: float,
    crf: float,
    preset: str,
    threads: int = 1,
) -> Plan:
    """The plan of a source. Raises :class:`EmbedError` for renditions that do not fit it."""
    timing = Timing(source.rate, segment_s)
    sized = sorted(((*_size(rung, source), rung.peak) for rung in rungs), reverse=True)
    if len(set(sized)) < len(sized):
        raise EmbedError("the same rendition twice")
    renditions: list[Rendition] = []
    for width, height, peak in sized:
        name = f"v{height}"
        if any(one.name == name for one in renditions):
            name = f"v{height}-{peak // 1000}k"
        encoding = Encoding(width, height, source.rate, source.colour, peak, crf, preset, threads)
        renditions.append(Rendition(name, encoding))
    width, height, _ = sized[0]
    # The frames of a position and their offsets are held, so that it can be made again stronger.
    needed = round(segment_s * source.rate) * width * height * 5
    if needed > _MOST_BYTES:
        raise EmbedError(f"{width}x{height}: a segment of {float(segment_s):g} s needs {needed >> 20} MiB: shorten it")
    pattern = Pattern(chip_key, asset, grid_of(source.width, source.height))
    return Plan(path, source, Folder(out), timing, pattern, tuple(renditions), gain)


def _size(rung: Rung, source: Source) -> tuple[int, int]:
    width = rung.width or round(rung.height * source.width / source.height / 2) * 2
    fitting = f"{round(rung.height * source.width / source.height / 2) * 2}x{rung.height}"
    if width % 2 or rung.height % 2:
        raise EmbedError(f"{width}x{rung.height}: odd sizes cannot be encoded in 4:2:0")
    if abs(width * source.height / (rung.height * source.width) - 1) > _ASPECT_TOLERANCE:
        raise EmbedError(
            f"{width}x{rung.height}: another shape than the source's {source.width}x{source.height}. Take {fitting}."
        )
    if width > source.width or rung.height > source.height:
        raise EmbedError(f"{width}x{rung.height}: larger than the source, {source.width}x{source.height}")
    return width, rung.height
