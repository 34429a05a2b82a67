"""Purchases: what shops tell of becomes entitlement and licence at once, and is taken back at once."""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from msgspec import structs

from keys.material import RootKey
from keys.ring import KeyRing
from relay.gate.dialects.keys import TokenKey
from relay.gate.gate import Visitor
from relay.model import Session
from relay.purchases.records import MAX_AHEAD_S
from relay.secrets import Secrets
from relay.verdict import Reason
from tests.control.desk import API_KEY, ISSUER, Answer, Desk, open_desk, signature
from tests.state.cluster import until

PATH = "/api/v1/purchases"
ENTITLEMENTS = "/api/v1/entitlements"
SECRET, NEXT_SECRET = b"s" * 32, b"n" * 24
EVENT = {"id": "event-1", "type": "purchase", "account_id": "account-1", "stream_id": "film"}
REFUND = {"id": "event-2", "type": "refund", "account_id": "account-1", "purchase_id": "event-1"}
SETTINGS: dict[str, Any] = {
    "streams": {
        name: {"origin": f"http://127.0.0.1:9/{name}/", "hls": "a.m3u8", "entitlement": "required"}
        for name in ("film", "match", "final")
    },
    "purchases": {
        "products": {"season": ["match", "final"]},
        "sources": [
            {"name": "shop", "secret_files": ["-", "-"], "types": {"com.example.order": "purchase"}},
            {"name": "kiosk", "secret_files": ["-"], "streams": ["match"]},
        ],
    },
}
WEBHOOKS = {"shop": [SECRET, NEXT_SECRET], "kiosk": [b"k" * 32]}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk(settings=SETTINGS, webhooks=WEBHOOKS) as made:
        yield made


async def tell(desk: Desk, **event: Any) -> Any:
    """The answer to an event that is taken."""
    status, body, _ = await desk.call("POST", PATH, {**EVENT, **event})
    assert status == 201, body
    return body


async def hook(desk: Desk, event: Any, secret: bytes = SECRET, body: bytes | None = None, **headers: str) -> Answer:
    """Send an event as a signed webhook without an API key."""
    sent = msgspec.json.encode(event) if body is None else body
    signed = signature(secret, msgspec.json.encode(event))
    return await desk.call("POST", PATH, sent, **{**signed, "Authorization": "", **headers})


def verdict(desk: Desk, stream: str = "film", account: str = "account-1", **claims: Any) -> Reason | None:
    """Why the gate refuses a session by token; None if it does not."""
    session = Session("session-1", account, ISSUER, int(time.time()) + 86_400, **claims)
    refused = desk.node.gate.recheck(Visitor.of(session, stream), desk.facts, desk.node.clock())
    return refused.reason if refused else None


def shown(desk: Desk, licence: Any, stream: str = "film") -> Reason | None:
    """Why the gate refuses who shows a sealed licence; None if it does not."""
    found = desk.node.gate.visit(licence["sealed"], stream, desk.facts, desk.node.clock())
    return None if isinstance(found, Visitor) else found.reason


async def test_a_purchase_makes_entitlement_and_licence_at_once(desk: Desk) -> None:
    assert verdict(desk) is Reason.NOT_ENTITLED
    sold = await tell(desk, valid_for_seconds=3600, track="hd", device_id="tv", watermark_id="w1")
    assert verdict(desk) is None
    assert verdict(desk, account="account-2") is verdict(desk, "match") is Reason.NOT_ENTITLED
    licence, entitlement = sold["licence"], sold["entitlement"]
    assert shown(desk, licence) is None
    assert shown(desk, licence, "match") is Reason.SCOPE_STREAM
    found = desk.node.gate.visit(licence["sealed"], "film", desk.facts, desk.node.clock())
    assert isinstance(found, Visitor)
    session = found.session
    assert (session.sid, session.account, session.issuer) == (licence["session_id"], "account-1", ISSUER)
    assert (session.device, session.watermark, session.ceiling) == ("tv", "w1", "hd")
    assert session.expires_at == licence["valid_until"] == entitlement["valid_until"]
    assert entitlement["valid_until"] == pytest.approx(desk.node.clock() + 3600, abs=3)
    assert (entitlement["state"], entitlement["track"], entitlement["streams"]) == ("active", "hd", ["film"])
    assert (sold["complete"], [node["state"] for node in sold["nodes"]]) == (True, ["applied"])
    (playback,) = licence["playback"]
    assert playback["license_url"].startswith(f"/api/v1/drm/license?session={licence['sealed']}/film/cenc.stable.hd")
    assert playback["hls"].startswith(f"/p/{licence['sealed']}/film/cenc.stable.hd")
    assert playback["hls"].endswith("/index.m3u8")
    assert playback["dash"] is None


