"""``segmentgate licences estimate``: what it prints, and that errors name the option."""

import json

import pytest

from tests.test_cli import failed, good

EVENT = ("licences", "estimate", "--viewers", 10_000, "--duration", "1h")


def test_the_table_shows_each_system_and_the_peaks() -> None:
    shares = ("--share", "widevine=70", "--share", "fairplay=30")
    output = good(*EVENT, "--renewal-interval", "60s", "--keys", 3, *shares)
    lines = [line.split() for line in output.splitlines()]
    assert ["widevine", "7,000", "1", "7,000", "413,000", "0", "420,000", "licence"] in lines
    assert ["fairplay", "3,000", "3", "9,000", "531,000", "0", "540,000", "licence"] in lines
    assert ["all", "10,000", "16,000", "944,000", "0", "960,000"] in lines
    assert "rotation, " not in output


def test_a_rotation_shows_with_and_without_a_lead() -> None:
    rotation = (*EVENT, "--rotation-interval", "10m", "--boundary", "10s", "--arrival", "100s")
    lines = [" ".join(line.split()) for line in good(*rotation, "--pre-delivery", "30s").splitlines()]
    assert "rotation, over 10 s at the boundary 1,000.0" in lines
    assert "rotation, spread over a lead of 30 s 500.0" in lines
    assert [line for line in lines if "together" in line] == ["all together 1,100.0", "all together 600.0"]
    assert "spread" not in good(*rotation)


def test_json_is_what_the_api_answers() -> None:
    found = json.loads(good(*EVENT, "--renewal-interval", "1m", "--json"))
    assert found["licences"]["total"] == 600_000
    assert set(found) == {"licences", "licences_per_viewer", "systems", "peak_per_s"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--titles", 0), "--titles: Expected `int` >= 1"),
        (("--plays-within", "0s"), "--plays-within: Expected `int` >= 1"),
        (("--share", "widevine=130"), "--share widevine: Expected `float` <= 100.0"),
        (("--share", "widevine=30"), "--share: the shares of the systems must add up to 100"),
        (("--share", "primetime=30"), "--share: Object contains unknown field `primetime`"),
        (("--share", "widevine"), "'--share': expected a system and a number"),
        (("--arrival", "1500ms"), "'--arrival': expected whole seconds"),
        (("--arrival", "soon"), "'--arrival': expected a duration like"),
        (("--pre-delivery", "30s"), "pre_delivery_s must be shorter than rotation_interval_s"),
    ],
)
def test_a_bad_option_is_named(options: tuple[object, ...], told: str) -> None:
    assert told in failed(*EVENT, *options)
