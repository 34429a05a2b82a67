"""Who may have been served what, as the API tells it."""

import json
from typing import Any

import pytest

from tests.control.desk import Desk

PATH = "/api/v1/drm/watermark/candidates"


async def lines(desk: Desk, query: str) -> list[dict[str, Any]]:
    status, body, headers = await desk.call("GET", f"{PATH}?{query}")
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, "application/x-ndjson", "no-store")
    return [json.loads(line) for line in body.splitlines()]


async def test_candidates_are_told_a_line_each(desk: Desk) -> None:
    now = desk.node.clock()
    for sid, position in (("s1", 5), ("s2", 70)):
        visitor = desk.watch(sid, f"account-{sid}", device="tv", watermark="00000000000000ff")
        desk.node.servings.viewing(visitor, "film").note(position, True, now)
    one, told = await lines(desk, "asset=film&first=60&last=80")
    assert told == {"complete": True, "missing": []}
    assert one == {
        "number": "00000000000000ff",
        "watermark_id": "00000000000000ff",
        "session_id": "s2",
        "issuer": "https://platform.example",
        "account_id": "account-s2",
        "device_id": "tv",
        "stream_id": "vod",
        "node": "node-a",
        "intervals": [{"first": 70, "last": 70, "since": now, "until": now, "marked": True, "exact": True}],
    }
    assert len(await lines(desk, "asset=film")) == 3
    assert await lines(desk, "asset=other") == [{"complete": True, "missing": []}]
    audit = await desk.get("/api/v1/audit")
    asked = [entry for entry in audit["entries"] if entry["what"] == "watermark.candidates"]
    assert asked[0]["effect"] == {"asset": "film", "first": 60, "last": 80}


@pytest.mark.parametrize(
    "query", ["", "asset=", "asset=film&first=-1", "asset=film&first=9&last=8", "asset=film&last=x"]
)
async def test_questions_that_make_no_sense(desk: Desk, query: str) -> None:
    status, _, _ = await desk.call("GET", f"{PATH}?{query}")
    assert status == 400
