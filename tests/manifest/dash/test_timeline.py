"""Arithmetic on runs against the same on segments written out."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from keys.periods import RotationPolicy, Schedule
from relay.errors import ManifestError, UnsupportedMediaError
from relay.manifest.dash.timeline import Anchor, Run, Timing, read_timeline, write_timeline

NS = "urn:mpeg:dash:schema:mpd:2011"
ANCHOR = Anchor(1_000_000, 90_000, 500)
SECONDS = Anchor(0, 1, 0)


@st.composite
def timings(draw: st.DrawFn) -> Timing:
    scale = draw(st.sampled_from([1, 10, 1000, 12_288, 48_000, 90_000]))
    anchor = Anchor(draw(st.integers(0, 10**13)), scale, draw(st.integers(0, 10**6)))
    tick, number = draw(st.integers(0, 10**9)), draw(st.integers(0, 1000))
    runs = []
    for _ in range(draw(st.integers(1, 4))):
        run = Run(tick, draw(st.integers(max(1, scale // 2), 8 * scale)), draw(st.integers(1, 12)), number)
        runs.append(run)
        tick = run.start + (run.count or 0) * run.duration + draw(st.sampled_from([0, 0, scale]))
        number += run.count or 0
    return Timing(anchor, tuple(runs), listed=True)


def spelled(timing: Timing) -> list[tuple[int, int, int]]:
    return [
        (run.start + i * run.duration, run.duration, run.number + i)
        for run in timing.runs
        for i in range(run.count or 0)
    ]


@given(timings(), st.integers(2000, 60_000), st.lists(st.integers(0, 10**13), max_size=3))
def test_stretches_follow_the_schedule(timing: Timing, interval: int, boundaries: list[int]) -> None:
    schedule = Schedule(RotationPolicy(interval, 0), tuple(sorted(boundaries)))
    stretches = timing.stretches(schedule, 1000)
    assert stretches is not None
    expected = [(n, t, schedule.period_of(timing.anchor.ms(t)).start) for t, _, n in spelled(timing)]
    for number, tick, period in expected:
        (mine,) = [s for s in stretches if s.first_number <= number <= s.last_number]
        assert mine.period == period
        assert mine.first_tick <= tick <= mine.last_tick
    assert len(stretches) == len({period for _, _, period in expected})


@given(timings(), st.fractions(0, 200), st.fractions(0, 200))
def test_cut_keeps_what_overlaps(timing: Timing, one: Fraction, other: Fraction) -> None:
    base = timing.anchor.seconds(timing.runs[0].start)
    start, end = sorted((base + one, base + other))
    slack = Fraction(1, 1000)
    expected = [
        segment
        for segment in spelled(timing)
        if timing.anchor.seconds(segment[0] + segment[1]) > start + slack
        and timing.anchor.seconds(segment[0]) < end - slack
    ]
    assert spelled(timing.cut(start, end)) == expected
    assert spelled(timing.cut(None, None)) == spelled(timing)


@given(timings(), st.integers(-10_000, 10_000))
def test_tick_at_is_the_first_tick_of_its_time(timing: Timing, delta: int) -> None:
    anchor = timing.anchor
    ms = anchor.origin_ms + delta
    tick = anchor.tick_at(ms)
    assert anchor.ms(tick) >= ms
    assert anchor.ms(tick - 1) < ms


@given(timings())
def test_round_trip(timing: Timing) -> None:
    parent = etree.Element(f"{{{NS}}}SegmentTemplate")
    write_timeline(parent, timing.runs)
    assert read_timeline(parent[0], timing.runs[0].number, timing.anchor, None, None) == timing.runs


def read(entries: str, end: Fraction | None = None, now: Fraction | None = None) -> tuple[Run, ...]:
    return read_timeline(etree.fromstring(f"<T>{entries}</T>"), 1, SECONDS, end, now)


@pytest.mark.parametrize(
    ("entries", "end", "now", "expected"),
    [
        ('<S d="2"/>', None, None, (Run(0, 2, 1, 1),)),
        ('<S t="4" d="2" r="2"/><S d="3"/>', None, None, (Run(4, 2, 3, 1), Run(10, 3, 1, 4))),
        ('<S d="2" r="-1"/><S t="7" d="2"/>', None, None, (Run(0, 2, 4, 1), Run(7, 2, 1, 5))),
        ('<S d="2" r="-1"/>', Fraction(9), None, (Run(0, 2, 5, 1),)),
        ('<S d="2" r="-1"/>', None, Fraction(9), (Run(0, 2, 4, 1),)),
        ('<S d="2" r="-1"/>', None, Fraction(1), ()),
        ('<S d="2" n="5"/><S d="2" n="9"/>', None, None, (Run(0, 2, 1, 5), Run(2, 2, 1, 9))),
        ('<S d="1" r="4000000000"/>', None, None, (Run(0, 1, 4_000_000_001, 1),)),
        ("", None, None, ()),
    ],
)
def test_reading(entries: str, end: Fraction | None, now: Fraction | None, expected: tuple[Run, ...]) -> None:
    assert read(entries, end, now) == expected


@pytest.mark.parametrize(
    "entries",
    [
        "<S/>",
        '<S d="0"/>',
        '<S d="2" r="-1"/>',
        '<S d="2" r="-1"/><S d="2"/>',
        '<S t="9" d="2"/><S t="5" d="2"/>',
        '<S n="9" d="2"/><S n="5" d="2"/>',
        '<S d="4611686018427387904" r="4611686018427387904"/>',
        '<S d="1" k="2"/>',
        "<Pattern/>",
    ],
)
def test_refused(entries: str) -> None:
    with pytest.raises((ManifestError, UnsupportedMediaError)):
        read(entries)


def test_too_many_crypto_periods_are_noticed_early() -> None:
    timing = Timing(SECONDS, (Run(0, 2, 2**50, 1),), listed=True)
    assert timing.stretches(Schedule(RotationPolicy(2000, 0)), 100) is None