async def test_streams_that_ask_for_none_are_as_they_were(desk: Desk) -> None:
    assert verdict(desk, "vod") is None


async def test_the_same_event_again_gets_the_same_answer(desk: Desk) -> None:
    first = await tell(desk, valid_for_seconds=60)
    await asyncio.sleep(1.1)
    status, again, headers = await desk.call("POST", PATH, {**EVENT, "valid_for_seconds": 60})
    assert (status, headers["Idempotency-Replayed"]) == (201, "true")
    assert without_reports(again) == without_reports(first)
    status, body, _ = await desk.call("POST", PATH, {**EVENT, "valid_for_seconds": 61})
    assert (status, body["code"]) == (409, "conflict")


async def test_the_same_event_many_times_at_once_is_one(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.call("POST", PATH, {**EVENT, "valid_for_seconds": 60}) for _ in range(20)))
    assert [status for status, _, _ in answers] == [201] * 20
    assert len({msgspec.json.encode(without_reports(body)) for _, body, _ in answers}) == 1
    assert sum("Idempotency-Replayed" not in headers for _, _, headers in answers) == 1
    page = await desk.get(f"{ENTITLEMENTS}?account_id=account-1")
    assert len(page["entitlements"]) == 1


def without_reports(sold: Any) -> Any:
    return {name: value for name, value in sold.items() if name != "nodes"}


async def test_a_refund_ends_token_sessions_and_the_licence_and_cuts_what_flows(desk: Desk) -> None:
    sold = await tell(desk)
    desk.watch("by-token", stream="film")
    desk.watch("elsewhere", stream="vod")
    found = desk.node.gate.visit(sold["licence"]["sealed"], "film", desk.facts, desk.node.clock())
    assert isinstance(found, Visitor)
    desk.open(found)
    refund = await tell(desk, **REFUND)
    assert sorted(desk.cut) == sorted(["by-token", found.session.sid])
    assert verdict(desk) is shown(desk, sold["licence"]) is Reason.NOT_ENTITLED
    assert (refund["entitlement"], refund["licence"]) == (None, None)
    again = await tell(desk)
    assert (again["entitlement"]["state"], again["licence"]) == ("returned", None)


async def test_a_refund_that_comes_first_wins(desk: Desk) -> None:
    await tell(desk, **REFUND)
    sold = await tell(desk)
    assert (sold["entitlement"]["state"], sold["licence"]) == ("returned", None)
    assert verdict(desk) is Reason.NOT_ENTITLED


async def test_a_refund_takes_back_what_it_names_and_nothing_else(desk: Desk) -> None:
    first, second = await tell(desk, track="uhd"), await tell(desk, id="event-9", track="sd")
    status, body, _ = await desk.call("POST", PATH, {**REFUND, "account_id": "account-2"})
    assert (status, "another account's" in body["detail"]) == (409, True)
    assert shown(desk, first["licence"]) is None
    await tell(desk, **{**REFUND, "id": "event-3"})
    assert verdict(desk) is None
    assert shown(desk, first["licence"]) is Reason.NOT_ENTITLED
    assert shown(desk, second["licence"]) is None


async def test_who_may_have_less_is_cut_and_comes_back_for_what_is_left(desk: Desk) -> None:
    await tell(desk, track="uhd")
    await tell(desk, id="event-9", track="sd")
    visitor = desk.watch(stream="film")
    assert verdict(desk) is None
    desk.node.gate.recheck(visitor, desk.facts, desk.node.clock())
    assert visitor.ceiling == "uhd"
    await tell(desk, **REFUND)
    assert desk.cut == ["session-1"]
    assert desk.node.gate.recheck(visitor, desk.facts, desk.node.clock()) is None
    assert visitor.ceiling == "sd"


