"""The operator's own title as the analyser reads it: an index, a curve of its activity, a small proxy of its luma."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np

from relay.watermark.analyse.activity import Curve
from relay.watermark.analyse.errors import AssetError
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

    def segment_at(self, time_s: float) -> int | None:
        """The index of the segment shown at that time, or None before the first and after the last."""
        starts = [segment.start_s for segment in self.segments]
        index = int(np.searchsorted(starts, time_s, side="right")) - 1
        if index < 0 or time_s >= starts[index] + self.segments[index].frames / self.fps:
            return None
        return index


class Proxy:
    """The open proxy of an asset: frames segment by segment, never all of them. A context."""

    def __init__(self, asset: Asset) -> None:
        try:
            self._container = av.open(str(asset.proxy))
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, OSError, IndexError) as error:
            raise AssetError(f"asset {asset.asset}: proxy {asset.proxy.name} cannot be read: {error}") from error
        self._stream.codec_context.thread_count = 1
        self.asset = asset
        self._cached: tuple[int, list[BytePlane]] = (-1, [])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of its pictures."""
        return self._stream.codec_context.height, self._stream.codec_context.width

    def segment(self, index: int) -> list[BytePlane]:
        """All frames of a segment: fewer than the index says only where the proxy ends early."""
        if self._cached[0] != index:
            segment = self.asset.segments[index]
            try:
                self._cached = (index, list(self._decoded(segment)))
            except av.FFmpegError as error:
                raise AssetError(
                    f"asset {self.asset.asset}: proxy cannot be read at {segment.start_s} s: {error}"
                ) from error
        return self._cached[1]

    def frame_at(self, time_s: float) -> BytePlane | None:
        """The frame shown at that time."""
        index = self.asset.segment_at(time_s)
        if index is None:
            return None
        frames = self.segment(index)
        shown = int((time_s - self.asset.segments[index].start_s) * self.asset.fps + 1e-3)
        return frames[min(shown, len(frames) - 1)] if frames else None

    def _decoded(self, segment: Segment) -> Iterator[BytePlane]:
        base = self._stream.time_base
        assert base is not None
        half = 0.5 / float(self.asset.fps)
        first = self._stream.start_time or 0
        self._container.seek(first + int(segment.start_s / base), stream=self._stream)
        count = 0
        for frame in self._container.decode(self._stream):
            if frame.pts is None or (frame.pts - first) * base < segment.start_s - half:
                continue
            plane = frame.planes[0]
            luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
            yield luma.copy()
            count += 1
            if count == segment.frames:
                return
