"""``GET /api/v1/drm/license/{session_id}/status``: what is known of a session, from wherever it is known."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from keys.model import Security, TrackType
from relay.gate.gate import Visitor
from relay.model import Session
from relay.sessions.records import Begun, Licensed, Record, Refused, Renewed, Seen
from relay.verdict import Reason
from tests.control.desk import ISSUER, Desk, open_desk

DEVICE = "00112233445566778899aabbccddeeff"


def session(sid: str = "s", **fields: Any) -> Session:
    return Session(sid, "account-1", ISSUER, int(time.time()) + 600, **fields)


def note(desk: Desk, kind: type[Record], **fields: Any) -> None:
    now = time.time()
    base: dict[str, Any] = {"session": session(), "at": now, "node": "node-a"}
    if kind is not Begun:
        base["stream"] = "vod"
    if kind in (Licensed, Renewed):
        base |= {"system": "widevine", "expires_at": now + 300}
    desk.node.records.note(kind(**{**base, **fields}))


async def status_of(desk: Desk, sid: str = "s", query: str = "") -> Any:
    return await desk.get(f"/api/v1/drm/license/{sid}/status{query}")


async def test_nobody_has_heard_of_it(desk: Desk) -> None:
    status, problem, _ = await desk.call("GET", "/api/v1/drm/license/s/status")
    assert (status, problem["code"]) == (404, "not_found")


async def test_a_licence_is_told_of(desk: Desk) -> None:
    at = time.time()
    note(
        desk,
        Licensed,
        session=session(watermark="w-1", device="tv"),
        at=at,
        renew_by=at + 45,
        device_level=Security.HARDWARE,
        key_level=Security.SOFTWARE,
        tracks=(TrackType.AUDIO, TrackType.HD),
        device=DEVICE,
        model="Set-top box",
        scene="pre-game",
    )
    found = await status_of(desk)
    expected = {
        "state": "active",
        "account_id": "account-1",
        "issuer": ISSUER,
        "stream_id": "vod",
        "device_id": "tv",
        "drm_type": "widevine",
        "protection_level": "L3",
        "device_level": "L1",
        "tracks": ["audio", "hd"],
        "issued_at": at,
        "renewed_at": None,
        "renew_by": at + 45,
        "device_hash": DEVICE[:8],
        "device_model": "Set-top box",
        "watermark_id": "w-1",
        "scene_at_issue": "pre-game",
        "revoked": False,
        "revoked_by": None,
        "live": None,
        "node": "node-a",
        "last_denial": None,
        "complete": True,
    }
    assert {name: found[name] for name in expected} == expected
    # Of a device no more than operators need to tell two apart.
    assert DEVICE not in str(found)


async def test_renewals_denials_and_ends(desk: Desk) -> None:
    now = time.time()
    note(desk, Licensed, at=now - 100, expires_at=now - 10)
    assert (await status_of(desk))["state"] == "lapsed"
    note(desk, Renewed, expires_at=now + 50, renew_by=now + 10)
    found = await status_of(desk)
    assert (found["state"], found["expires_at"], found["renew_by"]) == ("active", now + 50, now + 10)
    assert (found["issued_at"], found["renewed_at"] > now - 1) == (now - 100, True)
    note(desk, Refused, at=now + 1, reason=Reason.SECURITY_LEVEL)
    found = await status_of(desk)
    assert found["last_denial"] == {"reason": "security_level", "number": 1502, "at": now + 1}


async def test_an_issued_session_is_known_before_it_plays(desk: Desk) -> None:
    body = {"account_id": "a", "stream_ids": ["vod"], "session_id": "mine", "watermark_id": "w-2"}
    await desk.call("POST", "/api/v1/sessions", body)
    found = await status_of(desk, "mine")
    assert (found["state"], found["drm_type"]) == ("none", None)
    assert (found["stream_id"], found["watermark_id"]) == ("vod", "w-2")


async def test_presence_is_told_of(desk: Desk) -> None:
    visitor = Visitor.of(session("live"), "vod")
    desk.node.presence.seen(visitor, desk.node.clock(), "192.0.2.1")
    found = await status_of(desk, "live")
    assert (found["live"], found["node"], found["state"]) == (True, "node-a", "none")
    assert abs(found["last_seen"] - time.time()) < 5


@pytest.mark.parametrize(
    "target",
    [
        {"type": "session", "value": "s"},
        {"type": "account", "value": "account-1", "issuer": ISSUER},
        {"type": "device", "value": "tv"},
        {"type": "device", "value": DEVICE},
        {"type": "watermark", "value": "w-1"},
        {"type": "token", "value": "jti-1"},
        {"type": "stream", "value": "vod"},
        {"type": "session-version", "value": "account-1", "max_version": 3},
        {"type": "issued-before", "value": "account-1", "before": 101},
    ],
)
async def test_what_revoked_it_is_named(desk: Desk, target: dict[str, Any]) -> None:
    whose = session(device="tv", watermark="w-1", token_id="jti-1", version=3, issued_at=100)
    note(desk, Licensed, session=whose, device=DEVICE)
    await desk.revoke({**target, "reason": "chargeback"})
    found = await status_of(desk)
    assert (found["state"], found["revoked"]) == ("revoked", True)
    by = found["revoked_by"]
    assert (by["type"], by["value"], by["reason"]) == (target["type"], target["value"], "chargeback")
    assert abs(by["since"] - time.time()) < 5
    await desk.revoke({**target, "action": "restore"})
    assert (await status_of(desk))["state"] == "active"


@pytest.mark.parametrize(
    "target",
    [
        {"type": "session-version", "value": "account-1", "max_version": 2},
        {"type": "issued-before", "value": "account-1", "before": 100},
        {"type": "account", "value": "account-1", "issuer": "https://other.example"},
        {"type": "stream", "value": "vod", "viewer": "account-2"},
        {"type": "session", "value": "s", "effective_at": "2035-01-01T00:00:00Z"},
    ],
)
async def test_what_does_not_stop_it_is_not_told(desk: Desk, target: dict[str, Any]) -> None:
    note(desk, Licensed, session=session(version=3, issued_at=100))
    await desk.revoke(target)
    assert (await status_of(desk))["revoked_by"] is None


async def test_a_revoked_network_is_told_of_those_in_it(desk: Desk) -> None:
    visitor = Visitor.of(session("live"), "vod")
    desk.node.presence.seen(visitor, desk.node.clock(), "192.0.2.1")
    await desk.revoke({"type": "network", "value": "192.0.2.0/24"})
    found = await status_of(desk, "live")
    assert (found["state"], found["revoked_by"]["type"]) == ("revoked", "network")


async def test_one_that_is_revoked_by_name_needs_no_more(desk: Desk) -> None:
    await desk.revoke({"type": "session", "value": "never-seen", "reason": "leak"})
    found = await status_of(desk, "never-seen")
    assert (found["state"], found["revoked_by"]["reason"], found["account_id"]) == ("revoked", "leak", None)


async def test_an_issuer_that_is_none_is_refused(desk: Desk) -> None:
    status, problem, _ = await desk.call("GET", "/api/v1/drm/license/s/status?issuer=x")
    assert (status, problem["code"]) == (400, "request_invalid")


@pytest.fixture
async def old() -> AsyncIterator[tuple[Desk, list[float]]]:
    now = [time.time()]
    async with open_desk(clock=lambda: now[0]) as made:
        yield made, now


async def test_a_session_that_is_over_has_expired(old: tuple[Desk, list[float]]) -> None:
    desk, now = old
    note(desk, Licensed)
    note(desk, Seen, at=now[0] + 1)
    now[0] += 601
    found = await status_of(desk)
    assert (found["state"], found["drm_type"], found["last_seen"]) == ("expired", "widevine", now[0] - 600)
