from itertools import permutations

import pytest
from msgspec.structs import replace

from relay.watermark.detections.detectors import NEVER
from relay.watermark.detections.records import (
    Decision,
    Detection,
    DetectionState,
    Mapping,
    Verdict,
    encode,
    read_detection,
    read_mapping,
    read_verdict,
)

DETECTION = Detection(
    detector="detector:x",
    event_id="e1",
    watermark_id="w1",
    confidence=0.9,
    revoke_at=NEVER,
    approvals=2,
    accepted_at=100.0,
)


def said(key: str, at: float, decision: Decision = Decision.APPROVE) -> Verdict:
    return Verdict(detection=DETECTION.name, key=key, actor=f"api:{key}", decision=decision, at=at)


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ([], DetectionState.PENDING),
        ([said("a", 1)], DetectionState.PENDING),
        ([said("a", 1), said("a", 2)], DetectionState.PENDING),
        ([said("a", 1), said("b", 2)], DetectionState.REVOKED),
        ([said("a", 1), said("b", 2), said("c", 3, Decision.DISMISS)], DetectionState.REVOKED),
        ([said("a", 1), said("c", 2, Decision.DISMISS), said("b", 3)], DetectionState.DISMISSED),
        ([said("c", 1, Decision.DISMISS)], DetectionState.DISMISSED),
    ],
)
def test_verdicts_come_to_one_end_in_whatever_order_they_are_heard(
    verdicts: list[Verdict], state: DetectionState
) -> None:
    assert {DETECTION.state(heard) for heard in permutations(verdicts)} == {state}


@pytest.mark.parametrize(("confidence", "certain"), [(0.949, False), (0.95, True), (1.0, True)])
def test_confidence_may_suffice(confidence: float, certain: bool) -> None:
    detection = replace(DETECTION, revoke_at=0.95, confidence=confidence)
    assert detection.certain is certain
    assert (detection.state([]) is DetectionState.REVOKED) is certain


def test_no_confidence_suffices_where_none_does() -> None:
    assert not replace(DETECTION, confidence=1.0).certain


def test_round_trips() -> None:
    mapping = Mapping(watermark_id="w1", session_id="s1")
    assert read_mapping(encode(mapping)) == mapping
    assert read_detection(encode(DETECTION)) == DETECTION
    assert read_verdict(encode(said("a", 1))) == said("a", 1)
    for read in (read_mapping, read_detection, read_verdict):
        with pytest.raises(ValueError, match=r"."):
            read(b"\xc1")


def test_names_tell_records_apart() -> None:
    names = {
        Mapping(watermark_id="w1", session_id="s1").name,
        Mapping(watermark_id="w1s", session_id="1").name,
        DETECTION.name,
        replace(DETECTION, event_id="e2").name,
        replace(DETECTION, detector="detector:y").name,
        said("a", 1).name,
        said("b", 1).name,
    }
    assert len(names) == 7
    assert said("a", 1).name == said("a", 2, Decision.DISMISS).name
    assert said("a", 1).name.startswith(f"{DETECTION.name}.")
