from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml.etree import Element

from relay.errors import ManifestError
from relay.manifest.dash.values import byte_range, date_time_ms, duration_s, integer, write_duration
from relay.sources import ByteRange


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0S", 0),
        ("PT2.5S", Fraction(5, 2)),
        ("PT1H1M1S", 3661),
        ("P1DT1S", 86401),
        ("P1Y", 365 * 86400),
        ("P1M", 30 * 86400),
        ("PT1M", 60),
        (" PT0.000000000001S ", Fraction(1, 10**12)),
    ],
)
def test_durations(text: str, seconds: Fraction) -> None:
    assert duration_s(Element("MPD", x=text), "x") == seconds


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "1S", "PT1", "-PT1S", "PT1,5S", "PT.5S", "PT1.S", "PT" + "9" * 13 + "S",
             "PT1S\n1", "PT1E3S"]
)  # fmt: skip
def test_bad_durations(text: str) -> None:
    with pytest.raises(ManifestError, match=r"MPD@x is not a duration"):
        duration_s(Element("MPD", x=text), "x")


@given(st.integers(0, 2**40))
def test_durations_round_trip(micros: int) -> None:
    seconds = Fraction(micros, 1_000_000)
    assert duration_s(Element("MPD", x=write_duration(seconds)), "x") == seconds


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000),
        ("2023-11-15T00:13:20.2509+02:00", 1_700_000_000_250),
        ("1969-12-31T23:59:59.5Z", -500),
    ],
)
def test_date_times(text: str, ms: int) -> None:
    assert date_time_ms(Element("MPD", x=text), "x") == ms


@pytest.mark.parametrize(
    "text", ["", "now", "2023-13-01T00:00:00Z", "2023-02-29T00:00:00Z", "2023-01-01", "2023-01-01T24:00:00Z",
             "2023-01-01T00:00:61Z", "2023-01-01T00:00:00+99:00", "0000-01-01T00:00:00Z", "２023-01-01T00:00:00Z"]
)  # fmt: skip
def test_bad_date_times(text: str) -> None:
    with pytest.raises(ManifestError, match="MPD@x: n"):
        date_time_ms(Element("MPD", x=text), "x")


@pytest.mark.parametrize("text", ["", "x", "1.0", "1_0", "٣", "-1", "9" * 19, "9" * 30, "0x1", "1e3"])
def test_bad_integers(text: str) -> None:
    with pytest.raises(ManifestError, match="whole number"):
        integer(Element("S", x=text), "x")


def test_missing_values() -> None:
    element = Element("S")
    assert integer(element, "x", 7) == 7
    assert duration_s(element, "x") is None
    assert date_time_ms(element, "x") is None
    assert byte_range(element, "x") is None
    with pytest.raises(ManifestError, match="S has no @x"):
        integer(element, "x")


def test_byte_ranges() -> None:
    assert byte_range(Element("S", x="10-19"), "x") == ByteRange(10, 10)
    for bad in ("", "-", "5-", "-5", "9-5", "a-b", "1-2,3-4"):
        with pytest.raises(ManifestError, match="byte range"):
            byte_range(Element("S", x=bad), "x")
