"""The licence estimate: the worked examples of two DRM vendors' guides, and how the parts go together."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import RequestError
from relay.licensing.estimate import Estimate, Shares, Usage, estimate
from relay.model import System

HOUR, DAY = 3600, 86_400


def estimated(viewers: int = 1, duration_s: int = 90 * 60, **values: Any) -> Estimate:
    return estimate(msgspec.convert({"viewers": viewers, "duration_s": duration_s, **values}, Usage))


def test_without_renewals_or_stored_licences_there_are_as_many_as_videos_played() -> None:
    found = estimated(1000, titles=4, plays=2)
    assert (found.licences.first, found.licences.total, found.licences_per_viewer) == (8000, 8000, 8)


def test_ten_thousand_viewers_renewing_each_minute_take_600_000_an_hour() -> None:
    found = estimated(10_000, HOUR, renewal_interval_s=60)
    assert found.licences.total == 600_000
    assert (found.licences.first, found.licences.renewals) == (10_000, 590_000)


def test_ninety_minutes_at_three_minutes_are_thirty_requests() -> None:
    assert estimated(renewal_interval_s=180).licences.total == 30


def test_an_interval_that_has_only_begun_needs_its_licence() -> None:
    assert estimated(1, 181, renewal_interval_s=60).licences.total == 4
    assert estimated(1, 59, renewal_interval_s=60).licences.renewals == 0


@pytest.mark.parametrize(("system", "requests"), [("widevine", 1), ("playready", 1), ("fairplay", 3), ("clearkey", 1)])
def test_three_keys_take_as_many_requests_as_the_system_needs(system: str, requests: int) -> None:
    found = estimated(keys=3, systems={system: 100})
    assert found.licences.total == found.systems[System(system)].requests_each == requests


def test_renewals_and_rotations_of_several_keys_multiply_where_licences_hold_one() -> None:
    found = estimated(keys=3, renewal_interval_s=180, rotation_interval_s=600, systems={"fairplay": 100})
    assert (found.licences.first, found.licences.renewals, found.licences.rotation) == (3, 3 * 29, 3 * 9)


@pytest.mark.parametrize(
    ("plays", "validity", "licences"),
    [
        (5, 30 * DAY, 1),
        (5, 0, 5),
        # On days 0, 6, 12, 18 and 24: a licence of 15 days serves three of them.
        (5, 15 * DAY, 2),
        (5, 6 * DAY, 5),
        (5, 6 * DAY + 1, 3),
        (1, DAY, 1),
    ],
)
def test_a_stored_licence_serves_the_playings_until_it_ends(plays: int, validity: int, licences: int) -> None:
    assert estimated(plays=plays, persistent_s=validity).licences.total == licences


@pytest.mark.parametrize(
    ("values", "licences"),
    [
        # Two packages of a hundred films, one key each.
        ({"titles": 200, "titles_per_key": 100, "persistent_s": 30 * DAY}, 2),
        ({"titles": 150, "titles_per_key": 100, "persistent_s": 30 * DAY}, 2),
        ({"titles": 200, "titles_per_key": 1, "persistent_s": 30 * DAY}, 200),
        # Without stored licences it makes no difference.
        ({"titles": 200, "titles_per_key": 100}, 200),
    ],
)
def test_titles_under_the_same_keys_share_a_stored_licence(values: dict[str, int], licences: int) -> None:
    assert estimated(**values).licences.total == licences


def test_a_stored_licence_is_renewed_whenever_it_is_used() -> None:
    found = estimated(plays=5, persistent_s=30 * DAY, renewal_interval_s=180)
    assert (found.licences.first, found.licences.renewals) == (1, 5 * 29)


def test_a_viewer_meets_as_many_new_keys_as_fit_into_his_stay_on_average() -> None:
    assert estimated(rotation_interval_s=600).licences.rotation == 9
    assert estimated(100, 60, rotation_interval_s=600).licences.rotation == 10


@pytest.mark.parametrize(
    ("system", "lead", "rotation", "next_key_in"),
    [
        ("clearkey", 0, 9, "licence"),
        ("clearkey", 30, 0, "channel"),
        ("widevine", 0, 9, "licence"),
        ("widevine", 30, 9, "licence"),
        ("playready", 30, 9, "licence"),
        ("fairplay", 30, 9, "licence"),
    ],
)
def test_keys_sent_ahead_save_requests_where_they_need_no_licence(
    system: str, lead: int, rotation: int, next_key_in: str
) -> None:
    found = estimated(rotation_interval_s=600, pre_delivery_s=lead, systems={system: 100})
    assert found.licences.rotation == rotation
    assert found.systems[System(system)].next_key_in == next_key_in


def test_four_million_viewers_at_a_boundary_are_hundreds_of_thousands_a_second() -> None:
    found = estimated(4_000_000, rotation_interval_s=600, pre_delivery_s=30)
    assert found.peak_per_s.rotation_at_boundary == 400_000
    # Over two thirds of the lead.
    assert found.peak_per_s.rotation_spread == 200_000
    assert found.peak_per_s.total_spread == pytest.approx(200_000 + 4_000_000 / 60, abs=0.1)


def test_what_is_pushed_is_missing_in_the_spread_peak_alone() -> None:
    found = estimated(1000, rotation_interval_s=600, pre_delivery_s=30, systems={"clearkey": 60, "widevine": 40})
    assert found.peak_per_s.rotation_at_boundary == 100
    assert found.peak_per_s.rotation_spread == 20


def test_without_a_lead_nothing_is_spread() -> None:
    found = estimated(1000, rotation_interval_s=600, systems={"clearkey": 100})
    assert found.peak_per_s.rotation_spread == found.peak_per_s.rotation_at_boundary == 100


def test_renewals_come_in_waves_that_overlap_where_viewers_arrive_for_longer_than_one_lasts() -> None:
    peak = estimated(6000, HOUR, renewal_interval_s=60, arrival_s=300).peak_per_s
    assert (peak.starts, peak.renewals, peak.total_spread) == (20, 100, 100)
    apart = estimated(6000, HOUR, renewal_interval_s=60, arrival_s=30).peak_per_s
    assert (apart.starts, apart.renewals, apart.total_spread) == (200, 200, 200)
    once = estimated(6000, 30, renewal_interval_s=60, arrival_s=300).peak_per_s
    assert (once.starts, once.renewals, once.total_spread) == (20, 0, 20)


PERCENT = st.lists(st.integers(0, 100), min_size=3, max_size=3).map(sorted)


@given(viewers=st.integers(1, 10**9), cuts=PERCENT, keys=st.integers(1, 8))
def test_no_viewer_is_lost_between_systems(viewers: int, cuts: list[int], keys: int) -> None:
    first, second, third = cuts
    shares = Shares(widevine=first, playready=second - first, fairplay=third - second, clearkey=100 - third)
    found = estimate(Usage(viewers=viewers, duration_s=HOUR, keys=keys, systems=shares))
    assert sum(one.viewers for one in found.systems.values()) == viewers
    assert found.licences.first == sum(one.viewers * one.requests_each for one in found.systems.values())


SMALL = {"plays": st.integers(1, 40), "validity": st.integers(1, 3000), "within": st.integers(1, 1000)}


@given(**SMALL)
def test_stored_licences_are_as_many_as_playing_one_by_one_takes(plays: int, validity: int, within: int) -> None:
    taken, ends = 0, -1.0
    for number in range(plays):
        # In units of 1/plays of a second, which are whole.
        at = number * within
        if at >= ends:
            taken, ends = taken + 1, at + validity * plays
    assert estimated(plays=plays, persistent_s=validity, plays_within_s=within).licences.total == taken


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"viewers": 0}, r">= 1 - at `\$.viewers`"),
        ({"viewers": 1.5}, r"`int`, got `float` - at `\$.viewers`"),
        ({"duration_s": 0}, r">= 1 - at `\$.duration_s`"),
        ({"duration_s": 400 * DAY}, r"at `\$.duration_s`"),
        ({"renewal_interval_s": -1}, r">= 0 - at `\$.renewal_interval_s`"),
        ({"keys": 0}, r"at `\$.keys`"),
        ({"systems": {"widevine": 60, "fairplay": 30}}, r"add up to 100 - at `\$.systems`"),
        ({"systems": {}}, "add up to 100"),
        ({"systems": {"widevine": float("nan")}}, r"at `\$.systems.widevine`"),
        ({"systems": {"primetime": 100}}, "unknown field `primetime`"),
        ({"pre_delivery_s": 30}, "shorter than rotation_interval_s"),
        ({"pre_delivery_s": 30, "rotation_interval_s": 30}, "shorter than rotation_interval_s"),
        ({"viewer": 3}, "unknown field `viewer`"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(values: dict[str, Any], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        estimated(**values)


def test_more_than_can_be_counted_is_refused() -> None:
    with pytest.raises(RequestError, match="more than 9007199254740991 licences"):
        estimated(10**9, DAY, renewal_interval_s=1, titles=1000)
