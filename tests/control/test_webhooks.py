"""Webhooks, against a receiver that fails, hangs, redirects and is slow."""

import asyncio
import hmac
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, web

from keys.material import RootKey
from keys.ring import KeyRing
from relay.app import listening
from relay.config import parse_config
from relay.gate.dialects.keys import TokenKey
from relay.model import Session
from relay.secrets import Secrets
from relay.sessions.records import Refused
from relay.verdict import Reason
from relay.webhooks import hook
from relay.webhooks.hook import Endpoint, pause_after
from relay.webhooks.settings import EventType
from tests.control.desk import API_KEY, ISSUER, Desk, open_desk
from tests.valkey import valkey_server

SECRETS = (bytes(range(24)), bytes(range(32)))
PATH = "/api/v1/webhooks"
Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """What came, and how it is answered: by each of ``answers`` in turn, and then with success."""

    url: str = ""
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int | Behaviour] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.came.append((dict(request.headers), body))
        answer = self.answers.pop(0) if self.answers else 204
        if not isinstance(answer, int):
            return await answer(request)
        if answer < 300:
            self.taken.append(json.loads(body))
        return web.Response(status=answer, headers={"Location": f"{self.url}/elsewhere"} if answer < 400 else {})

    @property
    def types(self) -> list[str]:
        """Of what was taken, without what all of them begin with."""
        return [event["type"].removeprefix("com.segmentgate.") for event in self.taken]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.webhooks.hook.FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr("relay.webhooks.hook.LONGEST_PAUSE_S", 0.1)


def endpoint(receiver: Receiver, **members: Any) -> Endpoint:
    return Endpoint(**{"name": "crm", "url": f"{receiver.url}/hook?k=secret-path", "secrets": SECRETS, **members})


@pytest.fixture
async def desk(receiver: Receiver) -> AsyncIterator[Desk]:
    async with open_desk(endpoints=[endpoint(receiver)]) as made:
        await until(lambda: begun(made))
        yield made


async def begun(desk: Desk) -> bool:
    return bool((await desk.get(PATH))["webhooks"])


