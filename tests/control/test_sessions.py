"""``/api/v1/sessions``: issued, listed, renewed, ended."""

import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import structs

from relay.gate.gate import Visitor
from relay.model import LimitMode, Session
from tests.control.desk import ISSUER, Desk, open_desk

PATH = "/api/v1/sessions"
BODY = {"account_id": "account-1", "stream_ids": ["vod"]}


async def issue(desk: Desk, **members: Any) -> Any:
    status, body, headers = await desk.call("POST", PATH, {**BODY, **members})
    assert status == 201, body
    assert headers["Location"] == f"{PATH}/{body['session_id']}"
    return body


def session_in(desk: Desk, url: str) -> Session:
    found = re.search(r"/p/([^/]+)/", url)
    assert found
    session = desk.node.gate.session_of(found[1])
    assert session
    return session


def come(desk: Desk, sid: str, account: str = "account-1", **fields: Any) -> Visitor:
    """A session that asks for something now."""
    session = Session(sid, account, ISSUER, int(time.time()) + 600, **fields)
    visitor = Visitor.of(session, "vod")
    desk.node.presence.seen(visitor, desk.node.clock(), "192.0.2.77")
    return visitor


async def test_a_session_says_what_was_asked_for(desk: Desk) -> None:
    made = await issue(
        desk,
        device_id="tv",
        watermark_id="w-1",
        max_track="hd",
        version=7,
        expires_in=120,
        limit={"streams": 2, "mode": "ask"},
    )
    (links,) = made["streams"]
    session = session_in(desk, links["hls_url"])
    assert (session.sid, session.account, session.issuer) == (made["session_id"], "account-1", ISSUER)
    assert (session.device, session.watermark, session.ceiling, session.version) == ("tv", "w-1", "hd", 7)
    assert session.limit is not None
    assert (session.limit.most, session.limit.mode) == (2, LimitMode.ASK)
    assert session.streams == frozenset({"vod"})
    assert 118 <= session.expires_at - time.time() <= 120
    assert links["max_track"] == "hd"
    assert "dash_url" not in links
    assert links["hls_url"].endswith("/index.m3u8")
    assert links["events_url"].endswith("/events")
    # Nothing says how players reach the edge, so the URLs are relative, and the answer says so.
    assert not made["absolute"]
    assert links["license_url"].startswith("/api/v1/drm/license?session=" + links["hls_url"].split("/")[2])


async def test_ids_are_random_unless_given(desk: Desk) -> None:
    one, two = await issue(desk), await issue(desk)
    assert one["session_id"] != two["session_id"]
    assert len(one["session_id"]) >= 22
    assert (await issue(desk, session_id="mine"))["session_id"] == "mine"


async def test_the_same_call_is_one_session(desk: Desk) -> None:
    answers = [await desk.call("POST", PATH, BODY, Idempotency_Key="k") for _ in range(2)]
    assert answers[0][1] == answers[1][1]
    assert answers[1][2]["Idempotency-Replayed"] == "true"
    # Repeated, too, it is nothing for whoever was revoked since.
    await desk.revoke({"type": "account", "value": "account-1"})
    status, problem, _ = await desk.call("POST", PATH, BODY, Idempotency_Key="k")
    assert (status, problem["code"]) == (403, "revoked")


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"stream_ids": ["nothing"]}, "/stream_ids/0"),
        ({"stream_ids": ["vod", "vod"]}, "/stream_ids/1"),
        ({"stream_ids": []}, "/stream_ids"),
        ({"issuer": "https://other.example"}, "/issuer"),
        ({"expires_in": 10, "expires_at": 2_000_000_000}, "/expires_in"),
        ({"expires_in": 86_402}, "/expires_in"),
        ({"expires_in": 0}, "/expires_in"),
        ({"expires_at": 1}, "/expires_at"),
        ({"expires_at": 2**52}, "/expires_at"),
        ({"session_id": "a/b"}, "/session_id"),
        ({"session_id": "x" * 65}, "/session_id"),
        ({"account_id": ""}, "/account_id"),
        ({"limit": {"streams": 0}}, "/limit/streams"),
        ({"max_track": "8k"}, "/max_track"),
        ({"admin": True}, ""),
    ],
)
async def test_what_makes_no_sense_is_refused(desk: Desk, members: dict[str, Any], pointer: str) -> None:
    status, problem, _ = await desk.call("POST", PATH, {**BODY, **members})
    assert (status, problem["errors"][0]["pointer"]) == (400, pointer)


