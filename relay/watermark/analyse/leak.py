"""A suspected copy, decoded once: thumbs of all of it in memory, a small picture every 0.1 s in a file without a name.

Uploads are hostile until proved otherwise. Containers are a short list, playlists and other files are out of reach
(the demuxer gets the upload as an open file, and no way to open another), sizes are checked before decoding.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import IO, Any, BinaryIO, NoReturn, Self

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from relay.watermark.analyse.activity import Times, thumb_of
from relay.watermark.analyse.errors import (
    LeakDurationError,
    LeakEmptyError,
    LeakFormatError,
    LeakPictureError,
    LeakSizeError,
    LeakTruncatedError,
)
from relay.watermark.analyse.limits import MB, Limits
from relay.watermark.analyse.luma import luma_of
from relay.watermark.picture.planes import BytePlane

WIDTH = 480
KEPT_EVERY_S = 0.1
_MOST_PIXELS = WIDTH * 960
_LEAST_SIDE = 64
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,avi"
# What files of these containers begin with: (offset, bytes).
_BEGINNINGS = ((4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"), (0, b"RIFF"), (4, b"moov"), (4, b"mdat"))
_BAD_PACKETS = 500
# A jump in time stamps larger than this is one of the container's clock, not a pause of the film.
_LONGEST_GAP_S = 10.0

Progress = Callable[[str, float], None]
"""Told the step and the share of it that is done."""


class Leak:
    """The decoded copy. A context: leaving it gives back the disk space."""

    def __init__(self, size: tuple[int, int], store: IO[bytes]) -> None:
        self.size = size
        """Width and height of the upload's pictures."""
        self.cut_short = False
        """Whether it was damaged, or longer than is read: what follows was left out."""
        self._store = store
        self._shape = (0, 0)
        self._times: list[float] = []
        self._thumbs: list[BytePlane] = []
        self._kept: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    @cached_property
    def times(self) -> Times:
        """The time of each frame in seconds from the first, ascending."""
        return np.asarray(self._times)

    @cached_property
    def thumbs(self) -> npt.NDArray[np.uint8]:
        """All frames at 48 x 27."""
        return np.stack(self._thumbs)

    @cached_property
    def kept(self) -> Times:
        """The times of the kept pictures."""
        return np.asarray(self._kept)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the kept pictures."""
        return self._shape

    @property
    def is_anything(self) -> bool:
        """Whether there is any frame yet."""
        return bool(self._times)

    @property
    def duration_s(self) -> float:
        """From the first frame to the last."""
        return self._times[-1]

    def picture(self, index: int) -> BytePlane:
        """The kept picture of that index."""
        rows, columns = self._shape
        self._store.seek(index * rows * columns)
        return np.frombuffer(self._store.read(rows * columns), np.uint8).reshape(rows, columns)

    def add(self, time: float, luma: BytePlane) -> None:
        """The next frame. Where sizes change on the way, all are brought to the shape of the first."""
        if not self._times:
            self._shape = _kept_shape(luma)
        self._times.append(time)
        self._thumbs.append(thumb_of(luma))
        if not self._kept or time >= self._kept[-1] + KEPT_EVERY_S - 2e-3:
            self._kept.append(time)
            rows, columns = self._shape
            self._store.write(cv2.resize(luma, (columns, rows), interpolation=cv2.INTER_AREA).tobytes())


def read_leak(source: BinaryIO, limits: Limits, progress: Progress) -> Leak:
    """Decode a copy. Raises a :class:`relay.watermark.analyse.errors.LeakError` that says what is wrong with it."""
    size = source.seek(0, 2)
    if size > limits.size:
        raise LeakSizeError(
            f"the upload has {size / MB:.0f} MB, more than the {limits.size / MB:.0f} MB that are taken"
        )
    source.seek(0)
    beginning = source.read(12)
    source.seek(0)
    with _opened(source, beginning, limits) as container:
        if not container.streams.video:
            raise LeakEmptyError("the upload has no video stream")
        stream = container.streams.video[0]
        _check(stream, container, limits)
        leak = Leak((stream.codec_context.width, stream.codec_context.height), tempfile.TemporaryFile())  # noqa: SIM115 - it owns it
        try:
            length_s = min(_length_s(stream, container), limits.read_s)
            for count, (time, luma) in enumerate(_pictures(container, stream, limits, leak)):
                leak.add(time, luma)
                if count % 64 == 63:
                    progress("decode", min(1.0, time / max(length_s, time)))
            if not leak.is_anything:
                raise LeakEmptyError("no frame of the upload's video could be decoded")
        except BaseException:
            leak.__exit__()
            raise
    return leak


def _opened(source: BinaryIO, beginning: bytes, limits: Limits) -> InputContainer:
    bound = {"max_pixels": str(limits.pixels)}
    try:
        return av.open(
            source,
            mode="r",
            options=bound,
            container_options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"},
            io_open=_nothing_else,
        )
    except (av.FFmpegError, ValueError, OSError) as error:
        if any(beginning[at:].startswith(mark) for at, mark in _BEGINNINGS):
            raise LeakTruncatedError(
                "the upload ends before what is needed to read it, or is damaged there: send the whole file"
            ) from error
        raise LeakFormatError("the upload is no MP4, MOV, Matroska, WebM, MPEG-TS or AVI file") from error


def _nothing_else(url: str, flags: int, options: dict[str, Any]) -> NoReturn:
    raise PermissionError("an upload may not refer to other files")


def _check(stream: VideoStream, container: InputContainer, limits: Limits) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if not width * height:
        # The decoder was told the limit and refused.
        raise LeakPictureError(
            f"the upload's pictures have no size that can be read, or more than {limits.pixels} pixels"
        )
    _check_picture(width, height, limits)
    length = _length_s(stream, container)
    if length > limits.duration_s:
        raise LeakDurationError(
            f"the upload lasts {length:.0f} s, longer than the {limits.duration_s:.0f} s that are taken"
        )


def _check_picture(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        raise LeakPictureError(f"the upload's pictures are {width} x {height}, more than {limits.pixels} pixels")
    if min(width, height) < _LEAST_SIDE:
        raise LeakPictureError(f"the upload's pictures are {width} x {height}: too small, {_LEAST_SIDE} are the least")


def _length_s(stream: VideoStream, container: InputContainer) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _pictures(
    container: InputContainer, stream: VideoStream, limits: Limits, leak: Leak
) -> Iterator[tuple[float, BytePlane]]:
    """Frames with their times from zero on, ascending, whatever the container's clock does."""
    step = 1 / float(stream.average_rate or 25)
    offset, last = None, -step
    for count, frame in enumerate(_frames(container, stream, leak)):
        if count >= limits.frames:
            leak.cut_short = True
            return
        _check_picture(frame.width, frame.height, limits)
        stamp = frame.time if frame.time is not None else last + step + (offset or 0.0)
        if offset is None or not last < stamp - offset < last + _LONGEST_GAP_S:
            offset = stamp - last - step
        last = stamp - offset
        if last > limits.read_s:
            leak.cut_short = True
            return
        yield last, luma_of(frame)


def _frames(container: InputContainer, stream: VideoStream, leak: Leak) -> Iterator[VideoFrame]:
    # One thread: the job's limit is one core, and frame threads hold a picture each.
    stream.codec_context.thread_count = 1
    bad = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
            frames = packet.decode()
        except StopIteration:
            return
        except MemoryError:
            # FFmpeg's, too: the limit of whoever reads, and no damage to the packet.
            raise
        except av.FFmpegError:
            leak.cut_short = True
            bad += 1
            if bad > _BAD_PACKETS:
                return
            continue
        yield from (frame for frame in frames if isinstance(frame, VideoFrame))


def _kept_shape(luma: BytePlane) -> tuple[int, int]:
    """At most 480 wide, and of bounded area where it is high; never enlarged."""
    height, width = luma.shape
    scale = min(1.0, WIDTH / width, (_MOST_PIXELS / (width * height)) ** 0.5)
    return max(1, round(height * scale)), max(1, round(width * scale))
