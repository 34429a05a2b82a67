"""Near-live: positions locked to the epoch, a rolling window, an asset that is complete at any time."""

import io
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import m3u8
import pytest

from relay.watermark.embed.errors import SourceError
from relay.watermark.embed.follow import follow
from relay.watermark.embed.growing import Growing
from relay.watermark.embed.plan import Plan, Rung, planned
from relay.watermark.embed.source import Source
from relay.watermark.index import read_index
from tests.watermark.embed.clips import frames_of, texture, write_clip
from tests.watermark.embed.conftest import KEY

EPOCH = 1_800_000_000


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5.6 s of a transport stream."""
    frames = list(frames_of(texture(k, 256, 144) for k in range(140)))
    return write_clip(tmp_path_factory.mktemp("live") / "live.ts", frames, audio="aac")


def live_plan(out: Path) -> Callable[[Source], Plan]:
    def plan(source: Source) -> Plan:
        return planned(
            Path("live.ts"), source, out, "live", KEY, [Rung(0, 144, 0)],
            segment_s=Fraction(1), gain=0.45, crf=20, preset="ultrafast",
        )  # fmt: skip

    return plan


@pytest.fixture(scope="module")
def out(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is left of five positions."""
    folder = tmp_path_factory.mktemp("out")
    run(recording, folder, Fraction(EPOCH))
    return folder


def first_stamp(path: Path) -> Fraction:
    with av.open(str(path), "r") as container:
        frame = next(container.decode(video=0))
        assert frame.pts is not None
        assert frame.time_base is not None
        return frame.pts * frame.time_base


def run(recording: Path, out: Path, starts_at: Fraction, window_s: float = 3) -> tuple[int, list[int]]:
    told: list[int] = []
    made = follow(
        Growing(io.BytesIO(recording.read_bytes()), 0), "live.ts", live_plan(out), lambda: EPOCH + 9.0,
        window_s=window_s, epoch=starts_at - first_stamp(recording), progress=lambda position, _: told.append(position),
    )  # fmt: skip
    return made, told


def test_positions_are_those_of_the_clock_and_only_whole_ones_are_made(recording: Path, tmp_path: Path) -> None:
    # It starts 0.4 s into a position and ends within another: neither is made.
    made, told = run(recording, tmp_path, EPOCH + Fraction(2, 5))
    assert made == 5 - 1 + 1
    assert told == [EPOCH + 1 + k for k in range(5)]


def test_a_window_is_listed_and_twice_as_many_files_are_kept(out: Path) -> None:
    playlist = m3u8.loads((out / "origin/v144/index.m3u8").read_text())
    assert playlist.media_sequence == EPOCH + 2
    assert [segment.uri for segment in playlist.segments] == [f"{EPOCH + 2 + k}.m4s" for k in range(3)]
    assert playlist.segments[0].program_date_time.timestamp() == EPOCH + 2
    assert playlist.is_endlist
    assert len(list((out / "origin/v144/a").iterdir())) == 5
    sound = m3u8.loads((out / "origin/audio/index.m3u8").read_text())
    assert sound.media_sequence == EPOCH + 2
    assert not list((out / "work/v144").iterdir())
    assert not list((out / "work/proxy").glob("*.m4s"))


def test_what_is_listed_plays_in_time(out: Path) -> None:
    track = out / "origin/v144"
    body = (track / "init.mp4").read_bytes() + b"".join(
        (track / variant / f"{EPOCH + 2 + k}.m4s").read_bytes() for k, variant in enumerate("aba")
    )
    with av.open(io.BytesIO(body), "r") as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0) if frame.pts and frame.time_base]
    assert times == [EPOCH + 2 + Fraction(k, 25) for k in range(75)]


def test_its_asset_can_be_read_while_it_runs(out: Path) -> None:
    part = out / "asset" / str(EPOCH)
    index = read_index((part / "index.json").read_bytes())
    assert [(one.position, one.first_frame, one.frames) for one in index.segments] == [
        (EPOCH + k, 25 * k, 25) for k in range(5)
    ]
    with av.open(str(part / index.proxy.file), "r") as container:
        stamps = [frame.pts for frame in container.decode(video=0)]
    # Its time begins with it, in step with the index.
    assert stamps == [512 * k for k in range(125)]


def test_after_a_restart_the_clock_is_the_same(recording: Path, tmp_path: Path) -> None:
    first = make(recording, tmp_path, EPOCH)
    assert first == [EPOCH + k for k in range(5)]
    # It was down for seven seconds, and the source's time stamps went on: what comes now is where it was.
    assert make(recording, tmp_path, EPOCH + 7) == first


def make(recording: Path, out: Path, now: float) -> list[int]:
    told: list[int] = []
    source = Growing(io.BytesIO(recording.read_bytes()), 0)
    follow(source, "live.ts", live_plan(out), lambda: now, window_s=3, progress=lambda one, _: told.append(one))
    return told


def test_what_grows_is_waited_for_and_what_is_quiet_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"one")
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            with path.open("ab") as file:
                file.write(b"two")

    with path.open("rb") as file:
        growing = Growing(file, 0.2, pause)
        assert growing.read(100) == b"one"
        assert growing.read(100) == b"two"
        assert len(waits) == 2
        assert growing.read(100) == b""
        growing.stop()
        assert growing.read(100) == b""
        assert sum(waits[2:]) == pytest.approx(0.2)


def test_a_stream_without_pictures_is_refused(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(SourceError, match="cannot be read as media"):
        follow(Growing(io.BytesIO(b"noise" * 1000), 0), "noise", live_plan(tmp_path), lambda: 0.0, window_s=3)
    assert threading.active_count() == before
    assert not any(tmp_path.iterdir())