async def until(met: Callable[[], Any], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        found = met()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def session(number: int = 1) -> dict[str, Any]:
    return {"type": "session", "value": f"session-{number}", "reason": "leak"}


async def state_of(desk: Desk) -> Any:
    (state,) = (await desk.get(PATH))["webhooks"]
    return state


async def test_a_revocation_is_told_and_signed(desk: Desk, receiver: Receiver) -> None:
    done = await desk.revoke(session())
    await until(lambda: receiver.taken)
    headers, body = receiver.came[0]
    event = json.loads(body)
    assert (event["specversion"], event["id"]) == ("1.0", done["id"])
    assert (event["type"], event["source"]) == ("com.segmentgate.revocation.created", "/nodes/node-a")
    assert event["data"] == await desk.get(f"/api/v1/revocations/{done['id']}")
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    # As the specification of Standard Webhooks says, and not as our own code does it.
    assert headers["webhook-id"] == done["id"]
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 5
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = [b64encode(hmac.new(secret, signed, sha256).digest()).decode() for secret in SECRETS]
    assert headers["webhook-signature"].split() == [f"v1,{signature}" for signature in expected]


async def test_what_is_told_besides(desk: Desk, receiver: Receiver) -> None:
    await desk.revoke(session())
    await desk.revoke({**session(), "action": "restore"})
    await desk.call("DELETE", "/api/v1/sessions/session-2")
    await desk.node.registry.put([desk.node.registry.draft("purchase", "p-1", b"sealed")])
    await until(lambda: len(receiver.taken) == 4)
    assert receiver.types == ["revocation.created", "revocation.restored", "session.ended", "purchase.recorded"]


async def test_events_come_in_order_whatever_fails(desk: Desk, receiver: Receiver) -> None:
    receiver.answers = [500, 200, 429, 503, 200, 404]
    for number in range(10):
        await desk.revoke(session(number))
    await until(lambda: len(receiver.taken) == 10)
    assert [event["data"]["target"]["value"] for event in receiver.taken] == [f"session-{n}" for n in range(10)]
    # A repetition has the id of the first, by which a receiver knows it.
    names = [headers["webhook-id"] for headers, _ in receiver.came]
    assert len(names) == 14
    assert len(set(names)) == 10
    state = await state_of(desk)
    assert (state["state"], state["failures"], state["behind"], state["last_error"]) == ("active", 0, 0, None)
    assert state["last_success"] >= state["last_failure"]


async def test_redirects_are_not_followed(desk: Desk, receiver: Receiver) -> None:
    receiver.answers = [302, 307]
    await desk.revoke(session())
    await until(lambda: receiver.taken)
    assert len(receiver.came) == 3


async def test_one_that_hangs_or_breaks_off_is_asked_again(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.webhooks.hook.TIMEOUT", ClientTimeout(total=0.2))
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async def break_off(request: web.Request) -> web.Response:
        assert request.transport
        request.transport.abort()
        return web.Response()

    async def drip(request: web.Request) -> web.StreamResponse:
        # Its answer has begun, and that is enough: nobody waits for the end of it.
        response = web.StreamResponse()
        await response.prepare(request)
        receiver.taken.append(json.loads(receiver.came[-1][1]))
        await released.wait()
        return response

    receiver.answers = [hang, break_off, drip]
    await desk.revoke(session(1))
    await until(lambda: len(receiver.taken) == 1)
    await desk.revoke(session(2))
    await until(lambda: len(receiver.taken) == 2)
    assert [event["data"]["target"]["value"] for event in receiver.taken] == ["session-1", "session-2"]
    assert len(receiver.came) == 4
    released.set()


async def test_a_slow_receiver_holds_up_nobody_else(receiver: Receiver) -> None:
    released = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    receiver.answers = [wait]
    slow = endpoint(receiver, name="slow", events=frozenset({EventType.REVOCATION_CREATED}))
    async with open_desk(endpoints=[slow]) as one:
        await until(lambda: begun(one))
        await one.revoke(session())
        await until(lambda: receiver.came)
        # Neither calls nor further revocations wait for it.
        visitor = one.watch("session-2")
        await one.revoke(session(2))
        assert one.refuses(visitor)
        state = await state_of(one)
        assert state["behind"] >= 2
        assert state["lag_s"] > 0
        released.set()
        await until(lambda: len(receiver.taken) == 1)


async def test_it_hears_what_it_asked_for(receiver: Receiver) -> None:
    chosen = endpoint(receiver, events=frozenset({EventType.REVOCATION_RESTORED}))
    narrow = endpoint(receiver, name="narrow", streams=frozenset({"other"}))
    async with open_desk(endpoints=[chosen, narrow]) as desk:
        await until(lambda: begun(desk))
        await desk.revoke({"type": "stream", "value": "vod"})
        await desk.revoke({"type": "stream", "value": "vod", "action": "restore"})
        await desk.revoke(session())
        await until(lambda: len(receiver.taken) == 2)
        await asyncio.sleep(0.2)
        # The restore of a stream for the first; what concerns no stream in particular for the second.
        assert sorted(receiver.types) == ["revocation.created", "revocation.restored"]


async def test_a_restart_goes_on_where_it_left_off(receiver: Receiver, tmp_path: Path) -> None:
    here = [endpoint(receiver)]
    async with open_desk(tmp_path, endpoints=here) as desk:
        await until(lambda: begun(desk))
        await desk.revoke(session(1), Idempotency_Key="1")
        await until(lambda: len(receiver.taken) == 1)
        receiver.answers = [503] * 1000
        await desk.revoke(session(2), Idempotency_Key="2")
        await until(lambda: len(receiver.came) > 3)
        await desk.revoke(session(3), Idempotency_Key="3")
    receiver.answers = []
    # Without webhooks for a while: what happens then is told later.
    async with open_desk(tmp_path) as desk:
        await desk.revoke(session(4), Idempotency_Key="4")
    async with open_desk(tmp_path, endpoints=here) as desk:
        await until(lambda: begun(desk))
        await desk.revoke(session(5), Idempotency_Key="5")
        await until(lambda: len(receiver.taken) >= 5)
    values = [event["data"]["target"]["value"] for event in receiver.taken]
    assert values == [f"session-{number}" for number in (1, 2, 3, 4, 5)]


async def test_one_that_is_new_hears_of_what_happens_from_now_on(receiver: Receiver, tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.revoke(session(1), Idempotency_Key="1")
    async with open_desk(tmp_path, endpoints=[endpoint(receiver)]) as desk:
        await until(lambda: begun(desk))
        await desk.revoke(session(2), Idempotency_Key="2")
        await until(lambda: receiver.taken)
    assert [event["data"]["target"]["value"] for event in receiver.taken] == ["session-2"]


@pytest.mark.parametrize("gone", [410, 500])
async def test_one_that_takes_nothing_is_disabled_until_a_test_succeeds(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, gone: int
) -> None:
    monkeypatch.setattr("relay.webhooks.hook.PATIENCE_S", 0.1)
    receiver.answers = [gone] * 1000
    await desk.revoke(session())

    async def disabled() -> bool:
        return bool((await state_of(desk))["state"] == "disabled")

    await until(disabled)
    calls = len(receiver.came)
    await asyncio.sleep(0.3)
    assert len(receiver.came) == calls
    assert (await state_of(desk))["last_error"] == f"status {gone}"
    # A test that fails leaves it as it is, one that succeeds sends what waits.
    _, tested, _ = await desk.call("POST", f"{PATH}/crm/test")
    assert (tested["delivered"], tested["status"], await disabled()) == (False, gone, True)
    receiver.answers = []
    _, tested, _ = await desk.call("POST", f"{PATH}/crm/test")
    assert (tested["delivered"], tested["status"], tested["error"]) == (True, 204, None)
    await until(lambda: len(receiver.taken) == 2)
    assert receiver.types == ["webhook.test", "revocation.created"]
    assert (await state_of(desk))["state"] == "active"


async def test_nobody_is_there() -> None:
    nowhere = Endpoint("crm", "http://127.0.0.1:9/x", SECRETS)
    async with open_desk(endpoints=[nowhere]) as desk:
        await until(lambda: begun(desk))
        _, tested, _ = await desk.call("POST", f"{PATH}/crm/test")
        assert (tested["delivered"], tested["status"], tested["error"]) == (False, None, "no connection")
        assert (await state_of(desk))["state"] == "failing"
        assert (await desk.call("POST", f"{PATH}/other/test"))[0] == 404


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://localhost:{port}/", "address not allowed"),
        ("https://0x7f000001:{port}/", "address not allowed"),
        # No name, to the HTTP client.
        ("https://127.1:{port}/", "InvalidUrlClientError"),
    ],
)
async def test_names_that_lead_inside_are_not_called(receiver: Receiver, url: str, why: str) -> None:
    inside = endpoint(receiver, url=url.format(port=receiver.url.rpartition(":")[2]))
    async with open_desk(endpoints=[inside]) as desk:
        await until(lambda: begun(desk))
        _, tested, _ = await desk.call("POST", f"{PATH}/crm/test")
        assert (tested["delivered"], tested["error"]) == (False, why)
    assert receiver.came == []


async def test_plain_http_stays_on_this_machine(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    async def resolve(*_: Any) -> list[dict[str, Any]]:
        return [{"hostname": "localhost", "host": "10.0.0.1", "port": 80, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", resolve)
    async with open_desk(endpoints=[endpoint(receiver, url="http://localhost/", private=True)]) as desk:
        await until(lambda: begun(desk))
        _, tested, _ = await desk.call("POST", f"{PATH}/crm/test")
        assert tested["error"] == "address not allowed"


async def test_a_revoked_viewer_who_asks_is_told_of_once(desk: Desk, receiver: Receiver) -> None:
    def refuse(sid: str, reason: Reason = Reason.REVOKED) -> None:
        whose = Session(sid, "account-1", ISSUER, int(time.time()) + 60)
        desk.node.records.note(Refused(session=whose, at=desk.node.clock(), node="node-a", stream="vod", reason=reason))

    for _ in range(50):
        refuse("session-1")
    refuse("session-2", Reason.SECURITY_LEVEL)
    refuse("session-3")
    await until(lambda: len(receiver.taken) == 2)
    assert [event["data"]["session_id"] for event in receiver.taken] == ["session-1", "session-3"]
    assert set(receiver.types) == {"licence.denied"}
    assert len({event["id"] for event in receiver.taken}) == 2


async def test_neither_path_nor_secret_is_shown(
    desk: Desk, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.answers = [500]
    await desk.revoke(session())
    await until(lambda: receiver.taken)
    shown = json.dumps(await desk.get(PATH)) + capsys.readouterr().out
    assert "webhook_failed" in shown
    assert "secret-path" not in shown
    assert SECRETS[0].hex() not in shown
    assert "secrets" not in repr(endpoint(receiver))


def test_pauses_grow_and_end() -> None:
    assert [0.5 * hook.FIRST_PAUSE_S <= pause_after(0) <= hook.FIRST_PAUSE_S for _ in range(20)] == [True] * 20
    assert pause_after(3) > hook.FIRST_PAUSE_S
    assert pause_after(10_000) <= hook.LONGEST_PAUSE_S


async def test_a_whole_relay_tells_its_webhooks(receiver: Receiver) -> None:
    config = parse_config(
        {
            "edge": {"listen": "127.0.0.1:0"},
            "control": {"listen": "127.0.0.1:0", "api_key_file": "-", "probe": "0s"},
            "keys": {"roots": [{"generation": 1, "file": "-"}]},
            "tokens": {
                "audience": "edge",
                "issuers": [{"iss": ISSUER, "keys": [{"kid": "k1", "alg": "HS256", "file": "-"}]}],
            },
            "streams": {"vod": {"origin": "http://127.0.0.1:9/vod/", "hls": "a.m3u8"}},
            "webhooks": [{"name": "crm", "url": f"{receiver.url}/", "secret_files": ["-"], "streams": ["vod"]}],
        },
        "test",
    )
    issuers = {ISSUER: [TokenKey.symmetric("k1", bytes(range(32)))]}
    secrets = Secrets(KeyRing([RootKey(1, bytes(32))]), issuers, API_KEY.encode(), webhooks={"crm": SECRETS})
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with listening(config, secrets, Path()) as where, ClientSession(headers=headers) as client:
        control, edge = (f"http://127.0.0.1:{port}" for _, port in (where.control, where.edge))

        async def begun() -> bool:
            async with client.get(f"{control}{PATH}") as answer:
                return bool((await answer.json())["webhooks"])

        await until(begun)
        body = {"account_id": "account-1", "stream_ids": ["vod"]}
        async with client.post(f"{control}/api/v1/sessions", json=body) as answer:
            made = await answer.json()
        order = {"account_id": "account-1"}
        async with client.post(f"{control}/api/v1/drm/revoke", json=order) as answer:
            assert answer.status == 200
        async with client.post(edge + made["streams"][0]["license_url"], data=b"{}") as answer:
            assert answer.status == 403
        await until(lambda: len(receiver.taken) == 2)
    assert receiver.types == ["revocation.created", "licence.denied"]
    assert receiver.taken[1]["data"]["session_id"] == made["session_id"]


async def test_of_two_nodes_the_one_that_took_an_order_tells_of_it(receiver: Receiver) -> None:
    with valkey_server() as server:
        async with (
            open_desk(log=server.url, endpoints=[endpoint(receiver)]) as one,
            open_desk(name="node-b", log=server.url, endpoints=[endpoint(receiver)]) as two,
        ):
            for desk in (one, two):
                await until(partial(met_the_other, desk))
                await until(partial(begun, desk))
            await one.revoke(session(1), query="?wait=all&timeout_ms=5000")
            await two.revoke(session(2), query="?wait=all&timeout_ms=5000")
            for desk in (one, two):
                await until(partial(caught_up, desk))
    told = sorted((event["source"], event["data"]["target"]["value"]) for event in receiver.taken)
    assert told == [("/nodes/node-a", "session-1"), ("/nodes/node-b", "session-2")]


def met_the_other(desk: Desk) -> bool:
    return desk.node.replica.ready and len(desk.node.replica.members()) == 1


async def caught_up(desk: Desk) -> bool:
    return desk.node.journal.position >= 2 and (await state_of(desk))["behind"] == 0
