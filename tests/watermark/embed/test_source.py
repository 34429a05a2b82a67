"""Sources as they come: rates, shapes, depths and damage, and those that are refused."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from relay.watermark.embed.audio import read_sound
from relay.watermark.embed.encode import luma_of
from relay.watermark.embed.errors import SourceError
from relay.watermark.embed.source import Source, frames, probe
from tests.watermark.embed.clips import HEIGHT, WIDTH, frames_of, texture, write_clip


def levels(count: int) -> list[VideoFrame]:
    """Flat frames whose luma says their number."""
    return list(frames_of(np.full((HEIGHT, WIDTH), 30 + k, np.uint8) for k in range(count)))


def read(path: Path, start: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> list[tuple[int, int]]:
    """Ticks, and the numbers that their frames show."""
    source = probe(path, path.name)
    return [(tick, round(float(luma_of(frame).mean())) - 30) for tick, frame in frames(path, source, size, start)]


def test_a_constant_rate_is_read_as_it_is(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", levels(30))
    assert probe(path, "clip").rate == 25
    assert read(path) == [(k, k) for k in range(30)]


def test_reading_may_begin_anywhere(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", levels(150), options={"g": "20"})
    assert read(path, 117) == [(k, k) for k in range(117, 150)]
    assert read(path, 150) == []


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts"])
def test_so_it_may_in_files_that_have_no_index(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, levels(110), options={"g": "25"})
    assert read(path, 100)[-1][1] == 109
    assert [tick for tick, _ in read(path, 100)] == list(range(100, 110))


def test_time_stamps_decide_where_the_rate_varies(tmp_path: Path) -> None:
    # A frame stays for three ticks, one comes too early to be shown, and stamps are off by a third of a tick.
    ticks = [Fraction(k, 10) for k in (0, 13, 20, 47, 57, 60, 70)]
    times = [tick / 25 for tick in ticks]
    path = write_clip(tmp_path / "clip.mkv", levels(7), times=times)
    source = probe(path, "clip")
    paced = Source("clip", WIDTH, HEIGHT, Fraction(25), source.first, None, 0, source.colour)
    found = [(tick, round(float(luma_of(frame).mean())) - 30) for tick, frame in frames(path, paced, (WIDTH, HEIGHT))]
    assert found == [(0, 0), (1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (6, 5), (7, 6)]


def test_time_stamps_that_jump_are_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", levels(3), times=[Fraction(0), Fraction(1, 25), Fraction(100)])
    source = probe(path, "clip")
    paced = Source("clip", WIDTH, HEIGHT, Fraction(25), source.first, None, 0, source.colour)
    with pytest.raises(SourceError, match=r"time stamps jump by 100\.0 s"):
        list(frames(path, paced, (WIDTH, HEIGHT)))


def test_anamorphic_pictures_become_square(tmp_path: Path) -> None:
    def wide(codec: av.VideoCodecContext) -> None:
        codec.sample_aspect_ratio = Fraction(4, 3)

    path = write_clip(tmp_path / "clip.mp4", list(frames_of(iter([texture(0, 320, 240)] * 3))), change=wide)
    source = probe(path, "clip")
    assert (source.width, source.height) == (426, 240)


def test_ten_bits_become_eight(tmp_path: Path) -> None:
    ten = [frame.reformat(format="yuv420p10le") for frame in levels(3)]
    path = write_clip(tmp_path / "clip.mp4", ten, pix_fmt="yuv420p10le")
    source = probe(path, "clip")
    for k, (_, frame) in enumerate(frames(path, source, (WIDTH, HEIGHT))):
        assert frame.format.name == "yuv420p"
        assert np.all(luma_of(frame) == 30 + k)


def test_flagged_interlace_is_taken_out(tmp_path: Path) -> None:
    # A bar that moves by its width with each field.
    combs = np.full((6, HEIGHT, WIDTH), 60, np.uint8)
    for k, comb in enumerate(combs):
        for field in range(2):
            comb[field::2, 40 * (2 * k + field) : 40 * (2 * k + field + 1)] = 180
    path = write_clip(tmp_path / "clip.mp4", list(frames_of(iter(combs))), options={"x264-params": "tff=1", "crf": "5"})
    found = [luma_of(frame).astype(int) for _, frame in frames(path, probe(path, "clip"), (WIDTH, HEIGHT))]
    assert len(found) == 6
    assert np.abs(np.diff(combs[3].astype(int), axis=0)).mean() > 20
    assert np.abs(np.diff(found[3][20:-20], axis=0)).mean() < 5


def test_hdr_is_refused(tmp_path: Path) -> None:
    def pq(codec: av.VideoCodecContext) -> None:
        codec.color_primaries, codec.color_trc, codec.colorspace = 9, 16, 9

    path = write_clip(tmp_path / "clip.mp4", levels(2), change=pq)
    with pytest.raises(SourceError, match="HDR, PQ"):
        probe(path, "clip")


def damaged(path: Path) -> None:
    path.write_bytes(b"\x00\x01 not media at all" * 400)


def silent_picture(path: Path) -> None:
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))


def tiny(path: Path) -> None:
    clip = write_clip(path.with_suffix(".mkv"), list(frames_of(iter([texture(0, 64, 64)] * 2))))
    clip.rename(path)


def empty(path: Path) -> None:
    path.touch()


def bare(path: Path) -> None:
    write_clip(path.with_suffix(".h264"), levels(5)).rename(path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (bare, "no time stamps"),
        (damaged, "cannot be read as media"),
        (empty, "cannot be read as media"),
        (silent_picture, "has no video"),
        (tiny, "64x64, expected sides from 144"),
    ],
)
def test_what_is_no_source_is_said_to_be_none(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    path = tmp_path / "source"
    make(path)
    with pytest.raises(SourceError, match=f"source: .*{why}"):
        probe(path, "source")


def test_damage_costs_frames_and_not_the_source(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.ts", list(frames_of(texture(k) for k in range(100))), options={"g": "10"})
    body = bytearray(path.read_bytes())
    body[len(body) // 2 : len(body) // 2 + 2000] = bytes(2000)
    path.write_bytes(body)
    found = list(frames(path, probe(path, "clip"), (WIDTH, HEIGHT)))
    assert [tick for tick, _ in found] == list(range(100))


def test_aac_is_passed_on_as_it_is(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", levels(50), audio="aac")
    found = read_sound(path, probe(path, "clip"))
    assert found is not None
    sound, units = found
    with av.open(str(path), "r") as container:
        given = [bytes(packet) for packet in container.demux(audio=0) if packet.pts is not None and packet.pts >= 0]
    assert (sound.rate, sound.channels) == (48000, 2)
    assert [unit.data for _, unit in units] == given


@pytest.mark.parametrize(("name", "codec"), [("clip.mkv", "flac"), ("clip.mkv", "libopus"), ("clip.ts", "mp2")])
def test_other_sound_becomes_aac_from_the_first_picture_on(tmp_path: Path, name: str, codec: str) -> None:
    path = write_clip(tmp_path / name, levels(50), audio=codec)
    found = read_sound(path, probe(path, "clip"))
    assert found is not None
    sound, units = found
    listed = list(units)
    assert listed[0][0] == 0
    assert all(unit.duration == 1024 for _, unit in listed)
    assert listed[-1][0] / sound.rate == pytest.approx(2, abs=0.1)
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = sound.config
    shown = [frame for _, unit in listed for frame in decoder.decode(av.Packet(unit.data))]
    assert max(np.abs(frame.to_ndarray()).max() for frame in shown) == pytest.approx(0.25, abs=0.05)


def test_a_source_without_sound_has_none(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", levels(3))
    assert read_sound(path, probe(path, "clip")) is None


def test_a_pipe_cannot_be_sought_in_and_is_read_all_the_same(tmp_path: Path) -> None:
    from relay.watermark.embed.growing import Growing

    path = write_clip(tmp_path / "clip.ts", levels(30))
    source = probe(Growing(io.BytesIO(path.read_bytes()), 0), "pipe")
    assert (source.width, source.height) == (WIDTH, HEIGHT)
    assert source.rate == 25
