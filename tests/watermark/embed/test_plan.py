"""Plans: which renditions fit a source, what they are called, and when two runs are the same."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from relay.watermark.embed.errors import EmbedError
from relay.watermark.embed.plan import Plan, Rung, planned
from relay.watermark.embed.pool import runs
from relay.watermark.embed.source import Colour, Source
from relay.watermark.embed.timing import Timing

SOURCE = Source("film.mp4", 1280, 720, Fraction(30000, 1001), Fraction(0), 61.0, 0, Colour(2, 2, 2))


def plan_of(path: Path, *texts: str, source: Source = SOURCE, segment_s: Fraction = Fraction(2)) -> Plan:
    return planned(
        path, source, Path("out"), "film", bytes(32), [Rung.parse(text) for text in texts],
        segment_s=segment_s, gain=0.45, crf=20, preset="veryfast",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rung"),
    [
        ("1280x720@2500k", Rung(1280, 720, 2_500_000)),
        ("720@800k", Rung(0, 720, 800_000)),
        ("360", Rung(0, 360, 0)),
    ],
)
def test_a_rendition_is_read(text: str, rung: Rung) -> None:
    assert Rung.parse(text) == rung


@pytest.mark.parametrize("text", ["", "x720", "720p", "1280x720@2500", "1280x720@k", "-720", "７２０", "720\n"])
def test_what_is_no_rendition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no rendition"):
        Rung.parse(text)


def test_renditions_are_named_by_their_lines_and_come_largest_first() -> None:
    plan = plan_of(Path("film.mp4"), "360@400k", "720@2500k", "360@800k")
    assert [(one.name, one.encoding.width, one.encoding.peak) for one in plan.renditions] == [
        ("v720", 1280, 2_500_000),
        ("v360", 640, 800_000),
        ("v360-400k", 640, 400_000),
    ]


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["641x360"], "odd sizes"),
        (["640x480"], "another shape .* Take 854x480"),
        (["1920x1080"], "larger than the source"),
        (["360", "360"], "twice"),
    ],
)
def test_renditions_that_do_not_fit_are_refused(texts: list[str], why: str) -> None:
    with pytest.raises(EmbedError, match=why):
        plan_of(Path("film.mp4"), *texts)


def test_segments_that_do_not_fit_in_memory_are_refused() -> None:
    large = replace(SOURCE, width=7680, height=4320, rate=Fraction(60))
    with pytest.raises(EmbedError, match="shorten it"):
        plan_of(Path("film.mp4"), "4320", source=large)


def test_a_run_is_known_by_all_that_its_files_depend_on(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"film")
    plan = plan_of(path, "720")
    others = [
        plan_of(path, "360"),
        plan_of(path, "720@900k"),
        plan_of(path, "720", segment_s=Fraction(3)),
        replace(plan, gain=0.5),
        replace(plan, pattern=replace(plan.pattern, chip_key=bytes(31) + b"\x01")),
        replace(plan, pattern=replace(plan.pattern, asset="film2")),
    ]
    assert len({one.identity for one in (plan, *others)}) == 7
    assert plan_of(path, "720").identity == plan.identity
    before = plan.identity
    path.write_bytes(b"another film")
    assert plan.identity != before


def test_no_key_shows() -> None:
    assert str(bytes(32)) not in repr(plan_of(Path("film.mp4"), "720"))


@pytest.mark.parametrize(
    ("done", "expected", "jobs", "found"),
    [
        (set(), 70, 2, [(0, 30), (30, 60), (60, None)]),
        (set(), 4, 2, [(0, 2), (2, 4), (4, None)]),
        ({0, 1, 4}, 6, 1, [(2, 4), (5, None)]),
        ({0, 1}, 2, 1, [(2, None)]),
        (set(), None, 4, [(0, None)]),
        ({0, 1, 2}, None, 4, [(3, None)]),
        ({0, 2}, None, 4, [(1, None)]),
    ],
)
def test_what_is_left_is_cut_into_runs(
    done: set[int], expected: int | None, jobs: int, found: list[tuple[int, int | None]]
) -> None:
    # The last has no end: what a container says of its length may be wrong.
    assert [(run.start, run.stop if run.stop < 1 << 31 else None) for run in runs(done, expected, jobs)] == found


def test_positions_start_with_the_first_frame_not_before_them() -> None:
    ntsc = Timing(Fraction(30000, 1001), Fraction(2))
    assert (ntsc.timescale, ntsc.tick) == (30000, 1001)
    assert [ntsc.first_frame(position) for position in range(4)] == [0, 60, 120, 180]
    assert ntsc.first_frame(500) == 29971
    for position in (0, 1, 499, 500, 10**9):
        first = ntsc.first_frame(position)
        assert ntsc.position(first) == position
        assert ntsc.position(first - 1) == position - 1 if position else True
        assert ntsc.frames(position) in (59, 60)
    pal = Timing(Fraction(25), Fraction(2))
    assert (pal.timescale, pal.tick, pal.frames(7)) == (12800, 512, 50)
