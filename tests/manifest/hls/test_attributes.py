from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import ManifestError
from relay.manifest.hls.attributes import Attributes, byte_range, integer, microseconds, resolution


def test_a_list_is_written_as_it_was_read() -> None:
    text = 'BANDWIDTH=1,NAME="a, b=c",X-EMPTY="",RESOLUTION=1x2'
    attributes = Attributes.parse(text)
    assert str(attributes) == text
    assert attributes.get("NAME") == "a, b=c"
    assert attributes.get("X-EMPTY") == ""
    assert attributes.get("BANDWIDTH") == "1"
    assert attributes.get("MISSING") is None


def test_changes_touch_one_attribute() -> None:
    attributes = Attributes.parse('A=1,URI="x",B=2')
    assert str(attributes.quoting("URI", "y,z")) == 'A=1,URI="y,z",B=2'
    assert str(attributes.without("A", "URI")) == "B=2"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A", "character 1"),
        ('A="x', "character 1"),
        ('A="x"y', "character 1"),
        ("A=1,,B=2", "character 5"),
        ("A=1,A=2", "twice"),
        (",".join(f"A{n}=1" for n in range(257)), "more than 256"),
    ],
)
def test_bad_lists(text: str, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        Attributes.parse(text)


@pytest.mark.parametrize("text", ["A=" + " " * 60_000 + '"', " " * 60_000, "A" * 60_000, 'A="' * 20_000])
def test_hostile_lists_take_no_time(text: str) -> None:
    with pytest.raises(ManifestError):
        Attributes.parse(text)


def test_spaces_around_commas_are_tolerated() -> None:
    assert str(Attributes.parse('A=1, B = "x" ,C=3,')) == 'A=1,B="x",C=3'


@pytest.mark.parametrize("value", [None, '""'])
def test_a_required_attribute_must_have_a_value(value: str | None) -> None:
    with pytest.raises(ManifestError, match="URI is missing"):
        Attributes.parse("A=1" if value is None else f"URI={value}").require("URI")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6", 6_000_000),
        ("6.006", 6_006_000),
        ("0.0000004", 0),
        (" 2.5 ", 2_500_000),
        (".5", 500_000),
        ("4.", 4_000_000),
        ("999999999", 999_999_999_000_000),
    ],
)
def test_durations(text: str, expected: int) -> None:
    assert microseconds(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "1e5", "nan", "inf", "1.2.3", "1" * 10, "0x1", "٣", "1_0", "."])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ManifestError, match="duration"):
        microseconds(text)


@settings(deadline=None)
@given(st.decimals(min_value=0, max_value=86_400, places=6))
def test_durations_are_exact_to_the_microsecond(value: Decimal) -> None:
    assert microseconds(f"{value:f}") == int(value * 1_000_000)


@pytest.mark.parametrize(("text", "expected"), [("10@0", (10, 0)), ("10", (10, None)), ("1@9223372036854775806", None)])
def test_byte_ranges(text: str, expected: tuple[int, int | None] | None) -> None:
    assert byte_range(text) == (expected or (1, 2**63 - 2))


@pytest.mark.parametrize("text", ["", "@", "@1", "0@1", "1@", "-1@0", "1@2@3", "1@9223372036854775807", "a@b"])
def test_bad_byte_ranges(text: str) -> None:
    with pytest.raises(ManifestError):
        byte_range(text)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "9223372036854775808", "9" * 5000, "１"])
def test_bad_integers(text: str) -> None:
    with pytest.raises(ManifestError, match="integer"):
        integer(text)


def test_resolution() -> None:
    assert resolution("1920x1080") == (1920, 1080)
    with pytest.raises(ManifestError):
        resolution("1920")