async def test_a_product_is_several_streams(desk: Desk) -> None:
    sold = await tell(desk, stream_id="", product_id="season")
    assert [one["stream_id"] for one in sold["licence"]["playback"]] == ["match", "final"]
    assert verdict(desk, "match") is verdict(desk, "final") is shown(desk, sold["licence"], "final") is None
    assert verdict(desk) is Reason.NOT_ENTITLED


async def test_what_was_bought_ahead_begins_and_ends_in_time() -> None:
    now = [time.time()]
    async with open_desk(settings=SETTINGS, clock=lambda: now[0]) as desk:
        start = int(now[0]) + 3600
        sold = await tell(desk, valid_from=start, valid_for_seconds=100)
        assert sold["entitlement"]["state"] == "upcoming"
        visitor = desk.watch(stream="film")
        for at, reason in ((start - 1, Reason.NOT_ENTITLED), (start, None), (start + 99, None)):
            now[0] = at
            assert verdict(desk) is shown(desk, sold["licence"]) is reason
        assert desk.node.gate.recheck(visitor, desk.facts, now[0]) is None
        assert desk.cut == []
        now[0] = start + 101
        assert verdict(desk) is Reason.NOT_ENTITLED
        assert shown(desk, sold["licence"]) is Reason.TOKEN_EXPIRED
        await until(lambda: desk.cut)


async def test_renewed_its_session_ends_with_what_was_bought(desk: Desk) -> None:
    sold = await tell(desk, valid_for_seconds=100)
    session = desk.node.gate.session_of(sold["licence"]["sealed"])
    assert session
    desk.node.presence.seen(Visitor.of(session, "film"), desk.node.clock(), "192.0.2.1", 0)
    for body in ({"expires_in": 3600}, {}):
        status, renewed, _ = await desk.call("POST", f"/api/v1/sessions/{session.sid}/renew", body)
        assert (status, renewed["expires_at"]) == (200, sold["entitlement"]["valid_until"])


async def test_without_an_end_it_holds_for_years_but_no_session_does(desk: Desk) -> None:
    sold = await tell(desk)
    assert sold["entitlement"]["valid_until"] == pytest.approx(desk.node.clock() + MAX_AHEAD_S, abs=3)
    assert sold["licence"]["valid_until"] == pytest.approx(desk.node.clock() + 86_400, abs=3)
    late = await tell(desk, id="event-7", valid_from=desk.node.clock() + 3 * 86_400)
    assert (late["entitlement"]["state"], late["licence"]) == ("upcoming", None)


@pytest.mark.parametrize(
    ("event", "pointer"),
    [
        ({"type": "gift"}, "/type"),
        ({"stream_id": ""}, "/stream_id"),
        ({"stream_id": "unknown"}, "/stream_id"),
        ({"product_id": "season"}, "/stream_id"),
        ({"stream_id": "", "product_id": "other"}, "/product_id"),
        ({"issuer": "https://other.example"}, "/issuer"),
        ({"track": "8k"}, "/track"),
        ({"track": "audio"}, "/track"),
        ({"valid_until": 5}, "/valid_until"),
        ({"valid_until": "tomorrow"}, "/valid_until"),
        ({"valid_until": 1e15}, "/valid_until"),
        ({"valid_from": 4e9, "valid_until": 3e9}, "/valid_from"),
        ({"valid_until": "2035-01-01T00:00:00Z", "valid_for_seconds": 5}, "/valid_for_seconds"),
        ({"valid_for_seconds": -1}, "/valid_for_seconds"),
        ({"valid_for_seconds": "60"}, "/valid_for_seconds"),
        ({"account_id": ""}, "/account_id"),
        ({"id": "x" * 129}, "/id"),
        ({"quantity": 2}, ""),
        ({"type": "refund"}, "/purchase_id"),
    ],
)
async def test_what_makes_no_sense_is_told_where_and_changes_nothing(
    desk: Desk, event: dict[str, Any], pointer: str
) -> None:
    status, body, _ = await desk.call("POST", PATH, {**EVENT, **event})
    assert (status, body["code"], body["errors"][0]["pointer"]) == (400, "request_invalid", pointer)
    assert len(desk.node.till.ledger.entitlements) == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 5000, b'{"id": "\\ud800"}'])
