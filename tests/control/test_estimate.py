"""``POST /api/v1/drm/license/estimate``."""

from typing import Any

import pytest

from tests.control.desk import Desk

PATH = "/api/v1/drm/license/estimate"
EVENT: dict[str, Any] = {
    "viewers": 10_000,
    "duration_s": 3600,
    "renewal_interval_s": 60,
    "rotation_interval_s": 600,
    "pre_delivery_s": 30,
    "systems": {"widevine": 50, "clearkey": 50},
}


async def test_an_event_is_estimated(desk: Desk) -> None:
    status, found, headers = await desk.call("POST", PATH, EVENT)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert found["licences"] == {"first": 10_000, "renewals": 590_000, "rotation": 30_000, "total": 630_000}
    assert found["licences_per_viewer"] == 63
    assert found["systems"]["clearkey"] == {
        "first": 5000,
        "renewals": 295_000,
        "rotation": 0,
        "total": 300_000,
        "viewers": 5000,
        "requests_each": 1,
        "next_key_in": "channel",
    }
    assert found["peak_per_s"] == {
        "starts": 166.7,
        "renewals": 166.7,
        "rotation_at_boundary": 1000,
        "rotation_spread": 250,
        "total_at_boundary": 1166.7,
        "total_spread": 416.7,
    }


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({**EVENT, "viewers": 0}, "/viewers"),
        ({**EVENT, "systems": {"widevine": 120}}, "/systems/widevine"),
        ({**EVENT, "systems": {"widevine": 20}}, "/systems"),
        ({**EVENT, "pre_delivery_s": 600}, ""),
        ({"viewers": 5}, ""),
        ([], ""),
        (b"{", ""),
        (b"[" * 50_000, ""),
    ],
)
async def test_a_bad_body_is_refused_with_its_place(desk: Desk, body: Any, pointer: str) -> None:
    status, told, _ = await desk.call("POST", PATH, body)
    assert (status, told["errors"][0]["pointer"]) == (400, pointer), told


async def test_more_than_can_be_counted_is_a_bad_request(desk: Desk) -> None:
    body = {"viewers": 10**9, "duration_s": 86_400, "renewal_interval_s": 1, "titles": 100_000, "plays": 100_000}
    status, told, _ = await desk.call("POST", PATH, body)
    assert (status, told["code"]) == (400, "request_invalid")


async def test_only_the_api_key_may_ask(desk: Desk) -> None:
    status, _, _ = await desk.call("POST", PATH, EVENT, Authorization="Bearer wrong")
    assert status == 401
