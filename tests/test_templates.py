"""Templates: the value a player fills in names one segment, in the crypto period the manifest gave it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.model import TrackType
from keys.periods import Clock, RotationPolicy, Schedule
from relay.errors import UrlError
from relay.sources import ByteRange, Source
from relay.templates import count_placeholders, placeholder, resolve_template
from relay.urls import ClearRef, Clocked, SegmentRef, SlotRef, Span, TemplateRef

SCHEDULE = Schedule(RotationPolicy(interval_ms=10_000, pre_delivery_ms=1000))
INIT = Source("v/init.mp4")
LISTED = TemplateRef(
    Source("v/(number).m4s"),
    TrackType.HD,
    INIT,
    ByteRange(0, 700),
    spans=(Span(1, 5, 1, 0), Span(6, 10, 1, 10_000), Span(11, None, 2, 20_000)),
)
# Two seconds each: number 1 starts at 0, number 6 at 10 s.
COUNTED = TemplateRef(Source("v/(number).m4s"), TrackType.HD, INIT, clock=Clocked(0, 1, 2, 1, Clock.WALL))


def schedule_of(_: Clock) -> Schedule:
    return SCHEDULE


def generation_at(period: int | None) -> int:
    return 1 if period is None or period < 20_000 else 2


def segment(ref: TemplateRef, value: int) -> SegmentRef:
    found = resolve_template(ref, value, schedule_of, generation_at)
    assert isinstance(found, SegmentRef)
    return found


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("v/(number).m4s", 7, "v/7.m4s"),
        ("v/(number:05).m4s", 7, "v/00007.m4s"),
        ("v/(number:05).m4s", 1234567, "v/1234567.m4s"),
        ("v/(time).m4s", 900_000_000_000, "v/900000000000.m4s"),
        ("(number)/(number:03)/x", 9, "9/009/x"),
        ("v/(count)(NUMBER)(number:5).m4s", 7, "v/(count)(NUMBER)(number:5).m4s"),
    ],
)
def test_the_value_takes_its_place(path: str, value: int, expected: str) -> None:
    found = resolve_template(
        TemplateRef(Source(path, "n=(number)", 1), None, None), value, lambda _: SCHEDULE, generation_at
    )
    assert found == ClearRef(Source(expected, f"n={value}", 1))


@pytest.mark.parametrize("name", ["number", "time"])
@pytest.mark.parametrize("width", [None, *range(21)])
def test_a_placeholder_is_filled_as_it_was_written(name: str, width: int | None) -> None:
    path = placeholder(name, width)
    found = resolve_template(TemplateRef(Source(path), None, None), 1234, schedule_of, generation_at)
    assert found == ClearRef(Source("1234".rjust(width or 0, "0")))
    assert count_placeholders(f"a/{path}{path}.m4s?x={path}") == 3


@pytest.mark.parametrize(
    ("value", "slot"),
    [
        (1, SlotRef(TrackType.HD, 1, 0)),
        (5, SlotRef(TrackType.HD, 1, 0)),
        (6, SlotRef(TrackType.HD, 1, 10_000)),
        (11, SlotRef(TrackType.HD, 2, 20_000)),
        (10**9, SlotRef(TrackType.HD, 2, 20_000)),
    ],
)
def test_a_listed_value_lies_where_the_manifest_said(value: int, slot: SlotRef) -> None:
    assert segment(LISTED, value) == SegmentRef(Source(f"v/{value}.m4s"), slot, None, INIT, ByteRange(0, 700))


@pytest.mark.parametrize("value", [0, 3, 12])
def test_a_value_that_was_not_listed_is_refused(value: int) -> None:
    gapped = replace(LISTED, spans=(Span(1, 2, 1, 0), Span(6, 11, 1, 10_000)))
    with pytest.raises(UrlError, match="lists no such segment"):
        resolve_template(gapped, value, schedule_of, generation_at)


def test_a_template_that_lists_nothing_names_nothing() -> None:
    with pytest.raises(UrlError):
        resolve_template(replace(LISTED, spans=()), 1, schedule_of, generation_at)


@pytest.mark.parametrize(
    ("value", "period", "generation"),
    [(0, 0, 1), (1, 0, 1), (5, 0, 1), (6, 10_000, 1), (11, 20_000, 2), (16, 30_000, 2)],
)
def test_a_counted_value_lies_where_its_start_does(value: int, period: int, generation: int) -> None:
    assert segment(COUNTED, value).slot == SlotRef(TrackType.HD, generation, period)


@given(st.integers(0, 10**12))
def test_counting_agrees_with_the_schedule(value: int) -> None:
    assert segment(COUNTED, value).slot.period == SCHEDULE.period_of((value - 1) * 2000).start


def test_an_open_span_with_a_clock_ends_with_its_period() -> None:
    # The manifest of a DASH Period: numbers from 6 on, in the crypto period from 10 s.
    split = replace(COUNTED, spans=(Span(6, None, 1, 10_000),))
    assert {segment(split, value).slot.period for value in range(6, 11)} == {10_000}
    for value in (1, 5, 11, 10**9):
        with pytest.raises(UrlError):
            resolve_template(split, value, schedule_of, generation_at)


def test_a_span_written_ahead_ends_where_a_period_began_since() -> None:
    """A scene's edge at 16 s, where the manifest had shown one period from 10 s to 20 s."""
    split = replace(COUNTED, spans=(Span(6, 10, 1, 10_000),))
    changed = Schedule(SCHEDULE.policy, (16_000,))
    read = [resolve_template(split, value, lambda _: changed, generation_at) for value in (6, 7, 8)]
    assert [ref.slot.period for ref in read if isinstance(ref, SegmentRef)] == [10_000] * 3
    for value in (9, 10):
        with pytest.raises(UrlError):
            resolve_template(split, value, lambda _: changed, generation_at)


def test_a_span_written_ahead_is_worth_nothing_once_its_keys_were_replaced() -> None:
    split = replace(COUNTED, spans=(Span(6, None, 1, 10_000),))
    for value in (6, 8):
        assert segment(split, value).slot.generation == 1
        with pytest.raises(UrlError):
            resolve_template(split, value, schedule_of, lambda _: 2)


def test_the_first_of_an_open_span_may_straddle_the_start() -> None:
    # Audio is cut a little earlier than the boundary; the manifest listed it in the later Period.
    split = replace(COUNTED, spans=(Span(5, None, 1, 10_000),))
    assert segment(split, 5).slot.period == 10_000
    assert segment(split, 6).slot.period == 10_000


def test_text_stays_clear_whatever_its_value() -> None:
    text = TemplateRef(Source("t/(time).vtt"), None, None)
    assert resolve_template(text, 5, schedule_of, generation_at) == ClearRef(Source("t/5.vtt"))