@pytest.mark.parametrize(
    "target",
    [
        {"type": "account", "value": "account-1"},
        {"type": "account", "value": "account-1", "issuer": ISSUER},
        {"type": "device", "value": "tv"},
        {"type": "session", "value": "mine"},
        {"type": "stream", "value": "vod", "viewer": "account-1"},
        {"type": "session-version", "value": "account-1", "max_version": 0},
        {"type": "watermark", "value": "w-1"},
    ],
)
async def test_the_revoked_get_no_session(desk: Desk, target: dict[str, Any]) -> None:
    body = {**BODY, "device_id": "tv", "session_id": "mine", "watermark_id": "w-1"}
    await desk.revoke(target)
    status, problem, _ = await desk.call("POST", PATH, body)
    assert (status, problem["code"], problem["number"]) == (403, "revoked", 1101)
    await desk.revoke({**target, "action": "restore"})
    assert (await desk.call("POST", PATH, body))[0] == 201


async def test_live_sessions_are_listed_in_pages(desk: Desk) -> None:
    for number in range(5):
        come(desk, f"s{number}", f"account-{number % 2}", device=f"d{number}", watermark="w")
    page = await desk.get(f"{PATH}?limit=3")
    rest = await desk.get(f"{PATH}?limit=3&cursor={page['next']}")
    assert [one["session_id"] for one in (*page["sessions"], *rest["sessions"])] == [f"s{n}" for n in range(5)]
    assert rest["next"] is None
    first = page["sessions"][0]
    assert (first["account_id"], first["stream_id"], first["device_id"]) == ("account-0", "vod", "d0")
    # Where a viewer is, is told as far as operators need it.
    assert (first["network"], first["node"], first["watermark_id"]) == ("192.0.2.0/24", "node-a", "w")
    for query, expected in (
        ("account_id=account-1", ["s1", "s3"]),
        ("device_id=d4", ["s4"]),
        ("stream_id=vod&account_id=account-0&device_id=d1", []),
        ("stream_id=other", []),
    ):
        assert [one["session_id"] for one in (await desk.get(f"{PATH}?{query}"))["sessions"]] == expected
    assert (await desk.get(f"{PATH}/s3"))["account_id"] == "account-1"
    assert (await desk.call("GET", f"{PATH}/nobody"))[0] == 404
    for query in ("cursor=AAAA", "limit=0", "order=x"):
        assert (await desk.call("GET", f"{PATH}?{query}"))[0] == 400


async def test_a_session_goes_on_for_longer(desk: Desk) -> None:
    made = await issue(desk, session_id="mine", expires_in=60)
    status, renewed, _ = await desk.call("POST", f"{PATH}/mine/renew", {"expires_in": 3600})
    assert status == 200
    assert renewed["expires_at"] - made["expires_at"] in (3540, 3541)
    session = session_in(desk, renewed["streams"][0]["hls_url"])
    assert (session.sid, session.account) == ("mine", "account-1")
    # It never ends sooner than it would have, and never later than any session may.
    _, again, _ = await desk.call("POST", f"{PATH}/mine/renew", {"expires_in": 1})
    assert again["expires_at"] == renewed["expires_at"]
    status, problem, _ = await desk.call("POST", f"{PATH}/mine/renew", {"expires_in": 90_000})
    assert (status, problem["errors"][0]["pointer"]) == (400, "/expires_in")
    _, longest, _ = await desk.call("POST", f"{PATH}/mine/renew")
    assert longest["expires_at"] <= time.time() + 86_400


