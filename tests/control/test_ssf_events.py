"""Security events to revocations: by event type and by subject."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.control.ssf_events import CAEP, RISC, Source, SubjectError, orders_of
from relay.gate.targets import Target, TargetType

VERIFICATION = "https://schemas.openid.net/secevent/ssf/event-type/verification"
NOW = 1_800_000_000.0
SOURCE = Source("https://idp.example", "https://platform.example", int(NOW) - 10)
SESSION = {"format": "opaque", "id": "session-1"}
USER = {"format": "iss_sub", "iss": "https://idp.example", "sub": "account-1"}
DEVICE = {"format": "opaque", "id": "device-1"}
ISSUER = "https://platform.example"
CUT_OFF = Target(TargetType.ISSUED_BEFORE, "account-1", ISSUER, limit=int(NOW) - 9)


def target_of(kind: str, subject: Any, **event: Any) -> Target | None:
    orders = orders_of({kind: event}, subject, SOURCE, NOW)
    return orders[0].target if orders else None


@pytest.mark.parametrize(
    ("subject", "target"),
    [
        (SESSION, Target(TargetType.SESSION, "session-1")),
        (USER, CUT_OFF),
        (
            {"format": "email", "email": "a@b.example"},
            Target(TargetType.ISSUED_BEFORE, "a@b.example", ISSUER, limit=int(NOW) - 9),
        ),
        (
            {"format": "account", "uri": "acct:a@b.example"},
            Target(TargetType.ISSUED_BEFORE, "a@b.example", ISSUER, limit=int(NOW) - 9),
        ),
        (
            {"format": "jwt_id", "iss": "https://platform.example", "jti": "token-1"},
            Target(TargetType.TOKEN, "token-1", "https://platform.example"),
        ),
        ({"format": "complex", "session": SESSION}, Target(TargetType.SESSION, "session-1")),
        (
            {"format": "complex", "session": SESSION, "user": USER, "device": DEVICE, "tenant": DEVICE},
            Target(TargetType.SESSION, "session-1"),
        ),
        ({"format": "complex", "user": USER, "device": DEVICE}, CUT_OFF),
        ({"format": "complex", "device": DEVICE}, Target(TargetType.DEVICE, "device-1", ISSUER)),
        ({"user": USER}, CUT_OFF),
        ({"subject_type": "iss-sub", "iss": "x", "sub": "account-1"}, CUT_OFF),
    ],
)
def test_a_revoked_session_by_subject(subject: dict[str, Any], target: Target) -> None:
    assert target_of(CAEP + "session-revoked", subject) == target


@pytest.mark.parametrize(
    "subject",
    [
        None,
        [],
        {},
        {"format": "opaque"},
        {"format": "opaque", "id": 5},
        {"format": "opaque", "id": "x" * 513},
        {"format": "ip-addresses", "ip-addresses": ["192.0.2.1"]},
        {"format": ["opaque"], "id": "x"},
        {"format": "complex"},
        {"format": "complex", "tenant": DEVICE},
        {"format": "complex", "session": "session-1"},
        {"format": "complex", "session": {"format": "complex", "session": SESSION}},
        {"format": "iss_sub", "sub": "account-1", "iss": 7},
    ],
)
def test_a_subject_that_names_nothing_is_refused(subject: Any) -> None:
    source = Source("https://idp.example", "", int(NOW))
    with pytest.raises(SubjectError):
        orders_of({CAEP + "session-revoked": {}}, subject, source, NOW)


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        (NOW - 100, int(NOW) - 99),
        (NOW * 1000, int(NOW) + 61),
        (10**400, int(NOW) - 9),
        ("yesterday", int(NOW) - 9),
        (-5, int(NOW) - 9),
    ],
)
def test_a_cut_off_is_at_the_time_of_the_event_and_never_far_ahead(written: Any, limit: int) -> None:
    target = target_of(CAEP + "session-revoked", USER, event_timestamp=written)
    assert target is not None
    assert target.limit == limit


@pytest.mark.parametrize(
    ("kind", "subject", "event", "target"),
    [
        (RISC + "account-disabled", USER, {}, Target(TargetType.ACCOUNT, "account-1", ISSUER)),
        (RISC + "account-purged", {"format": "opaque", "id": "a"}, {}, Target(TargetType.ACCOUNT, "a", ISSUER)),
        (RISC + "sessions-revoked", USER, {}, CUT_OFF),
        (CAEP + "credential-change", USER, {"change_type": "revoke"}, CUT_OFF),
        (CAEP + "credential-change", USER, {"change_type": "create"}, None),
        (
            CAEP + "device-compliance-change",
            {"format": "complex", "user": USER, "device": DEVICE},
            {"current_status": "not-compliant", "previous_status": "compliant"},
            Target(TargetType.DEVICE, "device-1", ISSUER),
        ),
        (CAEP + "device-compliance-change", DEVICE, {"current_status": "compliant"}, None),
        (VERIFICATION, {"format": "opaque", "id": "stream"}, {"state": "x"}, None),
        ("https://example.com/unknown", None, {}, None),
    ],
)
def test_event_types(kind: str, subject: Any, event: dict[str, Any], target: Target | None) -> None:
    assert target_of(kind, subject, **event) == target


def test_the_subject_may_stand_in_the_event_as_it_did_in_drafts() -> None:
    (order,) = orders_of({CAEP + "session-revoked": {"subject": SESSION}}, None, SOURCE, NOW)
    assert order.target == Target(TargetType.SESSION, "session-1")


def test_reason_and_source_are_kept() -> None:
    event = {"reason_admin": {"de": "Verstoß", "en": "policy violation"}}
    (order,) = orders_of({CAEP + "session-revoked": event}, SESSION, SOURCE, NOW)
    assert order.reason == "policy violation"
    assert order.sources == ("ssf:https://idp.example",)
    (order,) = orders_of({CAEP + "session-revoked": {"reason_admin": {"en": 5}}}, SESSION, SOURCE, NOW)
    assert order.reason == "session-revoked"


def test_an_event_must_be_an_object_and_few() -> None:
    with pytest.raises(SubjectError):
        orders_of({CAEP + "session-revoked": "now"}, SESSION, SOURCE, NOW)
    with pytest.raises(SubjectError):
        orders_of({f"{n}": {} for n in range(9)}, SESSION, SOURCE, NOW)


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "format",
                    "id",
                    "iss",
                    "sub",
                    "session",
                    "user",
                    "device",
                    "jti",
                    "uri",
                    "event_timestamp",
                    "change_type",
                ]
            ),
            inner | st.sampled_from(["opaque", "iss_sub", "complex", "jwt_id", "account"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(["session-revoked", "credential-change", "device-compliance-change"]), _JSON, _JSON)
def test_any_json_comes_to_orders_or_to_a_subject_error(kind: str, subject: Any, event: Any) -> None:
    try:
        orders = orders_of({CAEP + kind: event}, subject, SOURCE, NOW)
    except SubjectError:
        return
    for order in orders:
        order.target.digest()
        assert len(order.reason) <= 512
