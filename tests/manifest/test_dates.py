"""Dates and times of manifests, whoever wrote them."""

import pytest

from relay.errors import ManifestError
from relay.manifest.dates import date_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.25", 250_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T01:30:00+0130", 0),
        ("1969-12-31T19:00:00-05", 0),
        ("2026-03-01T11:00:00.1234567Z", 1_772_362_800_123_457),
        ("2016-12-31T23:59:60.5Z", 1_483_228_800_500_000),
    ],
)
def test_dates(text: str, expected: int) -> None:
    assert date_time(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-01",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T00:00:61Z",
        "2026-03-01T00:00:00+24:00",
        "2026-03-01T00:00:00 Z",
        "٢٠٢٦-03-01T00:00:00Z",
    ],
)
def test_bad_dates(text: str) -> None:
    with pytest.raises(ManifestError, match="date and time"):
        date_time(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:60-23:59"])
def test_dates_at_the_ends_of_the_calendar(text: str) -> None:
    assert isinstance(date_time(text), int)
