"""A short film for the analyser, marked as the embedder marks: textures that drift, things that move, cuts."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import msgspec
import numpy as np

from relay.watermark.analyse.activity import FILE as ACTIVITY
from relay.watermark.analyse.asset import activity_of
from relay.watermark.index import FILE, AssetIndex, Mark, Proxy, Segment, key_check
from relay.watermark.picture.grid import chips, grid_of
from relay.watermark.picture.mark import Marker, variant_of
from relay.watermark.picture.planes import BytePlane

KEY = b"k" * 32
SIZE = (640, 360)
FPS = 25
FRAMES = 50
"""Of a segment."""
GAIN = 0.7


def scenes(seed: int, segments: int) -> Iterator[BytePlane]:
    """One scene a segment, so that there is something to find a passage by."""
    width, height = SIZE
    noise = np.random.default_rng(seed)
    for scene in range(segments):
        ground = _texture(noise, width + 200, height + 60, 1.0 + 0.3 * (scene % 3))
        speed = noise.uniform(0, 2, 2)
        things = [
            (
                noise.uniform(0, [width, height]),
                noise.uniform(-4, 4, 2),
                int(noise.integers(10, 50)),
                int(noise.integers(20, 230)),
            )
            for _ in range(12)
        ]
        for k in range(FRAMES):
            x, y = (speed * k).astype(int)
            picture = np.clip(70 + 30 * (scene % 4) + 28 * ground[y % 60 :, x:][:height, :width], 0, 255).astype(
                np.uint8
            )
            for place, move, radius, grey in things:
                at = (place + move * k) % (width, height)
                cv2.circle(picture, (int(at[0]), int(at[1])), radius, (grey,), -1, cv2.LINE_AA)
            yield picture


def _texture(noise: np.random.Generator, width: int, height: int, roughness: float) -> np.ndarray:
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = 1
    texture = np.real(np.fft.ifft2(np.fft.fft2(noise.standard_normal((height, width))) / frequency**roughness))
    return np.asarray((texture - texture.mean()) / texture.std(), np.float32)


def marked(frames: Iterable[BytePlane], asset: str, bits: list[int]) -> Iterator[BytePlane]:
    """What a session got whose variants were ``bits``."""
    grid = grid_of(*SIZE)
    for number, frame in enumerate(frames):
        position, k = divmod(number, FRAMES)
        if k == 0:
            marker = Marker(chips(KEY, asset, position, grid.rows, grid.columns), *SIZE)
        yield variant_of(frame, marker.offset(frame, k, FRAMES, GAIN), bits[position])


def write(path: Path, frames: Iterable[BytePlane], size: tuple[int, int] = SIZE) -> None:
    """Encode luma as H.264, a closed GOP a segment."""
    width, height = size
    with av.open(path, "w") as container:
        options = {"crf": "20", "preset": "veryfast", "g": str(FRAMES), "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        grey = np.full((height // 2, width), 128, np.uint8)
        for luma in frames:
            small = luma if luma.shape == (height, width) else cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
            planes = np.asarray(np.vstack((small, grey)), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())


def write_asset(folder: Path, asset: str, seed: int, segments: int) -> None:
    """The folder that the embedder writes for the analyser."""
    folder.mkdir(parents=True)
    write(folder / "proxy.mp4", scenes(seed, segments), (480, 270))
    grid = grid_of(*SIZE)
    index = AssetIndex(
        asset=asset,
        key_check=key_check(KEY, asset),
        segment_ms=FRAMES * 1000 // FPS,
        rate=Fraction(FPS).as_integer_ratio(),
        width=SIZE[0],
        height=SIZE[1],
        rows=grid.rows,
        columns=grid.columns,
        proxy=Proxy("proxy.mp4", 480, 270),
        segments=[
            Segment(k, k * FRAMES, FRAMES, k * 2000, 2000, {"v360": Mark(GAIN, 30.0, 30.0)}) for k in range(segments)
        ],
    )
    (folder / FILE).write_bytes(msgspec.json.encode(index))
    np.save(folder / ACTIVITY, activity_of(folder / "proxy.mp4"))
