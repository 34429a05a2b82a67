"""The commands of the watermark."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keys.watermark import chip_key, code_key
from relay.cli import main
from relay.watermark.index import read_index
from tests.watermark.embed.clips import frames_of, texture, write_clip

SECRET = bytes(range(32))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["watermark", *map(str, arguments)])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "chip.key"
    path.write_text(SECRET.hex() + "\n")
    return path


def test_keys_of_an_asset_are_printed_together_or_apart(key: Path) -> None:
    found = json.loads(run("keys", "--secret-file", key, "--asset", "film").output)
    assert found == {
        "asset": "film",
        "chip": chip_key(SECRET, "film").hex(),
        "code": code_key(SECRET, "film").hex(),
    }
    alone = run("keys", "--secret-file", key, "--asset", "film", "--only", "chip").output.strip()
    assert alone == found["chip"]


@pytest.mark.parametrize(
    ("text", "why"), [("zz", "not hexadecimal"), ("00" * 31, "31 bytes"), ("ü", "not hexadecimal")]
)
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    found = run("keys", "--secret-file", path, "--asset", "film")
    assert found.exit_code == 1
    assert why in found.output


def test_a_clip_is_embedded(tmp_path: Path, key: Path) -> None:
    clip = write_clip(tmp_path / "film.mp4", list(frames_of(texture(k, 256, 144) for k in range(60))))
    out = tmp_path / "out"
    found = run("embed", clip, "--out", out, "--chip-key-file", key, "--jobs", 1, "--preset", "ultrafast")
    assert found.exit_code == 0, found.output
    assert "film: 2 segments, 2.4 s of v144" in found.output
    assert "v144: 144 lines: copies of it that are encoded again lose much of the mark." in found.output
    assert [one.frames for one in read_index((out / "asset/index.json").read_bytes()).segments] == [50, 10]
    again = run("embed", clip, "--out", out, "--chip-key-file", key)
    assert again.exit_code == 1
    assert "holds a finished asset. Choose a new folder." in again.output


def test_a_pipe_is_followed(tmp_path: Path, key: Path) -> None:
    clip = write_clip(tmp_path / "live.ts", list(frames_of(texture(k, 256, 144) for k in range(60))))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    writer.start()
    found = run(
        "embed", pipe, "--out", tmp_path / "out", "--chip-key-file", key, "--follow", "--idle", 1, "--segment", 1,
        "--epoch", 1_800_000_000, "--preset", "ultrafast", "--asset", "live",
    )  # fmt: skip
    writer.join()
    assert found.exit_code == 0, found.output
    assert "pipe has ended: 2 positions" in found.output
    assert (tmp_path / "out/origin/v144/index.m3u8").read_text().endswith("#EXT-X-ENDLIST\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nowhere.mp4"], "nowhere.mp4: not a file"),
        (["{key}"], "cannot be read as media"),
        (["{key}", "--rendition", "large"], "'large' is no rendition"),
        (["{key}", "--strength", "1.2"], "not in the range 0.2<=x<=0.8"),
        (["{key}", "--segment", "0.2"], "not in the range 1"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, key: Path, arguments: list[str], why: str) -> None:
    given = [argument.replace("{key}", str(key)) for argument in arguments]
    found = run("embed", *given, "--out", tmp_path / "out", "--chip-key-file", key)
    assert found.exit_code != 0
    assert why in found.output
    assert not (tmp_path / "out").exists()


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, key: Path) -> None:
    # In a process of its own: modules taken out of this one would be there twice afterwards.
    program = "import sys; sys.modules['av'] = None; from relay.cli import main; main()"
    command = [sys.executable, "-c", program, "watermark", "embed", str(key), "--out", str(tmp_path / "out")]
    found = subprocess.run([*command, "--chip-key-file", str(key)], capture_output=True, text=True)
    assert found.returncode == 1
    assert "install segmentgate[watermark]" in found.stderr
