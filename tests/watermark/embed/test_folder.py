"""Files of an output: whole or not there, and a full disk is told."""

import errno
import os
from pathlib import Path

import pytest

from relay.watermark.embed.errors import EmbedError
from relay.watermark.embed.folder import Done, Folder, pace_sidecar, put, put_joined
from relay.watermark.index import Mark

DONE = Done(3, 50, (10, 12), Mark(0.45, 20.5, 21))


def test_files_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    put(path, b"one")
    put(path, b"two")
    assert path.read_bytes() == b"two"
    put_joined(path, b"head", [path, path])
    assert path.read_bytes() == b"headtwotwo"
    assert [one.name for one in path.parent.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    put(path, b"before")

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EmbedError, match=r"file: No space left on device\. .* run the same command again"):
        put(path, b"after")
    assert path.read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_what_is_done_is_noted_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path)
    folder.put_segment("v720", [b"a", b"b"], DONE)
    assert folder.done("v720") == {3: DONE}
    assert folder.count_done("v720") == 1
    assert (tmp_path / "origin/v720/a/00003.m4s").read_bytes() == b"a"
    assert (tmp_path / "origin/v720/b/00003.m4s").read_bytes() == b"b"
    written: list[str] = []
    monkeypatch.setattr("relay.watermark.embed.folder.put", lambda path, body: written.append(path.name))
    folder.put_segment("v720", [b"a", b"b"], DONE)
    assert written[-1] == "00003.json"
    folder.forget("v720", 3)
    assert folder.done("v720") == {}


def test_positions_of_sidecars_have_15_bits() -> None:
    assert pace_sidecar(5) == pace_sidecar(5 + (1 << 15)) != pace_sidecar(6)


def test_a_folder_belongs_to_one_run(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    folder.begin("one")
    put(folder.origin / "v720/a/00000.m4s", b"whole")
    (folder.origin / "v720/a/.part-x").write_bytes(b"cut sho")
    folder.begin("one")
    assert [one.name for one in (folder.origin / "v720/a").iterdir()] == ["00000.m4s"]
    with pytest.raises(EmbedError, match="another source or with other settings"):
        folder.begin("other")
    put(folder.origin / "master.m3u8", b"")
    folder.clear_work()
    with pytest.raises(EmbedError, match="finished asset"):
        folder.begin("one")
