"""The simulated rotation: what the relay's timeline says of it, and which player asks when."""

from dataclasses import replace
from math import inf

import pytest

from bench.rotation import LEAD_S, cases
from bench.rotation_picture import Line, Panel, picture
from bench.rotation_players import BOUNDARY_S, GRACE_S, NO_HEADER, NO_TIMER, SEGMENT_S, Case, Player
from keys.periods import GUARD_MS

CASES = {case.name: case for case in cases()}
PUSHED, SOME_DOWN = "pushed, all channels up", "pushed, 1 % of channels down"
DOWN, READS, WITHOUT, SLEEPS = 0.0, 1.0, NO_HEADER * NO_TIMER, 0.0
"""Draws: the channel is down; a player reads headers, reads none, and sleeps besides."""


def fresh(name: str) -> Case:
    case = CASES[name]
    return Case(name, case.stream, case.at, case.pre_delivery, case.licences_ahead, case.announced, case.down, True)


def player(luck: float = 1.0, unlucky: float = READS, phase: float = 3.0) -> Player:
    return Player(BOUNDARY_S - 1000.0, phase, 0.0, luck, unlucky, inf, inf, 0.0)


def asked_at(case: Case, one: Player, delay: float = 10.0) -> list[int]:
    case.meet(one, delay)
    return list(case.asked.elements())


def test_the_timeline_releases_the_key_a_lead_ahead_of_the_first_segment_that_may_need_it() -> None:
    at = CASES[PUSHED].at
    assert at.listed == BOUNDARY_S + SEGMENT_S
    assert at.released == BOUNDARY_S - GUARD_MS / 1000 - LEAD_S
    assert at.headers_until == pytest.approx(at.listed, abs=0.1)
    assert CASES["no pre-delivery"].at.released == BOUNDARY_S - GUARD_MS / 1000


def test_in_an_emergency_the_key_is_out_with_the_order() -> None:
    soon, later = (
        CASES["emergency: next segment, spread over 6 s"].at,
        CASES["emergency: a lead ahead, usual spread"].at,
    )
    assert soon.listed - soon.released == 1.5 * SEGMENT_S
    assert later.listed - later.released >= LEAD_S


def test_without_pre_delivery_a_player_asks_when_it_meets_the_key() -> None:
    assert asked_at(fresh("no pre-delivery"), player()) == [3]
    assert asked_at(fresh("no pre-delivery"), replace(player(), behind=100.0)) == [103]


def test_a_player_that_is_pushed_its_key_does_not_ask() -> None:
    case = fresh(PUSHED)
    assert asked_at(case, player()) == []
    assert case.pushed.total() == 1


def test_one_that_came_within_the_lead_has_both_keys() -> None:
    case = fresh(PUSHED)
    assert asked_at(case, replace(player(), arrived=BOUNDARY_S - 10.0)) == []
    assert case.pushed.total() == 0


def test_one_whose_channel_is_down_reads_a_header() -> None:
    assert asked_at(fresh(SOME_DOWN), player(DOWN)) == []


def test_one_that_reads_no_header_asks_when_its_push_is_overdue() -> None:
    case = fresh(SOME_DOWN)
    assert asked_at(case, player(DOWN, WITHOUT)) == [case.at.released + 10 + GRACE_S - case.at.listed]


def test_one_that_sleeps_besides_asks_at_the_boundary() -> None:
    assert asked_at(fresh(SOME_DOWN), player(DOWN, SLEEPS)) == [3]


def test_one_that_was_offline_throughout_asks_when_it_is_back() -> None:
    away = replace(player(), offline=BOUNDARY_S - 100.0, back=BOUNDARY_S + 20.0, retry=2.0)
    assert asked_at(fresh(PUSHED), away) == [20 - SEGMENT_S]
    back_in_time = replace(away, back=BOUNDARY_S - 10.0)
    assert asked_at(fresh(PUSHED), back_in_time) == []


def test_headers_make_up_for_a_spread_that_is_too_long_for_the_next_segment() -> None:
    late = player(phase=0.5)
    at_once = "emergency: next segment, usual spread of 20 s"
    assert asked_at(fresh(at_once), late, delay=15.0) == []
    assert asked_at(fresh("emergency: a lead ahead, usual spread"), late, delay=15.0) == []


def test_the_picture_shows_every_line() -> None:
    drawn = picture([Panel("A rotation", [Line("one", "#123456", {0: 5}), Line("other", "#654321", {}, dashed=True)])])
    assert drawn.count('stroke="#123456"') == drawn.count('stroke="#654321"') == 2
    assert drawn.count("<text") == drawn.count("</text>")
