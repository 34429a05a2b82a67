"""The Shared Signals receiver: tokens pushed and polled for, verified, obeyed once."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relay.control import ssf_poll
from relay.control.notes import Notes
from relay.control.ssf import Receiver
from relay.control.ssf_events import CAEP, RISC
from relay.control.ssf_poll import Poller, PollError
from relay.control.transmitters import Transmitter
from relay.errors import JournalError
from relay.gate.dialects.jws import seal
from relay.gate.dialects.keys import KeySet, Signer
from tests.control.desk import API_KEY, ISSUER, Desk, open_desk

IDP = "https://idp.example"
PUSH_TOKEN = "p" * 40
VERIFICATION = "https://schemas.openid.net/secevent/ssf/event-type/verification"
SIGNER = Signer.load(
    "k1", "EdDSA", Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
)
OTHER = Signer.load(
    "k1", "EdDSA", Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
)
USER = {"format": "iss_sub", "iss": IDP, "sub": "account-1"}
SESSION = {"format": "opaque", "id": "session-1"}


def transmitter(poll_url: str = "", iss: str = IDP, push_token: str = PUSH_TOKEN) -> Transmitter:
    return Transmitter(
        iss=iss,
        audience="segmentgate",
        keys=KeySet([SIGNER.public()]),
        account_issuer=ISSUER,
        push_token=push_token,
        poll_url=poll_url,
        poll_token="polling",
        poll_every_s=0.1,
    )


def event_token(
    kind: str = CAEP + "session-revoked",
    subject: Any = SESSION,
    event: Any = None,
    signer: Signer = SIGNER,
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    said = {
        "iss": IDP,
        "aud": "segmentgate",
        "iat": int(time.time()),
        "jti": "event-1",
        "sub_id": subject,
        "events": {kind: event or {}},
        **claims,
    }
    return seal({"typ": "secevent+jwt", "kid": signer.kid, **(header or {})}, said, signer)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    second = transmitter(iss="https://other.example", push_token="q" * 40)
    silent = transmitter(iss="https://silent.example", push_token="")
    async with open_desk(transmitters=[transmitter(), second, silent]) as made:
        yield made


async def push(desk: Desk, token: str, key: str = PUSH_TOKEN, kind: str = "application/secevent+jwt") -> Any:
    headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {key}"} if key else {})
    async with desk.client.post(f"{desk.url}/ssf/events", data=token.encode(), headers=headers) as answer:
        is_json = "json" in answer.headers.get("Content-Type", "")
        return answer.status, await answer.json() if is_json else await answer.read()


async def test_a_pushed_event_is_obeyed(desk: Desk) -> None:
    visitor = desk.watch()
    assert await push(desk, event_token()) == (202, b"")
    assert desk.refuses(visitor)
    assert desk.cut == ["session-1"]
    page = await desk.get("/api/v1/revocations")
    (record,) = page["revocations"]
    assert (record["reason"], record["actor"], record["sources"]) == ("session-revoked", f"ssf:{IDP}", [f"ssf:{IDP}"])
    (entry,) = (await desk.get("/api/v1/audit"))["entries"]
    assert (entry["who"], entry["what"], entry["effect"]["jti"]) == (f"ssf:{IDP}", "security-event", "event-1")


async def test_a_user_is_sent_to_sign_in_again(desk: Desk) -> None:
    now = int(time.time())
    before, after = desk.watch("s1", issued_at=now - 100), desk.watch("s2", issued_at=now + 100)
    assert (await push(desk, event_token(subject=USER, event={"event_timestamp": now})))[0] == 202
    assert (desk.refuses(before), desk.refuses(after)) == (True, False)
    assert (await push(desk, event_token(RISC + "account-disabled", USER, jti="event-2")))[0] == 202
    assert desk.refuses(after)


async def test_an_event_that_comes_twice_is_obeyed_once(desk: Desk) -> None:
    assert (await push(desk, event_token()))[0] == 202
    assert (await push(desk, event_token()))[0] == 202
    assert len((await desk.get("/api/v1/revocations"))["revocations"]) == 1


async def test_an_event_that_could_not_be_made_durable_is_obeyed_when_it_comes_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise JournalError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(desk.node.journal, "append", full)
        assert (await push(desk, event_token()))[0] == 503
    assert (await push(desk, event_token()))[0] == 202
    assert len((await desk.get("/api/v1/revocations"))["revocations"]) >= 1


async def test_an_event_that_no_journal_could_give_back_is_refused() -> None:
    long = Transmitter(IDP, "segmentgate", KeySet([SIGNER.public()]), account_issuer="i" * 513, push_token=PUSH_TOKEN)
    async with open_desk(transmitters=[long]) as desk:
        status, said = await push(desk, event_token(RISC + "account-disabled", USER))
        assert (status, said["err"]) == (400, "invalid_request")
        assert "issuer" in said["description"]
        assert (await push(desk, event_token(jti="event-2")))[0] == 202
        (record,) = (await desk.get("/api/v1/revocations"))["revocations"]
        assert record["target"]["type"] == "session"


async def test_a_verification_event_is_accepted(desk: Desk) -> None:
    token = event_token(VERIFICATION, {"format": "opaque", "id": "stream-1"}, {"state": "x"})
    assert await push(desk, token) == (202, b"")
    assert len(desk.node.revocations.revoked) == 0


@pytest.mark.parametrize(
    ("token", "err"),
    [
        ("", "invalid_request"),
        ("a.b", "invalid_request"),
        ("a.b.c", "invalid_request"),
        ("x" * 60_000, "invalid_request"),
        (event_token(signer=OTHER), "authentication_failed"),
        (event_token()[:-4] + "AAAA", "authentication_failed"),
        (event_token(header={"kid": "k2"}), "invalid_key"),
        (event_token(header={"jku": "https://evil.example"}), "invalid_request"),
        (event_token(header={"crit": ["exp"]}), "invalid_request"),
        (event_token(header={"typ": "JWT"}), "invalid_request"),
        (event_token(header={"typ": "session+jwt"}), "invalid_request"),
        (event_token(iss="https://other.example"), "invalid_issuer"),
        (event_token(iss=None), "invalid_issuer"),
        (event_token(aud="else"), "invalid_audience"),
        (event_token(aud=["else"]), "invalid_audience"),
        (event_token(aud=None), "invalid_audience"),
        (event_token(iat=int(time.time()) + 3600), "invalid_request"),
        (event_token(iat="now"), "invalid_request"),
        (event_token(iat=True), "invalid_request"),
        (event_token(jti=""), "invalid_request"),
        (event_token(jti="x" * 300), "invalid_request"),
        (event_token(jti="\ud800"), "invalid_request"),
        (event_token(events={}), "invalid_request"),
        (event_token(events=[]), "invalid_request"),
        (event_token(subject=None), "invalid_request"),
        (event_token(subject={"format": "opaque", "id": "\ud800"}), "invalid_request"),
        (event_token(subject={"format": "complex", "tenant": SESSION}), "invalid_request"),
    ],
)
async def test_what_is_wrong_with_a_token_is_told(desk: Desk, token: str, err: str) -> None:
    status, body = await push(desk, token)
    assert (status, body["err"]) == (400, err)
    assert set(body) == {"err", "description"}
    assert len(desk.node.revocations.revoked) == 0


@pytest.mark.parametrize("key", ["", "wrong", API_KEY, PUSH_TOKEN + "x", "\xff"])
async def test_each_transmitter_has_a_bearer_token_of_its_own(desk: Desk, key: str) -> None:
    status, body = await push(desk, event_token(), key=key)
    assert (status, body["err"]) == (401, "authentication_failed")


async def test_one_transmitter_cannot_speak_for_another(desk: Desk) -> None:
    status, body = await push(desk, event_token(), key="q" * 40)
    assert (status, body["err"]) == (400, "invalid_issuer")


async def test_other_content_types_are_refused(desk: Desk) -> None:
    status, body = await push(desk, event_token(), kind="application/jwt")
    assert (status, body["err"]) == (400, "invalid_request")


class Idp:
    """A transmitter to be polled. ``answers`` are given one after the other, then it has nothing to tell."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.answers: list[Any] = []

    async def poll(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        self.keys.append(request.headers.get("Authorization", ""))
        answer = self.answers.pop(0) if self.answers else {"sets": {}}
        if isinstance(answer, web.Response):
            return answer
        return web.json_response(answer)


@pytest.fixture
async def idp() -> AsyncIterator[tuple[Idp, str]]:
    idp, app = Idp(), web.Application()
    app.router.add_post("/poll", idp.poll)
    async with TestServer(app) as server:
        yield idp, str(server.make_url("/poll"))


@pytest.fixture
async def poller(desk: Desk, idp: tuple[Idp, str]) -> AsyncIterator[Poller]:
    receiver = Receiver(transmitter(idp[1]), desk.node, Notes(desk.node))
    async with aiohttp.ClientSession() as client:
        yield Poller(receiver, client)


async def test_polled_events_are_obeyed_and_acknowledged(desk: Desk, idp: tuple[Idp, str], poller: Poller) -> None:
    visitor = desk.watch()
    idp[0].answers = [{"sets": {"event-1": event_token(), "event-2": event_token(aud="else", jti="event-2")}}]
    assert await poller.poll() is True
    assert desk.refuses(visitor)
    assert await poller.poll() is True
    assert await poller.poll() is False
    first, second, third = idp[0].asked
    assert first == {"maxEvents": ssf_poll.MAX_EVENTS, "returnImmediately": False, "ack": []}
    assert (second["ack"], second["returnImmediately"]) == (["event-1"], True)
    assert second["setErrs"]["event-2"]["err"] == "invalid_audience"
    assert third == first
    assert idp[0].keys[0] == "Bearer polling"


async def test_what_was_not_told_is_told_next_time(desk: Desk, idp: tuple[Idp, str], poller: Poller) -> None:
    idp[0].answers = [{"sets": {"event-1": event_token()}}, web.Response(status=503), {"sets": {}}]
    await poller.poll()
    with pytest.raises(PollError):
        await poller.poll()
    await poller.poll()
    assert [asked["ack"] for asked in idp[0].asked] == [[], ["event-1"], ["event-1"]]


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}),
        web.Response(status=200, text="nonsense"),
        web.Response(status=200, text="[]"),
        web.Response(status=200, text='{"sets": {"a": 5}}'),
        web.Response(status=200, text='{"sets": ' + "[" * 100_000),
        web.Response(status=200, body=b" " * (ssf_poll.MAX_ANSWER + 1)),
    ],
)
async def test_bad_answers_are_errors(answer: web.Response, idp: tuple[Idp, str], poller: Poller) -> None:
    idp[0].answers = [answer]
    with pytest.raises(PollError):
        await poller.poll()


async def test_polling_goes_on_by_itself(idp: tuple[Idp, str]) -> None:
    idp[0].answers = [web.Response(status=500), {"sets": {"event-1": event_token()}}]
    async with open_desk(transmitters=[transmitter(idp[1])]) as desk:
        visitor = desk.watch()
        async with asyncio.timeout(5):
            while not desk.refuses(visitor):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