async def test_what_is_no_event_is_refused(desk: Desk, body: bytes) -> None:
    status, answer, _ = await desk.call("POST", PATH, body)
    assert (status, answer["code"]) == (400, "request_invalid")


async def test_a_body_has_a_size(desk: Desk) -> None:
    status, answer, _ = await desk.call("POST", PATH, b" " * 70_000)
    assert (status, answer["code"]) == (413, "request_entity_too_large")


CLOUD = {"specversion": "1.0", "id": "e-1", "source": "/orders", "type": "com.example.purchase.completed"}
DATA = {"account_id": "account-1", "stream_id": "film"}


async def test_a_cloud_event_in_either_mode_is_the_same_event(desk: Desk) -> None:
    structured = {**CLOUD, "datacontenttype": "application/json", "traceparent": "00-1", "data": DATA}
    kind = {"Content_Type": "application/cloudevents+json; charset=utf-8"}
    status, one, _ = await desk.call("POST", PATH, msgspec.json.encode(structured), **kind)
    assert status == 201
    headers = {f"ce_{name}": value for name, value in CLOUD.items()}
    kind = {"Content_Type": "application/json"}
    status, two, answered = await desk.call("POST", PATH, msgspec.json.encode(DATA), **kind, **headers)
    assert (status, answered["Idempotency-Replayed"]) == (201, "true")
    assert without_reports(one) == without_reports(two)
    assert (one["event_id"], one["purchase_id"], one["entitlement"]["source"]) == ("e-1", "e-1", "/orders")
    # Of another source the same id is another event.
    status, other, _ = await desk.call(
        "POST", PATH, msgspec.json.encode(DATA), **kind, **{**headers, "ce_source": "/gifts"}
    )
    assert (status, other["id"] == one["id"]) == (201, False)


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("com.example.purchase.completed", "purchase"),
        ("com.example.purchase", "purchase"),
        ("com.example.order", "purchase"),
        ("com.example.Purchase.Refunded", "refund"),
        ("com.example.refund.created", "refund"),
        ("subscription.cancelled", "cancel"),
        ("com.example.purchase.failed", None),
        ("completed", None),
        ("user.created", None),
    ],
)
async def test_a_type_means_what_its_name_or_the_configuration_says(desk: Desk, kind: str, meaning: str | None) -> None:
    event = {**CLOUD, "type": kind, "data": {**DATA, "purchase_id": "p"}}
    status, body, _ = await hook(desk, event, Content_Type="application/cloudevents+json")
    assert (status, body.get("type")) == (201, meaning) if meaning else status == 400


@pytest.mark.parametrize(
    ("event", "status", "pointer"),
    [
        ({"specversion": "0.3"}, 400, "/specversion"),
        ({"data": {**DATA, "track": "8k"}}, 400, "/data/track"),
        ({"data": {**DATA, "stream_id": "other"}}, 400, "/data/stream_id"),
        ({"data_base64": "e30="}, 400, "/data_base64"),
        ({"datacontenttype": "text/xml"}, 415, None),
        ({"source": ""}, 400, "/source"),
    ],
)
async def test_a_cloud_event_that_makes_no_sense(desk: Desk, event: Any, status: int, pointer: str | None) -> None:
    sent = msgspec.json.encode({**CLOUD, "data": DATA, **event})
    got, body, _ = await desk.call("POST", PATH, sent, Content_Type="application/cloudevents+json")
    assert (got, body.get("errors", [{"pointer": None}])[0]["pointer"]) == (status, pointer)


