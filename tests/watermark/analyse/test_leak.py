import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from relay.watermark.analyse.errors import (
    LeakDurationError,
    LeakEmptyError,
    LeakError,
    LeakFormatError,
    LeakPictureError,
    LeakSizeError,
    LeakTruncatedError,
)
from relay.watermark.analyse.leak import Leak, read_leak
from relay.watermark.analyse.limits import Limits

LIMITS = Limits()


def video(frames: int = 25, size: tuple[int, int] = (160, 90), container: str = "mp4") -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container) as writer:
        stream = writer.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for k in range(frames):
            picture = np.full((size[1] * 3 // 2, size[0]), 16 + 4 * k % 200, np.uint8)
            writer.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        writer.mux(stream.encode())
    return out.getvalue()


def sound() -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as writer:
        stream = writer.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        writer.mux(stream.encode(frame))
        writer.mux(stream.encode())
    return out.getvalue()


def read(body: bytes, limits: Limits = LIMITS) -> Leak:
    return read_leak(io.BytesIO(body), limits, lambda _step, _done: None)


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "avi", "mov"])
def test_containers_that_are_read(container: str) -> None:
    with read(video(container=container)) as leak:
        assert len(leak.times) == 25
        assert leak.duration_s == pytest.approx(24 / 25, abs=0.01)
        assert leak.shape == (90, 160)
        assert not leak.cut_short


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", LeakFormatError),
        (b"no video at all" * 100, LeakFormatError),
        (b"#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\n", LeakFormatError),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", LeakFormatError),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), LeakFormatError),
        (video()[:1500], LeakTruncatedError),
        (video(container="matroska")[:40], LeakTruncatedError),
        (sound(), LeakEmptyError),
        (video(size=(32, 32)), LeakPictureError),
    ],
    ids=["empty", "text", "playlist", "concat", "image", "cut mp4", "cut matroska", "sound", "tiny"],
)
def test_what_cannot_be_read_is_told(body: bytes, error: type[LeakError]) -> None:
    with pytest.raises(error):
        read(body)


def test_limits_hold_before_anything_is_decoded() -> None:
    body = video()
    with pytest.raises(LeakSizeError, match="MB"):
        read(body, replace(LIMITS, size=len(body) - 1))
    with pytest.raises(LeakPictureError, match="14399 pixels"):
        read(body, replace(LIMITS, pixels=160 * 90 - 1))
    with pytest.raises(LeakDurationError, match="1 s"):
        read(body, replace(LIMITS, duration_s=0.5))


@pytest.mark.parametrize("container", ["mp4", "avi", "matroska"])
def test_huge_pictures_are_refused_by_their_size(container: str) -> None:
    with pytest.raises(LeakPictureError, match="pixels"):
        read(video(frames=1, size=(4096, 4096), container=container))


def test_what_is_left_of_a_damaged_copy_is_read() -> None:
    body = video(frames=100, container="mpegts")
    with read(body[: len(body) // 2]) as leak:
        assert 20 < len(leak.times) < 90


def test_frames_and_seconds_read_are_bounded() -> None:
    body = video(frames=60)
    with read(body, replace(LIMITS, frames=10)) as leak:
        assert len(leak.times) == 10
        assert leak.cut_short
    with read(body, replace(LIMITS, read_s=1.0)) as leak:
        assert leak.duration_s <= 1.0
        assert leak.cut_short


def test_kept_pictures_come_back_as_they_went_in() -> None:
    with read(video(frames=25)) as leak:
        assert np.all(np.diff(leak.kept) >= 0.09)
        shown = [leak.picture(k) for k in range(len(leak.kept))]
        assert all(picture.shape == (90, 160) for picture in shown)
        assert [int(picture.mean()) for picture in shown] == sorted(int(picture.mean()) for picture in shown)
        assert shown[0].mean() == pytest.approx(16, abs=2)


def test_a_clock_that_jumps_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "jump.mkv"
    with av.open(path, "w") as writer:
        stream = writer.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for k in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((135, 160), 16 + k, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = k + (100_000 if k >= 25 else 0), Fraction(1, 25)
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode())
    with read(path.read_bytes(), replace(LIMITS, duration_s=1e6)) as leak:
        assert np.all(np.diff(leak.times) > 0)
        assert leak.duration_s == pytest.approx(49 / 25, abs=0.1)
