"""The operator's own title as the analyser knows it: the folder that the embedder wrote."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from relay.watermark.analyse.activity import FILE as ACTIVITY
from relay.watermark.analyse.activity import Curve, activity
from relay.watermark.analyse.errors import AssetError
from relay.watermark.analyse.luma import luma_of
from relay.watermark.index import FILE, AssetIndex, key_check, read_index
from relay.watermark.picture.grid import Grid
from relay.watermark.picture.planes import BytePlane


@dataclass(frozen=True, slots=True)
class Segment:
    """One position of the watermark in the proxy."""

    position: int
    start_s: float
    frames: int
    silent: bool = False
    """Whether the embedder found it to carry no information: flat or black."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A title that a copy may be of. Segments are in order and without gaps in between."""

    asset: str
    proxy: Path
    fps: Fraction
    grid: Grid
    segments: tuple[Segment, ...]
    activity: Curve
    key_check: str = ""
    """What tells the right chip key (:func:`relay.watermark.index.key_check`); empty where it is not known."""

    def is_keyed_by(self, chip_key: bytes) -> bool:
        """Whether it was marked with that key."""
        return self.key_check in ("", key_check(chip_key, self.asset))

    def segment_at(self, time_s: float) -> int | None:
        """The index of the segment shown at that time, or None before the first and after the last."""
        starts = [segment.start_s for segment in self.segments]
        index = int(np.searchsorted(starts, time_s, side="right")) - 1
        if index < 0 or time_s >= starts[index] + self.segments[index].frames / self.fps:
            return None
        return index


def read_asset(folder: Path) -> Asset:
    """The asset of a folder. Where it has no curve of activity, one is made of the proxy, which takes a while.

    Raises :class:`AssetError`.
    """
    try:
        index = read_index((folder / FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise AssetError(f"asset folder {folder.name}: {FILE} cannot be read: {error}") from error
    fps = Fraction(*index.rate)
    proxy = folder / index.proxy.file
    return Asset(
        asset=index.asset,
        proxy=proxy,
        fps=fps,
        grid=Grid(index.rows, index.columns),
        segments=_segments(index, fps),
        activity=_activity(folder, proxy),
        key_check=index.key_check,
    )


def _segments(index: AssetIndex, fps: Fraction) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            position=one.position,
            start_s=float(one.first_frame / fps),
            frames=one.frames,
            silent=not one.is_informative,
        )
        for one in index.segments
    )


def _activity(folder: Path, proxy: Path) -> Curve:
    stored = folder / ACTIVITY
    try:
        if stored.exists():
            return np.asarray(np.load(stored, allow_pickle=False), np.float32)
        return activity_of(proxy)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise AssetError(f"asset folder {folder.name}: no curve of activity: {error}") from error


def activity_of(proxy: Path) -> Curve:
    """The curve of a whole proxy, for the embedder to store beside it. Half a millisecond a frame."""
    return activity(_frames(proxy))


def _frames(proxy: Path) -> Iterator[tuple[float, BytePlane]]:
    with av.open(str(proxy)) as container:
        for frame in container.decode(video=0):
            yield float(frame.time or 0.0), luma_of(frame)
