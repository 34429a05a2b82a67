"""What webhooks are told of the events of a node."""

from typing import Any

import msgspec
import pytest

from keys.periods import Clock
from policies.text import SceneText, write_rekeying, write_rotation, write_scenes
from relay.gate.targets import TargetType
from relay.model import Session
from relay.plans import KIND
from relay.sessions.records import Refused
from relay.state.events import Action, DocumentPut, Event, Revocation, SaltDrawn
from relay.verdict import Reason
from relay.webhooks.events import Told, told_of, told_of_refusal
from relay.webhooks.settings import EventType

ORIGIN = "0123456789abcdef"


def revocation(**members: Any) -> Revocation:
    base: dict[str, Any] = {
        "origin": ORIGIN,
        "seq": 7,
        "order": 1,
        "action": Action.REVOKE,
        "type": TargetType.ACCOUNT,
        "value": "account-1",
        "reason": "fraud",
        "actor": "api:shop",
        "created_at": 1_800_000_000.0,
        "expires_at": 1_900_000_000.0,
    }
    return Revocation(**{**base, **members})


def document(kind: str, name: str, body: bytes) -> DocumentPut:
    return DocumentPut(origin=ORIGIN, seq=8, order=1, kind=kind, name=name, body=body, actor="api", created_at=1.0)


def told(event: Event) -> Told:
    found = told_of(event, "/nodes/a")
    assert found
    return found


def data_of(one: Told) -> Any:
    return msgspec.json.decode(one.event.encode())["data"]


def test_a_revocation_is_told_as_the_api_shows_it() -> None:
    one = told(revocation())
    assert (one.type, one.stream, one.event.id, one.event.subject) == (
        EventType.REVOCATION_CREATED,
        "",
        f"{ORIGIN}-7",
        "account/account-1",
    )
    data = data_of(one)
    assert (data["target"], data["reason"], data["actor"]) == (
        {"type": "account", "value": "account-1"},
        "fraud",
        "api:shop",
    )


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"action": Action.RESTORE}, EventType.REVOCATION_RESTORED),
        ({"type": TargetType.SESSION, "reason": "concurrency_limit"}, EventType.SESSION_ENDED),
        ({"type": TargetType.SESSION, "reason": "ended"}, EventType.SESSION_ENDED),
        ({"type": TargetType.SESSION, "reason": "fraud"}, EventType.REVOCATION_CREATED),
        ({"type": TargetType.ACCOUNT, "reason": "ended"}, EventType.REVOCATION_CREATED),
        ({"type": TargetType.SESSION, "reason": "ended", "action": Action.RESTORE}, EventType.REVOCATION_RESTORED),
    ],
)
def test_types_of_revocations(members: dict[str, Any], expected: EventType) -> None:
    assert told(revocation(**members)).type is expected


def test_a_stream_that_is_revoked_is_what_it_concerns() -> None:
    assert told(revocation(type=TargetType.STREAM, value="vod")).stream == "vod"


@pytest.mark.parametrize(
    "event",
    [
        revocation(reason="probe", type=TargetType.SESSION),
        revocation(reason="widened"),
        SaltDrawn(origin=ORIGIN, seq=1, stream="vod", period=0, salt=b"salt"),
        document("anything else", "x", b"y"),
        document("purchase", "x", b""),
    ],
)
def test_what_nobody_ordered_is_not_told(event: Event) -> None:
    assert told_of(event, "/nodes/a") is None


SINCE = {Clock.WALL: 1000}
MAIN = SceneText(label="main", start="00:00:00", end="01:00:00", drm_level="L3")


@pytest.mark.parametrize(
    ("change", "expected", "said"),
    [
        (write_rekeying(SINCE, 2, 5000), EventType.ROTATION_EMERGENCY, {"epoch": 2, "spread_s": 5.0}),
        (
            write_rotation(SINCE, 60_000, 5000),
            EventType.ROTATION_CHANGED,
            {"interval_s": 60.0, "pre_delivery_s": 5.0},
        ),
        (write_scenes(SINCE, {Clock.WALL: 0}, [MAIN]), EventType.POLICY_CHANGED, {"scenes": ["main"]}),
    ],
)
def test_changes_of_a_policy(change: bytes, expected: EventType, said: dict[str, Any]) -> None:
    one = told(document(KIND, "vod/c1", change))
    assert (one.type, one.stream, one.event.subject) == (expected, "vod", "stream/vod")
    assert data_of(one) == {"stream_id": "vod", "change_id": "c1", "actor": "api", "removed": False, **said}


def test_a_change_that_was_removed_or_cannot_be_read_is_told_all_the_same() -> None:
    for body, removed in ((b"", True), (b"from the future", False)):
        one = told(document(KIND, "vod/c1", body))
        assert (one.type, data_of(one)["removed"]) == (EventType.POLICY_CHANGED, removed)


def test_purchases() -> None:
    assert told(document("purchase", "p-1", b"sealed")).type is EventType.PURCHASE_RECORDED
    assert told(document("return", "p-1", b"sealed")).type is EventType.PURCHASE_RETURNED
    assert "sealed" not in str(data_of(told(document("purchase", "p-1", b"sealed"))))


def test_a_refusal() -> None:
    session = Session("s", "account-1", "i", 2, device="tv")
    refused = Refused(session=session, at=1.0, node="n", stream="vod", reason=Reason.REVOKED)
    one = told_of_refusal(refused, 3, "/nodes/a", ORIGIN)
    assert (one.type, one.stream, one.event.id) == (EventType.LICENCE_DENIED, "vod", f"{ORIGIN}-denied-3")
    assert data_of(one) == {
        "session_id": "s",
        "account_id": "account-1",
        "device_id": "tv",
        "stream_id": "vod",
        "reason": "revoked",
        "number": 1101,
    }
