"""Copies of a film uploaded to a node: the session is named, and what is no film at all harms nobody."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import av
import numpy as np
import pytest

from relay.roles import Role
from tests.control.desk import Desk, open_desk
from tests.control.test_roles import KEYS, NAMED, bearer
from tests.watermark.analyse.test_leak import sound, video
from tests.watermark.jobs.conftest import LEAKER, SEGMENTS, Case

POST = "/api/v1/drm/watermark/analyze"
SESSIONS = 50
BEGINNING = 1_800_000_000.0
STREAMS = {"vod": {"origin": "http://127.0.0.1:9/vod/", "hls": "a.m3u8", "watermark": {"asset": "film"}}}
VENDOR = bearer(KEYS[Role.WATERMARK_VENDOR])


@pytest.fixture
async def desk(case: Case) -> AsyncIterator[Desk]:
    """A node that served the film to fifty sessions, a segment a second."""
    # So short a film does not reach the usual certainty.
    settings = {"watermark": {"analysis": {"assets": str(case.assets), "false_accusation": 0.02}}}
    async with open_desk(keys=NAMED, streams=STREAMS, settings=settings) as made:
        for number in range(SESSIONS):
            visitor = made.watch(f"s{number}", f"account-{number}", device=f"tv-{number}", watermark=f"wm-{number}")
            for position in range(SEGMENTS):
                made.node.servings.viewing(visitor, "film").note(position, True, BEGINNING + number * 100 + position)
        yield made


async def over(desk: Desk, body: bytes, query: str = "", **headers: str) -> Any:
    """The analysis of an upload when it is over; all the while the node answers."""
    headers = {"Content_Type": "video/mp4", **headers}
    status, begun, answered = await desk.call("POST", POST + query, body, **headers)
    assert status == 202, begun
    for _ in range(3000):
        seen = await desk.get(answered["Location"])
        if seen["state"] in ("done", "failed"):
            return seen
        async with asyncio.timeout(2):
            assert (await desk.get("/healthz"))["status"] == "ok"
        await asyncio.sleep(0.1)
    raise AssertionError(seen)


async def test_the_session_is_named_with_the_time_it_was_served(desk: Desk, case: Case) -> None:
    seen = await over(desk, case.leak, "?note=forum", **VENDOR)
    result = seen["result"]
    assert (seen["state"], result["status"], result["asset"]) == ("done", "identified", "film")
    (match,) = result["matches"]
    assert (match["watermark_id"], match["segments_agreeing"]) == (LEAKER, match["segments_compared"])
    assert match["false_accusation_bound"] < 0.02
    assert (match["served_from"], match["served_to"]) == (BEGINNING + 1700, BEGINNING + 1700 + SEGMENTS - 1)
    (session,) = match["sessions"]
    assert {name: session[name] for name in ("session_id", "account_id", "device_id", "stream_id", "nodes")} == {
        "session_id": "s17",
        "account_id": "account-17",
        "device_id": "tv-17",
        "stream_id": "vod",
        "nodes": ["node-a"],
    }
    assert (result["candidates"], result["complete"], result["segments_used"]) == (SESSIONS, True, SEGMENTS)
    assert result["quality"] > 10
    assert result["runner_up_bits"] < result["needed_bits"] < result["best_bits"]
    assert len(result["scores"]) == SEGMENTS

    path = f"/api/v1/drm/watermark/analyses/{seen['id']}"
    status, told, _ = await desk.call("GET", path, **VENDOR)
    assert status == 200
    assert told["result"]["matches"][0]["watermark_id"] == LEAKER
    assert "sessions" not in told["result"]["matches"][0]
    status, page, headers = await desk.call("GET", f"{path}/report")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"account-17" in page
    assert b"data:image/jpeg;base64," in page
    for name in ("report", "report.json"):
        _, without, _ = await desk.call("GET", f"{path}/{name}", **VENDOR)
        assert "account-17" not in str(without)
    report = await desk.get(f"{path}/report.json")
    assert report["analysis"] == await desk.get(path)
    sheet = base64.b64decode(report["pictures"][0]["pictures"][0]["jpeg"])
    assert sheet.startswith(b"\xff\xd8")

    entries = [one for one in (await desk.get("/api/v1/audit"))["entries"] if one["what"].startswith("watermark.")]
    assert [(one["who"], one["what"]) for one in entries] == [
        ("api:key-watermark-vendor", "watermark.analyses.post"),
        ("api:key-watermark-vendor", "watermark.analyses.over"),
        ("api", "watermark.analyses.get"),
        ("api", "watermark.analyses.report"),
        ("api", "watermark.analyses.report"),
        ("api", "watermark.analyses.get"),
    ]
    assert entries[1]["effect"] == {
        "id": seen["id"], "state": "done", "status": "identified", "asset": "film", "watermarks": [LEAKER],
    }  # fmt: skip


async def test_too_short_a_copy_names_nobody_and_says_how_much_more_it_takes(desk: Desk, case: Case) -> None:
    result = (await over(desk, case.short))["result"]
    assert (result["status"], result["matches"], result["candidates"]) == ("insufficient_evidence", [], SESSIONS)
    assert result["best_bits"] < result["needed_bits"]
    # Some fourteen segments of a second each suffice.
    assert 2 <= result["estimated_further_seconds"] <= 9


def noise(frames: int = 60, size: tuple[int, int] = (160, 96)) -> bytes:
    """A video of nothing."""
    out, drawn = io.BytesIO(), np.random.default_rng(1)
    with av.open(out, "w", format="mp4") as writer:
        stream = writer.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for _ in range(frames):
            picture = drawn.integers(0, 255, (size[1] * 3 // 2, size[0]), np.uint8)
            writer.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        writer.mux(stream.encode())
    return out.getvalue()


@pytest.mark.parametrize(("query", "status"), [("", "asset_not_found"), ("?asset=film", "registration_failed")])
async def test_a_copy_of_something_else(desk: Desk, query: str, status: str) -> None:
    seen = await over(desk, noise(), query)
    assert (seen["state"], seen["result"]["status"], seen["result"]["matches"]) == ("done", status, [])


async def test_an_asset_marked_with_another_key(case: Case) -> None:
    settings = {"watermark": {"analysis": {"assets": str(case.assets)}}}
    async with open_desk(streams=STREAMS, settings=settings) as desk:
        desk.node.analyses.setting = replace(desk.node.analyses.setting, secret=b"another" * 5)
        seen = await over(desk, case.short)
        assert (seen["state"], seen["error"]["code"]) == ("failed", "asset_key_unknown")
        assert "asset film" in seen["error"]["detail"]


async def test_an_asset_that_nobody_was_served(case: Case) -> None:
    async with open_desk(settings={"watermark": {"analysis": {"assets": str(case.assets)}}}) as desk:
        seen = await over(desk, case.short)
        assert (seen["state"], seen["error"]["code"]) == ("failed", "asset_unserved")


TRUNCATED = video(frames=100)
LARGE = video(frames=1, size=(8000, 4400))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\0\0\0\x20ftypisom" + bytes(200_000), "leak_truncated"),
        (TRUNCATED[: len(TRUNCATED) // 3], "leak_truncated"),
        (sound(), "leak_without_frames"),
        (LARGE, "leak_picture_size"),
        (b"\x1a\x45\xdf\xa3" + b"\xff" * 100_000, "leak_truncated"),
        (b"RIFF" + b"\xff" * 100_000, "leak_truncated"),
    ],
    ids=["zeros", "truncated", "audio", "dimensions", "matroska", "avi"],
)
async def test_what_cannot_be_read_gets_an_error_of_its_own(desk: Desk, body: bytes, code: str) -> None:
    seen = await over(desk, body)
    assert (seen["state"], seen["error"]["code"], seen["result"]) == ("failed", code, None), seen["error"]
