"""Items of a revocation call: what is read, what is refused and where it points."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.api.revocations import MAX_AHEAD_S
from relay.control.errors import BodyError, BodyTooLargeError
from relay.control.orders import MAX_ITEM_BYTES, MAX_ITEMS, ItemError, order_of, pieces_of, read_item
from relay.gate.targets import Target, TargetType
from relay.sessions.revocations import Order
from relay.state.events import Action

NOW = 1_800_000_000.0


def order(**item: Any) -> Order:
    return order_of(read_item(json.dumps(item).encode()), NOW)


@pytest.mark.parametrize(
    ("item", "target"),
    [
        ({"type": "session", "value": "s"}, Target(TargetType.SESSION, "s")),
        ({"type": "account", "value": "a", "issuer": "i"}, Target(TargetType.ACCOUNT, "a", "i")),
        ({"type": "device", "value": "d"}, Target(TargetType.DEVICE, "d")),
        ({"type": "token", "value": "t", "issuer": "i"}, Target(TargetType.TOKEN, "t", "i")),
        ({"type": "watermark", "value": "w"}, Target(TargetType.WATERMARK, "w")),
        ({"type": "stream", "value": "v", "viewer": "a"}, Target(TargetType.STREAM, "v", viewer="a")),
        ({"type": "network", "value": "192.0.2.0/24"}, Target(TargetType.NETWORK, "192.0.2.0/24")),
        ({"type": "network", "value": "AS64500"}, Target(TargetType.NETWORK, "AS64500")),
        ({"type": "issuer-key", "value": "k", "issuer": "i"}, Target(TargetType.ISSUER_KEY, "k", "i")),
        (
            {"type": "session-version", "value": "a", "max_version": 3},
            Target(TargetType.SESSION_VERSION, "a", limit=3),
        ),
        ({"type": "session-version", "value": "a", "limit": 0}, Target(TargetType.SESSION_VERSION, "a", limit=0)),
        (
            {"type": "issued-before", "issuer": "i", "before": "2027-01-15T08:00:00Z"},
            Target(TargetType.ISSUED_BEFORE, "", "i", limit=1_800_000_000),
        ),
        (
            {"type": "issued-before", "value": "a", "limit": 1_800_000_000},
            Target(TargetType.ISSUED_BEFORE, "a", limit=1_800_000_000),
        ),
        ({"type": "issued-before", "value": "a", "action": "restore"}, Target(TargetType.ISSUED_BEFORE, "a")),
    ],
)
def test_every_type_of_target_can_be_named(item: dict[str, Any], target: Target) -> None:
    assert order(**item).target == target


def test_times_are_seconds_or_iso_8601() -> None:
    made = order(type="session", value="s", effective_at=NOW + 60, expires_at="2027-01-15T10:00:00+01:00")
    assert (made.effective_at, made.expires_at) == (NOW + 60, NOW + 3600)
    assert order(type="session", value="s", effective_at=NOW - 60).effective_at == 0.0
    assert order(type="session", value="s", effective_at=NOW + 60, duration_s=30).expires_at == NOW + 90
    assert order(type="session", value="s").expires_at is None


def test_what_goes_with_a_target_is_kept() -> None:
    made = order(type="session", value="s", action="restore", reason="mistake", detail="ticket 7")
    assert (made.action, made.reason, made.detail) == (Action.RESTORE, "mistake", "ticket 7")


@pytest.mark.parametrize(
    ("item", "member"),
    [
        ({}, ""),
        ({"type": "session"}, "value"),
        ({"type": "session", "value": ""}, "value"),
        ({"type": "session", "value": 5}, "value"),
        ({"type": "session", "value": "s" * 513}, "value"),
        ({"type": "sessions", "value": "s"}, "type"),
        ({"type": "session", "value": "s", "issuer": "i"}, "issuer"),
        ({"type": "session", "value": "s", "viewer": "a"}, "viewer"),
        ({"type": "session", "value": "s", "limit": 1}, "limit"),
        ({"type": "session", "value": "s", "max_version": 1}, "max_version"),
        ({"type": "session", "value": "s", "before": 1}, "before"),
        ({"type": "session-version", "value": "s"}, "max_version"),
        ({"type": "session-version", "value": "s", "before": 1}, "before"),
        ({"type": "session-version", "value": "s", "max_version": -1}, "max_version"),
        ({"type": "session-version", "value": "s", "max_version": 1, "limit": 1}, "limit"),
        ({"type": "issued-before", "before": 1}, "value"),
        ({"type": "issued-before", "value": "a"}, "before"),
        ({"type": "network", "value": "192.0.2.0/33"}, "value"),
        ({"type": "network", "value": "nowhere"}, "value"),
        ({"type": "network", "value": "192.0.2.0/24", "issuer": "i"}, "issuer"),
        ({"type": "session", "value": "s", "expires_at": NOW}, "expires_at"),
        ({"type": "session", "value": "s", "effective_at": NOW + 9, "expires_at": NOW + 8}, "expires_at"),
        ({"type": "session", "value": "s", "expires_at": (NOW + 60) * 1000}, "expires_at"),
        ({"type": "session", "value": "s", "expires_at": "tomorrow"}, "expires_at"),
        ({"type": "session", "value": "s", "expires_at": "2027-06-01T00:00:00"}, "expires_at"),
        ({"type": "session", "value": "s", "expires_at": -1}, "expires_at"),
        ({"type": "session", "value": "s", "effective_at": NOW + MAX_AHEAD_S + 1}, "effective_at"),
        ({"type": "session", "value": "s", "expires_at": NOW + 5, "duration_s": 5}, "duration_s"),
        ({"type": "session", "value": "s", "duration_s": 0}, "duration_s"),
        ({"type": "session", "value": "s", "action": "ban"}, "action"),
        ({"type": "session", "value": "s", "unknown": 1}, ""),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(item: dict[str, Any], member: str) -> None:
    with pytest.raises(ItemError) as caught:
        order(**item)
    assert caught.value.member == member


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nul",
        b"[]",
        b'"s"',
        b"{}{}",
        b'{"type":"session","value":"\xff"}',
        b'{"value":"\\ud800"}',
        b"[" * 9999,
    ],
)
def test_what_is_no_item_is_an_item_error(raw: bytes) -> None:
    with pytest.raises(ItemError):
        read_item(raw)


ONE = b'{"type":"session","value":"a}]\\",b"}'


@pytest.mark.parametrize(
    ("body", "lines", "bases"),
    [
        (ONE, False, [""]),
        (b" \n" + ONE + b" ", False, [""]),
        (b"[" + ONE + b"]", False, ["/0"]),
        (b" [ " + ONE + b" ,\n" + ONE + b" ] \n", False, ["/0", "/1"]),
        (ONE, True, ["/0"]),
        (ONE + b"\n\r\n" + ONE + b"\r\n", True, ["/0", "/1"]),
    ],
)
def test_bodies_come_apart(body: bytes, lines: bool, bases: list[str]) -> None:
    pieces = list(pieces_of(body, lines))
    assert [base for base, _ in pieces] == bases
    assert all(order_of(read_item(raw), NOW).target.value == 'a}]",b' for _, raw in pieces)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", False),
        (b"", True),
        (b"\n\n", True),
        (b"[]", False),
        (b" [ ] ", False),
        (b"5", False),
        (b"[5]", False),
        (b"[{}", False),
        (b"[{},", False),
        (b"[{},]", False),
        (b"[{} {}]", False),
        (b"[{}]x", False),
        (b"[[{}]]", False),
        (b'[{"a":{}}]', False),
        (b'[{"a":"]', False),
        (b'[{"a":"' + b"x" * MAX_ITEM_BYTES + b'"}]', False),
        (b"x" * (MAX_ITEM_BYTES + 1), True),
    ],
)
def test_bodies_that_hold_no_items_are_refused(body: bytes, lines: bool) -> None:
    with pytest.raises(BodyError):
        list(pieces_of(body, lines))


@pytest.mark.parametrize("lines", [False, True])
def test_there_may_be_so_many_items_and_no_more(lines: bool) -> None:
    def body(count: int) -> bytes:
        return b"\n".join([b"{}"] * count) if lines else b"[" + b",".join([b"{}"] * count) + b"]"

    assert len(list(pieces_of(body(MAX_ITEMS), lines))) == MAX_ITEMS
    with pytest.raises(BodyTooLargeError):
        list(pieces_of(body(MAX_ITEMS + 1), lines))


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_come_to_pieces_or_to_an_error(body: bytes, lines: bool) -> None:
    try:
        for _, raw in pieces_of(body, lines):
            order_of(read_item(raw), NOW)
    except (BodyError, ItemError):
        pass


Texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(st.lists(st.tuples(Texts, Texts), min_size=1, max_size=8), st.booleans())
def test_texts_of_any_characters_survive(texts: list[tuple[str, str]], plain: bool) -> None:
    items = [{"type": "account", "value": value, "reason": reason} for value, reason in texts]
    body = json.dumps(items, ensure_ascii=plain, indent=1).encode()
    orders = [order_of(read_item(raw), NOW) for _, raw in pieces_of(body, False)]
    assert [(made.target.value, made.reason) for made in orders] == texts
