"""Members: who is live, who lacks what since when, and who offers it. No clock but the server's."""

import pytest

from relay.state.members import FORGOTTEN_S, MISSED_S, QUIET_S, SILENT_S, Members
from relay.state.messages import Heartbeat
from relay.state.vector import Extent

A, B, C, GONE = "a" * 16, "b" * 16, "c" * 16, "d" * 16
NOTHING = Extent({}, {})


def heartbeat(who: str, at: float, extent: Extent = NOTHING, name: str = "", left: bool = False) -> Heartbeat:
    return Heartbeat(name or who[0], who, at, extent.whole, extent.tops, left)


def have(**whole: int) -> Extent:
    return Extent({name[0] * 16: last for name, last in whole.items()}, {})


def names(heartbeats: list[Heartbeat]) -> list[str]:
    return [heartbeat.name for heartbeat in heartbeats]


def test_who_is_live_and_who_is_missed() -> None:
    members = Members(A)
    members.see([heartbeat(A, 100), heartbeat(B, 100), heartbeat(C, 100 - SILENT_S - 1)], 100, NOTHING)
    assert names(members.live()) == ["b"]
    assert names(members.missed()) == ["c"]
    members.see([heartbeat(B, 101, left=True), heartbeat(C, 100 - MISSED_S - 1)], 101, NOTHING)
    assert members.live() == members.missed() == []


def test_whose_word_may_be_missing() -> None:
    members = Members(A)
    members.see([heartbeat(B, 98, have(b=5)), heartbeat(C, 100, left=True)], 100, NOTHING)
    assert members.all_heard(have(b=5))
    assert not members.all_heard(have(b=4))
    members.see([heartbeat(B, 98, have(b=5))], 98 + QUIET_S + 0.1, NOTHING)
    assert not members.all_heard(have(b=5))
    members.see([heartbeat(B, 98, have(b=5))], 98 + MISSED_S + 1, NOTHING)
    assert members.all_heard(NOTHING)


def test_who_vanishes_from_the_roll_without_a_word_is_still_waited_for() -> None:
    members = Members(A)
    members.see([heartbeat(B, 100), heartbeat(C, 100)], 100, NOTHING)
    members.see([heartbeat(C, 101, left=True)], 101, NOTHING)  # the server has lost the rest
    assert names(members.live()) == ["b"]
    members.see([], 101 + SILENT_S, NOTHING)
    assert members.live() == members.missed() == []


def test_nobody_falls_silent_while_the_roll_cannot_be_called() -> None:
    members = Members(A)
    members.see([heartbeat(B, 100)], 100, NOTHING)
    # An hour later, without a roll in between, this node knows no better.
    assert names(members.live()) == ["b"]


def test_who_is_struck_off() -> None:
    members = Members(A)
    roll = [heartbeat(B, 0, name="x"), heartbeat(C, 50, name="x"), heartbeat(GONE, 45, name="y")]
    assert members.see(roll, 50, NOTHING) == [B]  # C is the same node, started again
    assert members.see([heartbeat(GONE, 45, name="y")], 45 + FORGOTTEN_S + 1, NOTHING) == [GONE]
    twins = [heartbeat(B, 50, name="x"), heartbeat(C, 49, name="x")]
    assert members.see(twins, 50, NOTHING) == []  # both live: two workers of one name
    succession = [heartbeat(B, 45, name="x", left=True), heartbeat(C, 50, name="x")]
    assert members.see(succession, 50, NOTHING) == []  # not everyone may have heard its last word
    assert members.see(succession, 45 + SILENT_S + 1, NOTHING) == [B]


def test_lacking_counts_what_live_nodes_have_had_for_a_while() -> None:
    members = Members(A)
    members.see([heartbeat(B, 100, have(b=5))], 100.2, have(b=3))
    assert members.lacking(have(b=3)) == (0, 0.0)  # it may be on its way
    members.see([heartbeat(B, 101, have(b=5))], 101.2, have(b=3))
    assert members.lacking(have(b=3)) == pytest.approx((2, 1.2))
    members.see([heartbeat(B, 102, have(b=6))], 102.2, have(b=4))
    assert members.lacking(have(b=4)) == pytest.approx((1, 2.2))
    assert members.lacking(have(b=5)) == (0, 0.0)
    members.see([heartbeat(B, 103, have(b=6))], 103.2, have(b=5))
    # Caught up to what it had at 100 to 101; since 102 something is missing.
    assert members.lacking(have(b=5)) == pytest.approx((1, 3.2))
    members.see([heartbeat(B, 103, have(b=6))], 103 + SILENT_S + 1, have(b=5))
    assert members.lacking(have(b=5)) == (0, 0.0)  # nobody has it now


def test_own_events_are_offered_to_who_has_lacked_them_for_a_while() -> None:
    members = Members(A)
    for at in (100, 101):
        members.see([heartbeat(B, at - 0.5, have(a=3))], at, have(a=7))
        assert members.to_offer(lambda: 0.0) == []
    members.see([heartbeat(B, 101.5, have(a=3)), heartbeat(C, 101.6, have(a=5))], 102, have(a=9))
    # Not 8 and 9: those are new. From where the neediest begins.
    assert members.to_offer(lambda: 0.99) == [(A, 4, 7)]


def test_events_of_the_live_are_their_own_business_and_those_of_the_gone_a_matter_of_chance() -> None:
    members = Members(A)
    mine = have(b=5, d=5)
    for at in (100, 101, 102):
        roll = [heartbeat(B, at - 0.2, have(b=5, d=5)), heartbeat(C, at - 0.2, have(b=2))]
        members.see(roll, at, mine)
    assert members.to_offer(lambda: 0.49) == [(GONE, 1, 5)]
    assert members.to_offer(lambda: 0.51) == []  # B has them, too


def test_a_gap_does_not_hide_what_lies_beyond_it() -> None:
    members = Members(A)
    mine = Extent({GONE: 4}, {GONE: 7})
    for at in (100, 101, 102):
        members.see([heartbeat(B, at, have(d=4))], at, mine)
    assert members.to_offer(lambda: 0.0) == [(GONE, 5, 7)]
    assert members.lacking(mine) == (0, 0.0)
    for at in (103, 104, 105):
        members.see([heartbeat(B, at, mine)], at, mine)
    assert members.to_offer(lambda: 0.0) == []
