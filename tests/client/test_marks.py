"""Mappings and detections over the client."""

import pytest

from relay.api.marks import DetectionBody, MappingBody
from relay.client import Client, ProblemError
from relay.watermark.detections.records import DetectionState
from tests.control.desk import Desk


async def test_mapped_detected_and_decided(desk: Desk, relay: Client) -> None:
    viewer = desk.watch("s1", "viewer-1", "film")
    done = await relay.mappings.put([MappingBody(watermark_id="w/1", session_id="s1")])
    assert (done.mappings, done.complete) == (1, True)
    assert (await relay.mappings.get("w/1")).session_ids == ["s1"]
    found = await relay.detections.tell(DetectionBody(id="case-1", watermark_id="w/1", confidence=0.9))
    other = await relay.detections.tell(DetectionBody(id="case-2", watermark_id="w2", confidence=0.2))
    assert (found.state, found.session_ids, found.approvals_needed) == (DetectionState.PENDING, ["s1"], 2)
    assert (await relay.detections.approve(found.id, "seen it")).verdicts[0].reason == "seen it"
    assert (await relay.detections.dismiss(other.id)).state is DetectionState.DISMISSED
    assert [one.id async for one in relay.detections.all(DetectionState.PENDING)] == [found.id]
    assert [one.id async for one in relay.detections.all(page_size=1)] == [other.id, found.id]
    assert (await relay.detections.get(found.id)).state is DetectionState.PENDING
    assert not desk.refuses(viewer)
    await relay.revocations.revoke(watermark_id="w/1")
    assert desk.refuses(viewer)
    assert (await relay.mappings.forget("w/1")).mappings == 1
    with pytest.raises(ProblemError, match="mapped to no session"):
        await relay.mappings.forget("w/1")
