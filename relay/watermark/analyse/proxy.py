"""The small proxy of an asset's luma, decoded segment by segment: the whole of a film would not fit in memory."""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, islice
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
        self.asset = asset
        self._cached: OrderedDict[int, list[BytePlane]] = OrderedDict()
        self._ahead: tuple[int, Iterator[BytePlane]] | None = None
        try:
            self._open()
        except (av.FFmpegError, OSError, IndexError) as error:
            raise AssetError(f"asset {asset.asset}: proxy {asset.proxy.name} cannot be read: {error}") from error

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
            following = self._ahead[1] if self._ahead and self._ahead[0] == index else self._from(segment)
            frames = list(islice(following, segment.frames))
        except (av.FFmpegError, OSError) as error:
            self._ahead = None
            raise AssetError(
                f"asset {self.asset.asset}: proxy cannot be read at {segment.start_s} s: {error}"
            ) from error
        self._ahead = index + 1, following
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

    def _open(self) -> None:
        self._container = av.open(str(self.asset.proxy))
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1

    def _from(self, segment: Segment) -> Iterator[BytePlane]:
        """All frames from the beginning of a segment on."""
        # Opened anew, for in a fragmented file libavformat's second search may end at a later fragment without a word:
        # its index has then only those that were read. From four milliseconds on.
        self._container.close()
        self._open()
        base = self._stream.time_base
        assert base is not None
        start = (self._stream.start_time or 0) + int(segment.start_s / base)
        self._container.seek(start, stream=self._stream)
        half = int(0.5 / (self.asset.fps * base))
        frames = self._container.decode(self._stream)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts > start + half:
            self._container.close()
            self._open()
            first, frames = None, self._container.decode(self._stream)
        for frame in frames if first is None else chain((first,), frames):
            if frame.pts is not None and frame.pts >= start - half:
                yield luma_of(frame).copy()