@pytest.mark.parametrize("missing", ["ce_id", "ce_source", "ce_type"])
async def test_a_binary_event_needs_its_headers(desk: Desk, missing: str) -> None:
    headers = {f"ce_{name}": value for name, value in CLOUD.items() if f"ce_{name}" != missing}
    status, body, _ = await desk.call("POST", PATH, DATA, **headers)
    assert (status, body["code"]) == (400, "request_invalid")


async def test_a_body_of_another_kind(desk: Desk) -> None:
    status, body, _ = await desk.call("POST", PATH, b"<a/>", Content_Type="text/xml")
    assert (status, body["code"]) == (415, "media_type")


@pytest.mark.parametrize("secret", [SECRET, NEXT_SECRET], ids=["current", "next"])
async def test_a_signed_webhook_needs_no_api_key(desk: Desk, secret: bytes) -> None:
    status, body, _ = await hook(desk, EVENT, secret)
    assert (status, body["entitlement"]["account_id"]) == (201, "account-1")
    entries = (await desk.get("/api/v1/audit"))["entries"]
    assert [(entry["who"], entry["what"]) for entry in entries] == [("shop:shop", "purchases.post")]


async def test_a_signature_among_others_is_enough(desk: Desk) -> None:
    signed = signature(SECRET, msgspec.json.encode(EVENT))
    several = f"v1,{b64encode(bytes(32)).decode()} v1a,x {signed['webhook_signature']}"
    status, _, _ = await hook(desk, EVENT, webhook_signature=several)
    assert status == 201


async def test_a_webhook_played_back_in_time_changes_nothing(desk: Desk) -> None:
    _, first, _ = await hook(desk, EVENT)
    status, again, headers = await hook(desk, EVENT)
    assert (status, headers["Idempotency-Replayed"]) == (201, "true")
    assert without_reports(again) == without_reports(first)


NOW = int(time.time())


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": b"x" * 32},
        {"body": msgspec.json.encode({**EVENT, "account_id": "account-2"})},
        {"webhook_id": "another"},
        {"webhook_id": ""},
        {"webhook_timestamp": str(NOW - 1)},
        {"webhook_timestamp": "now"},
        {"webhook_timestamp": "9" * 16},
        {"webhook_timestamp": "²"},
        {"webhook_signature": ""},
        {"webhook_signature": "v1,"},
        {"webhook_signature": "v1,!!"},
        {"webhook_signature": "v2," + b64encode(bytes(32)).decode()},
        {"Authorization": "Bearer " + "x" * 40},
    ],
    ids=str,
)
async def test_what_no_source_has_signed_is_refused(desk: Desk, wrong: dict[str, Any]) -> None:
    status, body, _ = await hook(desk, EVENT, **wrong)
    assert (status, body["code"]) == (401, "api_key" if "Authorization" in wrong else "webhook_signature")
    assert len(desk.node.till.ledger.entitlements) == 0


@pytest.mark.parametrize(("ahead_s", "status"), [(-310, 401), (-290, 201), (290, 201), (310, 401)])
async def test_a_signature_holds_five_minutes_either_way(desk: Desk, ahead_s: int, status: int) -> None:
    body = msgspec.json.encode(EVENT)
    signed = signature(SECRET, body, int(time.time()) + ahead_s)
    got, _, _ = await desk.call("POST", PATH, body, **signed, Authorization="")
    assert got == status


async def test_a_key_is_for_a_role() -> None:
    digest = sha256(b"v" * 40).hexdigest()
    keys = [{"name": "vendor", "role": "watermark-vendor", "sha256": digest}]
    control = {"api_key_file": "-", "probe": "0s", "keys": keys}
    async with open_desk(settings={**SETTINGS, "control": control}) as desk:
        for method, path in (("POST", PATH), ("GET", f"{ENTITLEMENTS}?account_id=a"), ("DELETE", f"{ENTITLEMENTS}/a")):
            status, body, _ = await desk.call(method, path, EVENT, Authorization="Bearer " + "v" * 40)
            assert (status, body["code"]) == (403, "role")


