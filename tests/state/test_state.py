"""State is a fold of events: the same after a dump as before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gate.targets import Target, TargetType, subject_of
from relay.model import Session
from relay.state.events import Action, Revocation, SaltDrawn
from relay.state.state import MAX_SALTS, State

NOW = 1000.0
ORIGIN = "00112233445566aa"
TARGET = Target(TargetType.SESSION, "s1")
REVOKED = Revocation(
    origin=ORIGIN, seq=1, order=5, action=Action.REVOKE, type=TargetType.SESSION, value="s1", created_at=NOW,
    expires_at=2000.0,
)  # fmt: skip
RESTORED = Revocation(
    origin=ORIGIN, seq=2, order=6, action=Action.RESTORE, type=TargetType.SESSION, value="s1", created_at=NOW,
    expires_at=2000.0,
)  # fmt: skip
SUBJECT = subject_of(Session("s1", "a1", "i1", 5000), "news")


def salt(period: int, value: bytes = b"s", stream: str = "news") -> SaltDrawn:
    return SaltDrawn(origin=ORIGIN, seq=period + 10, stream=stream, period=period, salt=value)


def copied(state: State) -> State:
    copy = State()
    for piece in state.dump():
        copy.load(piece)
    return copy


def test_a_revocation_and_a_restore_do_what_they_say() -> None:
    state = State()
    assert state.apply(REVOKED, NOW)
    assert state.revocations.covers(SUBJECT, NOW)
    assert state.apply(RESTORED, NOW)
    assert not state.revocations.covers(SUBJECT, NOW)


def test_everything_a_revocation_says_is_folded() -> None:
    state = State()
    event = Revocation(
        origin=ORIGIN, seq=1, order=7, action=Action.REVOKE, type=TargetType.ISSUED_BEFORE, value="a1", issuer="i1",
        limit=50, created_at=NOW, effective_at=1500.0, expires_at=2000.0,
    )  # fmt: skip
    state.apply(event, NOW)
    standing = state.revocations.get(event.target)
    assert standing is not None
    assert standing == (7, True, 1500.0, 2000, 50)


def test_applying_an_event_twice_changes_nothing_more() -> None:
    state = State()
    assert [state.apply(event, NOW) for event in (REVOKED, salt(0), REVOKED, salt(0))] == [True, True, False, False]
    assert len(state.revocations) == 1


def test_the_first_draw_of_a_salt_stands() -> None:
    state = State()
    state.apply(salt(0, b"first"), NOW)
    state.apply(salt(0, b"second"), NOW)
    assert [state.salt("news", 0), state.salt("sport", 0), state.salt("news", 1)] == [b"first", None, None]


def test_the_oldest_salts_make_room() -> None:
    state = State()
    for period in range(MAX_SALTS + 2):
        state.apply(salt(period), NOW)
    assert [state.salt("news", period) for period in (0, 1, 2)] == [None, None, b"s"]


def test_the_highest_order_is_known() -> None:
    state = State()
    assert state.latest == 0
    state.apply(RESTORED, NOW)
    state.apply(REVOKED, NOW)
    assert state.latest == copied(state).latest == 6


def test_a_dump_holds_it_all_and_the_order_of_salts() -> None:
    state = State()
    state.apply(REVOKED, NOW)
    for period in range(MAX_SALTS):
        state.apply(salt(period), NOW)
    state.apply(salt(3, b"x", "sport"), NOW)
    again = copied(state)
    assert again.revocations.covers(SUBJECT, NOW)
    assert again.salt("sport", 3) == b"x"
    again.apply(salt(MAX_SALTS), NOW)
    assert [again.salt("news", 0), again.salt("news", 1)] == [None, b"s"]


@pytest.mark.parametrize("piece", [b"", b"x", b"s", b"s\x00", b"s\x92\xa1a\x81\xa1b\xc4\x01s", b"r", b"rX"])
def test_what_is_no_piece_is_refused(piece: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else
        State().load(piece)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_piece_or_a_value_error(piece: bytes) -> None:
    try:
        State().load(piece)
    except ValueError:
        return
