"""What a node files of watermarks, from events as they come."""

import pytest

from relay.gate.targets import Target, TargetType
from relay.state.documents import Documents
from relay.state.events import Action, DocumentPut, Revocation
from relay.watermark.detections import marks
from relay.watermark.detections.marks import Marks
from relay.watermark.detections.records import MAPPING_KIND, Mapping, encode

NOW = 1_790_000_000.0


def put(at: int, mapping: Mapping, body: bytes | None = None, expires_at: float = NOW + 60) -> DocumentPut:
    return DocumentPut(
        origin="0" * 16,
        seq=at,
        order=at,
        kind=MAPPING_KIND,
        name=mapping.name,
        body=encode(mapping) if body is None else body,
        created_at=NOW,
        expires_at=expires_at,
    )


def told(documents: Documents, filed: Marks, *events: DocumentPut) -> list[Mapping]:
    for event in events:
        documents.apply(event, NOW)
    return filed.apply(events)


def test_mappings_are_filed_and_taken_back() -> None:
    documents = Documents()
    filed = Marks(documents)
    one, two = (Mapping(watermark_id="w1", session_id=name) for name in ("s1", "s2"))
    assert told(documents, filed, put(1, two), put(2, one)) == [two, one]
    assert filed.mapped("w1", NOW) == [one, two]
    assert filed.sessions(Target(TargetType.WATERMARK, "w1"), NOW) == [
        Target(TargetType.SESSION, "s1"),
        Target(TargetType.SESSION, "s2"),
    ]
    assert filed.sessions(Target(TargetType.SESSION, "w1"), NOW) == []
    assert told(documents, filed, put(3, one, b"")) == []
    assert filed.mapped("w1", NOW) == [two]
    assert filed.mapped("w1", NOW + 61) == []


def test_a_revocation_concerns_what_is_mapped() -> None:
    documents = Documents()
    filed = Marks(documents)
    one = Mapping(watermark_id="w1", session_id="s1")
    told(documents, filed, put(1, one))
    for action, value, concerned in [
        (Action.REVOKE, "w1", [one]),
        (Action.REVOKE, "w2", []),
        (Action.RESTORE, "w1", []),
    ]:
        order = Revocation(
            origin="0" * 16,
            seq=2,
            order=2,
            action=action,
            type=TargetType.WATERMARK,
            value=value,
            created_at=NOW,
            expires_at=NOW + 60,
        )
        assert filed.apply([order]) == concerned


def test_what_expired_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "SLACK", 10)
    documents = Documents()
    filed = Marks(documents)
    for number in range(100):
        mapping = Mapping(watermark_id=f"w{number}", session_id="s")
        told(documents, filed, put(number + 1, mapping, expires_at=NOW + number))
        documents.forget(NOW + number)
    assert len(filed._mapped) < 20


def test_a_record_that_cannot_be_read_is_none() -> None:
    documents = Documents()
    filed = Marks(documents)
    one = Mapping(watermark_id="w1", session_id="s1")
    assert told(documents, filed, put(1, one, b"\xc1")) == []
    assert filed.mapped("w1", NOW) == []
