"""``segmentgate watermark analyze`` and ``revoke``, against a relay and without one."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keys.watermark import code_key
from tests.commands.test_operate import run
from tests.control.desk import API_KEY, Desk, desk_secrets, open_desk
from tests.watermark.jobs.conftest import LEAKER, SEGMENTS, Case

STREAMS = {"vod": {"origin": "http://127.0.0.1:9/vod/", "hls": "a.m3u8", "watermark": {"asset": "film"}}}


@pytest.fixture
async def desk(case: Case) -> AsyncIterator[Desk]:
    settings = {"watermark": {"analysis": {"assets": str(case.assets), "false_accusation": 1e-3}}}
    async with open_desk(streams=STREAMS, settings=settings) as made:
        for number in range(10, 30):
            visitor = made.watch(f"s{number}", f"account-{number}", device=f"tv-{number}", watermark=f"wm-{number}")
            for position in range(SEGMENTS):
                made.node.servings.viewing(visitor, "film").note(position, True, 1_800_000_000.0 + position)
        yield made


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "api.key"
    file.write_text(API_KEY)
    return file


@pytest.fixture
def leak(tmp_path: Path, case: Case) -> Path:
    file = tmp_path / "leak.mp4"
    file.write_bytes(case.leak)
    return file


async def test_a_relay_is_asked_and_the_viewer_stopped(desk: Desk, key: Path, leak: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    status, out, err = await run(
        desk, key, "watermark", "analyze", str(leak), "--asset", "film", "--report", str(report), "--actor", "anna"
    )
    assert status == 0, err
    assert out.startswith("identified\nasset film: ")
    for text in (LEAKER, "account-17", "tv-17", "s17", "2027-01-15 08:00:00Z", "2027-01-15 08:00:25Z"):
        assert text in out.splitlines()[-1]
    assert "account-17" in report.read_text()
    status, out, err = await run(desk, key, "watermark", "revoke", LEAKER)
    assert status == 0, err
    assert json.loads(out)["target"] == {"type": "watermark", "value": LEAKER}


async def test_the_same_is_found_without_a_relay(desk: Desk, key: Path, leak: Path, case: Case, tmp_path: Path) -> None:
    secret = desk_secrets().watermark_secret
    files = {"secret": secret.hex(), "code": code_key(secret, "film").hex()}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    _, answered, _ = await desk.call("GET", "/api/v1/drm/watermark/candidates?asset=film")
    (tmp_path / "candidates").write_bytes(answered)
    here = (
        "watermark",
        "analyze",
        str(leak),
        "--assets",
        str(case.assets),
        "--chip-key-file",
        str(tmp_path / "secret"),
    )
    status, out, err = await run(desk, key, *here)
    assert status == 0, err
    assert out.startswith("read; nobody was asked about")
    assert f"{SEGMENTS} of {SEGMENTS} segments read" in out
    assert LEAKER not in out
    report = tmp_path / "report.json"
    status, out, err = await run(
        desk, key, *here, "--candidates", str(tmp_path / "candidates"), "--code-key-file", str(tmp_path / "code"),
        "--false-accusation", "1e-3", "--report", str(report),
    )  # fmt: skip
    assert status == 0, err
    assert LEAKER in out
    assert "account-17" in out
    assert json.loads(report.read_bytes())["matches"][0]["watermark_id"] == LEAKER


async def test_what_is_wrong_is_told_in_a_line(desk: Desk, key: Path, tmp_path: Path, case: Case) -> None:
    text, truncated = tmp_path / "notes.txt", tmp_path / "truncated.mp4"
    text.write_text("no video")
    truncated.write_bytes(case.leak[:100_000])
    wrong = tmp_path / "wrong"
    wrong.write_text("00" * 32)
    for arguments, told in (
        ((text,), "leak_not_video (2022)"),
        ((truncated,), "leak_truncated (2023)"),
        ((text, "--asset", "other"), "leak_not_video"),
        ((text, "--assets", case.assets), "--assets needs --chip-key-file"),
        ((text, "--assets", case.assets, "--chip-key-file", wrong), "no MP4"),
        ((text, "--assets", tmp_path, "--chip-key-file", wrong), "the assets' folder is empty"),
        ((text, "--assets", case.assets, "--chip-key-file", wrong, "--candidates", text), "--code-key-file together"),
    ):
        status, out, err = await run(desk, key, "watermark", "analyze", *map(str, arguments))
        assert (status != 0, out) == (True, ""), arguments
        assert told in err, err
        assert "Traceback" not in err
