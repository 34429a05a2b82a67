"""Plans as documents: read in order, by stream; a stream with one that cannot be read is not served."""

import pytest

from keys.periods import Clock
from policies.model import RotationChange, UnreadableChange
from policies.plan import ClockUnknownError, Plan
from policies.text import write_rotation
from relay.errors import ManifestError
from relay.plans import KIND, changes_by_stream, name_of, streams_in
from relay.state.documents import Documents
from relay.state.events import DocumentPut
from tests.test_grants import stream_of

NOW = 1000.0
SLOWER = write_rotation({Clock.WALL: 5000}, 60_000, 1000)


def put(stream: str, change: str, order: int, body: bytes = SLOWER) -> DocumentPut:
    return DocumentPut(
        origin="00112233445566aa",
        seq=order,
        order=order,
        kind=KIND,
        name=name_of(stream, change),
        body=body,
        created_at=NOW,
    )


def documents(*events: DocumentPut) -> Documents:
    found = Documents()
    for event in events:
        found.apply(event, NOW)
    return found


def test_changes_are_those_of_their_streams_in_order() -> None:
    known = documents(put("a", "2", 2), put("a", "1", 1), put("b", "3", 3), put("a", "gone", 4, b""))
    found = changes_by_stream(known, NOW)
    assert {name: [change.id for change in changes] for name, changes in found.items()} == {"a": ["1", "2"], "b": ["3"]}
    assert found["a"][0] == RotationChange("1", 1, {Clock.WALL: 5000}, 60_000, 1000)
    assert changes_by_stream(known, NOW, ["b"]).keys() == {"b"}


def test_events_tell_whose_plan_they_change() -> None:
    other = DocumentPut(origin="00112233445566aa", seq=9, order=9, kind="other", name="c/1", body=b"x", created_at=NOW)
    assert streams_in([put("a", "1", 1), put("b", "2", 2), other]) == {"a", "b"}


@pytest.mark.parametrize("body", [b"\xff", b"\x00", SLOWER[:-1], SLOWER + b"\x00", b"\x91\xa3new"])
def test_a_stream_with_a_change_that_cannot_be_read_is_not_served(body: bytes) -> None:
    changes = changes_by_stream(documents(put("a", "1", 1), put("a", "2", 2, body)), NOW)["a"]
    assert changes[1] == UnreadableChange("2", 2, {})
    stream = stream_of()
    plan = Plan(stream.plan.rotation, stream.plan.terms, changes)
    assert not any(plan.knows(clock) for clock in Clock)
    with pytest.raises(ClockUnknownError, match="cannot be read"):
        plan.schedule(Clock.WALL)
    # It is nobody's to throw away.
    assert plan.needless(dict.fromkeys(Clock, 10**15)) == []
    stream.plan = plan
    with pytest.raises(ManifestError, match="stream news: a change of its policy cannot be read"):
        stream.schedule_of(Clock.MEDIA)
