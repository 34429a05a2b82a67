"""How one stream is watermarked: whose bits, of which segments, and where their variants lie (ETSI TS 104 002 §5.7)."""

import re
from dataclasses import dataclass, field
from typing import Self

from keys.model import TrackType
from relay.sources import Source
from relay.watermark.code import AssetCode
from relay.watermark.etsi.sidecar import FOLDER
from relay.watermark.settings import MarkConfig, Pace


@dataclass(frozen=True, slots=True)
class Marking:
    """The watermark of a stream. ``folders`` are those of variants a and b, ``segment_ms`` how long a position is.

    Where there are ``vendors``, tokens of theirs choose the variants instead of the code.
    """

    asset: str
    key: bytes = field(repr=False)
    colluders: int
    folders: tuple[str, str]
    pace: Pace
    segment_ms: int
    pattern: re.Pattern[str]
    vendors: frozenset[int]
    code: AssetCode = field(repr=False, compare=False)

    @classmethod
    def of(cls, config: MarkConfig, stream: str, key: bytes) -> Self:
        """As configured, with the asset's code key."""
        return cls(
            asset=config.asset or stream,
            key=key,
            colluders=config.colluders,
            folders=config.variants,
            pace=config.pace,
            segment_ms=int(config.segment),
            pattern=re.compile(config.pattern),
            vendors=frozenset(config.tokens),
            code=AssetCode(key, config.colluders),
        )

    def covers(self, track: TrackType, path: str) -> bool:
        """Whether a segment has variants: one of video, whose path fits."""
        return track is not TrackType.AUDIO and self.pattern.search(path) is not None

    def variant(self, source: Source, variant: int) -> Source:
        """Where variant a (0) or b (1) of a neutral source lies."""
        return _beside(source, self.folders[variant])

    def sidecar(self, source: Source) -> Source:
        """Where the pace information of a neutral source lies."""
        return _beside(source, f"{FOLDER}/")


def _beside(source: Source, folder: str) -> Source:
    path, slash, name = source.path.rpartition("/")
    return Source(f"{path}{slash}{folder}{name}", source.query, source.base)
