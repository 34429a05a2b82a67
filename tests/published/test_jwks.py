"""Pinned key sets: fetched in the background, replaced as a whole, and kept for a while when they cannot be had."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from relay.gate.dialects.jwk import public_key
from relay.gate.dialects.keys import KeySet, TokenKey
from relay.published import refresh
from relay.published.jwks import PinnedSet
from relay.published.refresh import Refresher, show_ages
from relay.telemetry.metrics import KEY_SET_AGE
from tests.gate.dialects.test_jwk import EC, OKP

FIXED = TokenKey("fixed", "HS256", bytes(32))


class Issuer:
    """An issuer's server: answers with ``body`` and ``status``, and counts."""

    def __init__(self) -> None:
        self.body: bytes = json.dumps({"keys": [EC]}).encode()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.stalls = False

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.stalls:
            await asyncio.sleep(60)
        return web.Response(body=self.body, status=self.status, headers=self.headers)

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys}).encode()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def url(issuer: Issuer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/jwks.json", issuer.answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/jwks.json?key=query-secret"))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "RETRY_S", 0.01)


def kids(keys: KeySet) -> set[str]:
    return {key.kid for key in keys.live(0)}


def pinned(url: str, refresh_s: float = 0.01, keep_s: float = 60.0) -> PinnedSet:
    return PinnedSet(KeySet([FIXED]), url, (FIXED,), refresh_s, keep_s)


async def until(condition: Any) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError


async def test_keys_are_there_once_it_has_started(url: str) -> None:
    one = pinned(url, refresh_s=60)
    refresher = Refresher([one])
    await refresher.start()
    assert kids(one.keys) == {"fixed", "1"}
    await refresher.close()
    assert kids(one.keys) == {"fixed", "1"}


async def test_a_key_that_its_issuer_withdraws_is_gone(issuer: Issuer, url: str) -> None:
    one = pinned(url)
    refresher = Refresher([one])
    await refresher.start()
    issuer.publish(OKP)
    await until(lambda: kids(one.keys) == {"fixed", "2"})
    await refresher.close()
    asked = issuer.asked
    await asyncio.sleep(0.05)
    assert issuer.asked == asked


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"no", 200, "not a JWK set"),
        (b"{}", 503, "answered with status 503"),
        (b"{}", 302, "answered with status 302"),
        (b"[" + b" " * 300_000, 200, "larger than 256 KiB"),
        (json.dumps({"keys": [{**EC, "kid": "fixed"}]}).encode(), 200, "configured with another algorithm"),
        (json.dumps({"keys": [EC, {**OKP, "kid": "1"}]}).encode(), 200, "two keys have the same kid"),
        (json.dumps({"keys": [{**EC, "x": "AAAA"}]}).encode(), 200, "x is not 32 bytes long"),
    ],
)
async def test_a_failed_refresh_keeps_the_keys_and_is_told(
    issuer: Issuer, url: str, body: bytes, status: int, why: str
) -> None:
    one = pinned(url)
    refresher = Refresher([one])
    await refresher.start()
    issuer.body, issuer.status, issuer.headers = body, status, {"Location": "/elsewhere"}
    with capture_logs() as logs:
        asked = issuer.asked
        await until(lambda: issuer.asked >= asked + 3)
    assert kids(one.keys) == {"fixed", "1"}
    await refresher.close()
    assert logs[-1]["event"] == "key_set_not_refreshed"
    assert why in logs[-1]["error"]
    assert "query-secret" not in repr(logs)
    assert "query-secret" not in repr(one)


async def test_an_issuer_that_cannot_be_reached_stops_nothing() -> None:
    one = pinned("http://127.0.0.1:1/jwks.json?key=query-secret")
    refresher = Refresher([one])
    with capture_logs() as logs:
        await refresher.start()
    assert kids(one.keys) == {"fixed"}
    assert logs[0]["error"] == "ClientConnectorError"
    assert "query-secret" not in repr(logs)
    await refresher.close()


async def test_an_issuer_that_stalls_is_given_up(issuer: Issuer, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "TIMEOUT_S", 0.05)
    issuer.stalls = True
    one = pinned(url)
    refresher = Refresher([one])
    with capture_logs() as logs:
        await refresher.start()
    assert "Timeout" in logs[0]["error"]
    await refresher.close()


async def test_old_keys_are_dropped_in_the_end_and_come_back(issuer: Issuer, url: str) -> None:
    clock = Clock()
    one = pinned(url, keep_s=60.0)
    refresher = Refresher([one], clock=clock)
    await refresher.start()
    issuer.status = 500
    clock.now += 59
    asked = issuer.asked
    await until(lambda: issuer.asked >= asked + 2)
    assert kids(one.keys) == {"fixed", "1"}
    clock.now += 2
    await until(lambda: kids(one.keys) == {"fixed"})
    issuer.status = 200
    await until(lambda: kids(one.keys) == {"fixed", "1"})
    await refresher.close()


async def test_a_secret_that_is_published_is_no_key(issuer: Issuer, url: str) -> None:
    issuer.publish(OKP, {"kty": "oct", "k": "AAAA", "kid": "4"})
    one = pinned(url)
    refresher = Refresher([one])
    await refresher.start()
    assert kids(one.keys) == {"fixed", "2"}
    await refresher.close()


async def test_a_configured_key_stands_where_a_fetched_one_has_its_id(issuer: Issuer, url: str) -> None:
    own = public_key({**EC}, "1")
    one = PinnedSet(KeySet([own]), url, (own,), refresh_s=60)
    refresher = Refresher([one])
    await refresher.start()
    assert one.keys.get("1", 0) is own
    await refresher.close()


def ages() -> dict[str, float]:
    show_ages()
    return {sample.labels["set"]: sample.value for metric in KEY_SET_AGE.collect() for sample in metric.samples}


async def test_the_age_of_each_set_is_a_metric_while_it_is_refreshed(url: str) -> None:
    clock = Clock()
    sets = [pinned(url, refresh_s=60), pinned("http://127.0.0.1:1/", refresh_s=60)]
    refresher = Refresher(sets, "signals", clock)
    clock.now += 10
    await refresher.start()
    clock.now += 5
    assert ages() == {"signals[0]": 5.0, "signals[1]": 15.0}
    successor = Refresher(sets[:1], "signals", clock)
    await refresher.close()
    assert ages() == {"signals[0]": 0.0}
    await successor.close()
    assert ages() == {}


async def test_without_sets_nothing_is_done() -> None:
    refresher = Refresher([])
    await refresher.start()
    await refresher.close()
