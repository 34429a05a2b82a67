"""Concurrent stream limits, decided on one node. What several nodes decide alike is in test_lease_store.py."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gate.limits import Admitted, Ask, Ended, Group, Occupied, Other, group_of, named_by, others_of
from relay.model import LimitCount, LimitMode, LimitScope, Session, StreamLimit

NOW = 1_790_000_000.0
SESSION = Session("session-1", "account-1", "https://platform.example", int(NOW) + 600, device="tv")


def ask(sid: str, device: str = "", most: int = 1, mode: LimitMode = LimitMode.DENY_NEW, **rest: Any) -> Ask:
    base = Ask(sid, device, "news", StreamLimit(most, mode), 15.0, entering=True)
    return replace(base, **rest)


def test_groups_are_by_issuer_account_and_where_it_says_so_title() -> None:
    def of(session: Session, stream: str = "news", scope: LimitScope = LimitScope.ACCOUNT) -> bytes:
        return group_of(session, stream, scope)

    assert len(of(SESSION)) == 16
    assert of(SESSION) == of(replace(SESSION, sid="session-2", device=""), "sport")
    assert of(SESSION) != of(replace(SESSION, account="account-2"))
    assert of(SESSION) != of(replace(SESSION, issuer="https://other.example"))
    assert of(SESSION, scope=LimitScope.TITLE) != of(SESSION, "sport", LimitScope.TITLE)
    assert of(SESSION, scope=LimitScope.TITLE) != of(SESSION)


def test_others_are_named_by_as_much_of_their_id_as_tells_them_apart() -> None:
    sids = ["0123456789abcdef", "01234567ffffffff", "short", "short-not", "zzzzzzzzzzzz"]
    said = [other.session for other in others_of([(sid, "tv", "news", NOW) for sid in sids]).others]
    assert said == ["012345678", "01234567f", "short", "short-no", "zzzzzzzz"]
    assert [named_by(name, sids) for name in said] == sids


@pytest.mark.parametrize("text", ["", "0123456", "01234567", "nobody", "0123456789abcdef0"])
def test_what_names_none_or_several_names_nobody(text: str) -> None:
    assert named_by(text, ["0123456789abcdef", "01234567ffffffff"]) is None


def test_a_lease_is_told_and_forgotten() -> None:
    group = Group(bytes(16))
    assert group.admit(ask("a", "tv"), NOW) == Admitted(NOW)
    assert group.admit(ask("b", "phone"), NOW + 14) == Occupied((Other("a", "tv", "news", NOW),))
    assert group.admit(ask("b", "phone"), NOW + 15) == Admitted(NOW + 15)
    group.end("b", NOW + 30)
    assert group.admit(ask("b", entering=False), NOW + 20) == Ended()
    assert not group.empty
    group.expire(NOW + 30)
    assert group.empty


def test_a_rest_is_never_made_shorter() -> None:
    group = Group(bytes(16))
    group.end("a", NOW + 30)
    group.end("a", NOW + 10)
    assert group.admit(ask("a", entering=False), NOW + 29) == Ended()


SIDS, DEVICES = st.sampled_from("abcdef"), st.sampled_from(["", "tv", "phone", "car"])


@given(
    limit=st.builds(
        StreamLimit,
        st.integers(1, 3),
        st.sampled_from(LimitMode),
        st.just(LimitScope.ACCOUNT),
        st.sampled_from(LimitCount),
    ),
    steps=st.lists(
        st.tuples(SIDS, DEVICES, st.booleans(), st.sampled_from(["", "a", "b"]), st.floats(0, 10)), max_size=40
    ),
)
def test_no_run_of_requests_exceeds_a_limit(limit: StreamLimit, steps: list[tuple[str, str, bool, str, float]]) -> None:
    group, now = Group(bytes(16)), NOW
    ended: dict[str, float] = {}
    for sid, device, entering, terminate, pause in steps:
        now += pause
        outcome = group.admit(Ask(sid, device, "news", limit, 15.0, entering, terminate), now)
        by_device = limit.count is LimitCount.DEVICES
        slots = {(each.device if by_device else "") or each.sid for each in group.leases}
        assert len(slots) <= limit.most
        assert [each.since for each in group.leases] == sorted(each.since for each in group.leases)
        holds = group.get(sid) is not None
        assert holds is isinstance(outcome, Admitted)
        if isinstance(outcome, Admitted):
            assert sid not in (*outcome.stopped, *outcome.replaced)
            if not entering and sid in ended:
                assert now >= ended[sid]
            for other in (*outcome.stopped, *outcome.replaced):
                assert group.get(other) is None
                ended[other] = now + 30
            ended.pop(sid, None)