async def test_a_reload_replaces_secrets_and_what_streams_ask_for(desk: Desk) -> None:
    node = desk.node
    watching, flowing = desk.watch("watching", stream="vod"), desk.watch("by-right", stream="film")
    await tell(desk)
    assert node.gate.recheck(watching, desk.facts, node.clock()) is None
    streams = dict(node.config.streams)
    streams["vod"] = structs.replace(streams["vod"], entitlement="required")
    secrets = Secrets(
        KeyRing([RootKey(1, bytes(32))]),
        {ISSUER: [TokenKey.symmetric("k1", bytes(range(32)))]},
        API_KEY.encode(),
        purchases={**WEBHOOKS, "shop": [b"r" * 32]},
    )
    await node.reload(structs.replace(node.config, streams=streams), secrets)
    assert desk.cut == ["watching"]
    assert verdict(desk, "vod") is Reason.NOT_ENTITLED
    assert node.gate.recheck(flowing, desk.facts, node.clock()) is None
    assert (await hook(desk, {**EVENT, "id": "new"}))[0] == 401
    assert (await hook(desk, {**EVENT, "id": "new"}, b"r" * 32))[0] == 201


async def test_neither_key_nor_signature(desk: Desk) -> None:
    async with desk.client.post(desk.url + PATH, json=EVENT) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "webhook_signature")


async def test_a_source_sells_its_own_streams_and_takes_back_its_own_purchases(desk: Desk) -> None:
    status, body, _ = await hook(desk, EVENT, b"k" * 32)
    assert (status, body["errors"][0]["pointer"]) == (400, "/stream_id")
    await tell(desk)
    await hook(desk, REFUND)
    assert verdict(desk) is None


async def test_entitlements_are_listed_in_pages_and_shown(desk: Desk) -> None:
    for number in range(5):
        await tell(desk, id=f"event-{number}")
    await tell(desk, **{**REFUND, "id": "r"})
    await tell(desk, id="other", account_id="account-2")
    first = await desk.get(f"{ENTITLEMENTS}?account_id=account-1&limit=3")
    second = await desk.get(f"{ENTITLEMENTS}?account_id=account-1&limit=3&cursor={first['next']}")
    listed = first["entitlements"] + second["entitlements"]
    assert (len(first["entitlements"]), second["next"]) == (3, None)
    assert {one["event_id"]: one["state"] for one in listed} == {
        f"event-{number}": "returned" if number == 1 else "active" for number in range(5)
    }
    assert await desk.get(f"{ENTITLEMENTS}/{listed[0]['id']}") == listed[0]
    assert (await desk.get(f"{ENTITLEMENTS}?account_id=nobody"))["entitlements"] == []
    for path, status in (("", 400), ("?account_id=a&cursor=!", 400), ("/unknown", 404), (f"/{'x' * 200}", 404)):
        got, _, _ = await desk.call("GET", ENTITLEMENTS + path)
        assert got == status, path


async def test_an_operator_takes_an_entitlement_back(desk: Desk) -> None:
    sold = await tell(desk)
    desk.watch(stream="film")
    path = f"{ENTITLEMENTS}/{sold['id']}"
    for _ in range(2):
        status, body, _ = await desk.call("DELETE", path)
        assert (status, body["entitlement"]["state"], body["complete"]) == (200, "returned", True)
    assert desk.cut == ["session-1"]
    assert verdict(desk) is shown(desk, sold["licence"]) is Reason.NOT_ENTITLED
    status, _, _ = await desk.call("DELETE", f"{ENTITLEMENTS}/unknown")
    assert status == 404


@pytest.mark.parametrize(
    "target",
    [
        {"type": "device", "value": "tv"},
        {"type": "watermark", "value": "w1"},
        {"type": "account", "value": "account-1"},
    ],
    ids=lambda target: target["type"],
)
async def test_what_is_revoked_stops_the_licence_too(desk: Desk, target: dict[str, str]) -> None:
    sold = await tell(desk, device_id="tv", watermark_id="w1")
    await desk.revoke(target)
    assert shown(desk, sold["licence"]) is Reason.REVOKED
    other = await tell(desk, id="event-5", account_id="account-5")
    await desk.revoke({"type": "session", "value": other["licence"]["session_id"]})
    assert shown(desk, other["licence"]) is Reason.REVOKED
