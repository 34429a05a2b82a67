"""Small sources for the embedder, made with PyAV: texture that moves, a tone, and whatever is odd about a file."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame

from relay.watermark.embed.encode import luma_of, view_of
from relay.watermark.picture.planes import BytePlane

RATE = 25
WIDTH, HEIGHT = 426, 240


def texture(k: int, width: int = WIDTH, height: int = HEIGHT) -> BytePlane:
    """Frame ``k`` of a picture that moves a pixel a frame: smooth shapes, with detail over its right half."""
    rng = np.random.default_rng(11)
    wide = width + 400
    shapes = cv2.GaussianBlur(rng.uniform(0, 255, (height, wide)).astype(np.float32), (0, 0), 20)
    shapes = (shapes - shapes.mean()) * 12 + 120
    shapes[:, wide // 2 :] += cv2.GaussianBlur(
        rng.normal(0, 30, (height, wide - wide // 2)).astype(np.float32), (0, 0), 2
    )
    return np.asarray(np.clip(shapes[:, k : k + width], 16, 235), np.uint8)


def frames_of(lumas: Iterator[BytePlane]) -> Iterator[VideoFrame]:
    """Grey frames of these lumas."""
    for luma in lumas:
        frame = VideoFrame(luma.shape[1], luma.shape[0], "yuv420p")
        for plane in frame.planes:
            view_of(plane)[...] = 128
        luma_of(frame)[...] = luma
        yield frame


def write_clip(
    path: Path,
    frames: Sequence[VideoFrame],
    *,
    times: Sequence[Fraction] | None = None,
    audio: str = "",
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    change: Callable[[av.VideoCodecContext], None] = lambda codec: None,
) -> Path:
    """A file of these frames, shown at ``times`` (25 a second), with a tone in ``audio`` if that names a codec."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pix_fmt
        stream.options = {"preset": "ultrafast", "crf": "12", **(options or {})}
        stream.codec_context.time_base = Fraction(1, 90000)
        change(stream.codec_context)
        sound = container.add_stream(audio, rate=48000) if audio else None
        for k, frame in enumerate(frames):
            frame.pts = round((times[k] if times else Fraction(k, RATE)) * 90000)
            frame.time_base = Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if isinstance(sound, AudioStream):
            tone = np.sin(np.arange(round(len(frames) / RATE * 48000)) * 0.06).astype(np.float32) / 4
            for at in range(0, tone.size - 1024, 1024):
                piece = AudioFrame.from_ndarray(np.stack([tone[at : at + 1024]] * 2), format="fltp", layout="stereo")
                piece.sample_rate, piece.pts = 48000, at
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
    return path