async def test_one_that_came_with_a_token_keeps_what_it_said(desk: Desk) -> None:
    come(desk, "live", device="tv", token_id="jti-1", key_id="k1", issued_at=5)
    status, renewed, _ = await desk.call("POST", f"{PATH}/live/renew", {"expires_in": 3000})
    assert status == 200
    session = session_in(desk, renewed["streams"][0]["hls_url"])
    assert (session.device, session.token_id, session.key_id, session.issued_at) == ("tv", "jti-1", "k1", 5)
    assert (await desk.call("POST", f"{PATH}/nobody/renew"))[:1] == (404,)


async def test_the_revoked_do_not_go_on(desk: Desk) -> None:
    await issue(desk, session_id="mine")
    come(desk, "live", token_id="jti-1")
    await desk.revoke({"type": "account", "value": "account-1"})
    for sid in ("mine", "live"):
        status, problem, _ = await desk.call("POST", f"{PATH}/{sid}/renew", {"expires_in": 60})
        assert (status, problem["code"]) == (403, "revoked")


async def test_a_session_is_ended(desk: Desk) -> None:
    visitor = desk.watch("session-1")
    status, done, _ = await desk.call("DELETE", f"{PATH}/session-1?detail=asked+for")
    assert (status, done["sessions_cut"], desk.cut) == (200, 1, ["session-1"])
    assert desk.refuses(visitor)
    record = await desk.get(f"/api/v1/revocations/{done['id']}")
    assert (record["reason"], record["detail"]) == ("ended", "asked for")
    status, problem, _ = await desk.call("POST", f"{PATH}/session-1/renew")
    assert (status, problem["code"]) == (403, "revoked")


@pytest.mark.parametrize("sid", ["%20", "a%2Fb", "x" * 129, "%00", "%F0%9F%98%80", "a%0Ab"])
async def test_no_id_of_a_session(desk: Desk, sid: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/renew")):
        assert (await desk.call(method, f"{PATH}/{sid}{path}"))[0] in (400, 404)
    assert (await desk.call("GET", f"/api/v1/drm/license/{sid}/status"))[0] in (400, 404)


@pytest.fixture
async def frozen() -> AsyncIterator[tuple[Desk, list[float]]]:
    now = [time.time()]
    async with open_desk(clock=lambda: now[0]) as made:
        yield made, now


async def test_who_is_gone_is_not_listed(frozen: tuple[Desk, list[float]]) -> None:
    desk, now = frozen
    come(desk, "s")
    assert len((await desk.get(PATH))["sessions"]) == 1
    now[0] += 61
    assert (await desk.get(PATH))["sessions"] == []


def configure(desk: Desk, **changes: Any) -> None:
    desk.node.policies.config = structs.replace(desk.node.config, **changes)


async def test_urls_are_absolute_where_it_is_known_how_players_reach_them(desk: Desk) -> None:
    configure(desk, edge=structs.replace(desk.node.config.edge, public_url="https://watch.example.com"))
    made = await issue(desk)
    assert made["absolute"]
    urls = [value for name, value in made["streams"][0].items() if name.endswith("_url")]
    assert len(urls) == 4
    assert all(url.startswith("https://watch.example.com/") for url in urls)


async def test_an_account_is_one_issuers(desk: Desk) -> None:
    tokens = desk.node.config.tokens
    (first,) = tokens.issuers
    other = structs.replace(first, iss="https://other.example", streams=("news",))
    configure(desk, tokens=structs.replace(tokens, issuers=(first, other)))
    status, problem, _ = await desk.call("POST", PATH, BODY)
    assert (status, problem["errors"][0]["pointer"]) == (400, "/issuer")
    assert (await issue(desk, issuer=ISSUER))["issuer"] == ISSUER
    # Its viewers may have some streams only, however their sessions begin.
    status, problem, _ = await desk.call("POST", PATH, {**BODY, "issuer": other.iss})
    assert (status, problem["errors"][0]["pointer"]) == (400, "/stream_ids/0")


async def test_while_revocations_may_be_missing_no_session_begins(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await issue(desk, session_id="mine")
    monkeypatch.setattr(desk.node.gate, "_age", lambda _: 10.0)
    status, problem, _ = await desk.call("POST", PATH, BODY)
    assert (status, problem["code"]) == (503, "state_stale")
    # Those that have begun go on, as the stream's policy has it.
    assert (await desk.call("POST", f"{PATH}/mine/renew"))[0] == 200
