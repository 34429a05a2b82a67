"""The small proxy of an asset's luma, decoded segment by segment: the whole of a film would not fit in memory."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Self

import av

from relay.watermark.analyse.asset import Asset, Segment
from relay.watermark.analyse.errors import AssetError
from relay.watermark.analyse.luma import luma_of
from relay.watermark.picture.planes import BytePlane

_CACHED_BYTES = 80_000_000  # of decoded segments: a dozen of 2 s


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
        self._cached: OrderedDict[int, list[BytePlane]] = OrderedDict()

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
        if index in self._cached:
            self._cached.move_to_end(index)
            return self._cached[index]
        segment = self.asset.segments[index]
        try:
            frames = list(self._decoded(segment))
        except av.FFmpegError as error:
            raise AssetError(
                f"asset {self.asset.asset}: proxy cannot be read at {segment.start_s} s: {error}"
            ) from error
        self._cached[index] = frames
        while len(self._cached) > 1 and sum(len(f) * f[0].nbytes for f in self._cached.values() if f) > _CACHED_BYTES:
            self._cached.popitem(last=False)
        return frames

    def shown_at(self, time_s: float) -> tuple[int, int] | None:
        """Which frame is shown at that time: the segment's index, and the number in it."""
        index = self.asset.segment_at(time_s)
        if index is None:
            return None
        frames = len(self.segment(index))
        shown = int((time_s - self.asset.segments[index].start_s) * self.asset.fps + 1e-3)
        return (index, min(shown, frames - 1)) if frames else None

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
            yield luma_of(frame).copy()
            count += 1
            if count == segment.frames:
                return
