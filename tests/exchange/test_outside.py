"""Keys from a key server elsewhere: asked for once, ahead of need, again after failures."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from aiohttp import web

import relay.exchange.outside
from keys.exchange import provider, speke
from keys.exchange.model import KeyPeriod, Version
from keys.exchange.provider import Wanted
from keys.material import ContentKey
from keys.model import KeySlot, Scheme, TrackType
from keys.periods import RotationPolicy, Schedule
from relay.errors import KeyPendingError
from relay.exchange.material import KeyServerMaterial
from relay.exchange.naming import Periods
from relay.exchange.outside import AHEAD, KeyServer, KeyServers, Kids
from relay.exchange.settings import KeyServerConfig
from tests.exchange.vendor import RING, Vendor, running_vendor, vendor_key
from tests.keys.exchange.material import CERTIFICATE, recipient_key

LIVE = Schedule(RotationPolicy(interval_ms=4000, pre_delivery_ms=1000))
TURNING = Periods(LIVE, LIVE)
FILM = Periods(LIVE, Schedule(LIVE.policy.for_vod()))


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with running_vendor() as made:
        yield made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.exchange.outside, "RETRY_S", 0.01)


@asynccontextmanager
async def server_of(
    vendor: Vendor, recipient: Any = None, authorization: str = "", **more: Any
) -> AsyncIterator[KeyServer]:
    servers = KeyServers()
    config = KeyServerConfig(url=vendor.url, **more)
    servers.configure({"film": KeyServerMaterial(config, authorization, recipient)})
    server = servers.get("film")
    assert server
    yield server
    await servers.close()


def kids(track: TrackType, scheme: Scheme, period: int) -> bytes:
    return RING.kid(RING.slot("ours", track, scheme, period))


def slot(period: int, track: TrackType = TrackType.SD, scheme: Scheme = Scheme.CENC) -> KeySlot:
    return KeySlot("film", track, scheme, 1, period)


async def key(server: KeyServer, wanted: KeySlot, periods: Periods = TURNING, kids: Kids = kids) -> tuple[bytes, bytes]:
    """Ask until the key is there."""
    for _ in range(500):
        with suppress(KeyPendingError):
            found = server.of(wanted, periods, kids)
            return found.kid, found.key
        await asyncio.sleep(0.01)
    raise AssertionError("no key came")


async def settled(vendor: Vendor, count: int) -> None:
    for _ in range(500):
        if len(vendor.asked) >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(vendor.asked)} questions, expected {count}")


def theirs(period: int | None, track: TrackType = TrackType.SD, scheme: Scheme = Scheme.CENC) -> bytes:
    return RING.content_key(RING.slot("film", track, scheme, period)).key


async def test_a_key_is_pending_until_it_is_there(vendor: Vendor) -> None:
    async with server_of(vendor) as server:
        with pytest.raises(KeyPendingError):
            server.of(slot(8000), TURNING, kids)
        assert await key(server, slot(8000)) == (kids(TrackType.SD, Scheme.CENC, 8000), theirs(2))
        assert await key(server, slot(8000, TrackType.AUDIO)) == (
            kids(TrackType.AUDIO, Scheme.CENC, 8000),
            theirs(2, TrackType.AUDIO),
        )


async def test_an_emergency_asks_anew_for_what_was_asked_ahead(vendor: Vendor) -> None:
    def rekeyed(track: TrackType, scheme: Scheme, period: int) -> bytes:
        return RING.kid(RING.slot("ours", track, scheme, period, epoch=1))

    async with server_of(vendor) as server:
        await key(server, slot(8000))
        await settled(vendor, 1 + AHEAD)
        with pytest.raises(KeyPendingError):
            server.of(slot(12_000), TURNING, rekeyed)
        assert await key(server, slot(12_000), kids=rekeyed) == (
            rekeyed(TrackType.SD, Scheme.CENC, 12_000),
            theirs(3),
        )
        # What is encrypted under the old ones is still under them.
        assert server.of(slot(8000), TURNING, kids).kid == kids(TrackType.SD, Scheme.CENC, 8000)


async def test_each_period_is_asked_for_once_and_ahead(vendor: Vendor) -> None:
    async with server_of(vendor) as server:
        for _ in range(20):
            with suppress(KeyPendingError):
                server.of(slot(8000), TURNING, kids)
        await settled(vendor, 1 + AHEAD)
        await key(server, slot(8000))
        await asyncio.sleep(0.05)
        assert [[period.index for period in one.periods] for one in vendor.asked] == [[2], [3], [4]]
        await key(server, slot(12_000))
        await settled(vendor, 2 + AHEAD)
        assert vendor.asked[-1].periods[0].index == 5


async def test_a_title_that_does_not_rotate_has_no_period(vendor: Vendor) -> None:
    async with server_of(vendor, content_id="their-name") as server:
        with suppress(KeyPendingError):
            server.of(slot(0, scheme=Scheme.CBCS), FILM, kids)
        await settled(vendor, 1)
        await asyncio.sleep(0.05)
        (asked,) = vendor.asked
        assert (asked.content_id, asked.periods) == ("their-name", ())
        assert {entry.scheme for entry in asked.keys} == {Scheme.CBCS}


async def test_2_1_says_when_a_period_begins_and_ends(vendor: Vendor) -> None:
    cut = Periods(replace(LIVE, boundaries=(9500,)), LIVE)
    async with server_of(vendor, version="2.1") as server:
        await key(server, slot(9500), cut)
        period = vendor.asked[0].periods[0]
        assert (period.index, period.start, period.end) == (9500, 9500, 12_000)
        assert vendor.heads[0]["X-Speke-Version"] == "2.1"


async def test_what_is_needed_goes_before_what_is_foreseen(vendor: Vendor) -> None:
    async with server_of(vendor) as server:
        server.expect([slot(4000), slot(40_000)], TURNING, kids)
        await settled(vendor, 2 + 2 * AHEAD)
        assert [one.periods[0].index for one in vendor.asked] == [1, 10, 2, 3, 11, 12]


async def test_the_answer_is_encrypted_to_us_where_we_have_a_certificate(vendor: Vendor) -> None:
    async with server_of(vendor, (CERTIFICATE, recipient_key()), "Basic abc") as server:
        assert (await key(server, slot(8000)))[1] == theirs(2)
        assert vendor.asked[0].recipients[0].certificate == CERTIFICATE
        assert vendor.heads[0]["Authorization"] == "Basic abc"


async def test_key_ids_that_the_server_chose_are_taken(vendor: Vendor) -> None:
    def renamed(wanted: Wanted) -> ContentKey:
        made = vendor_key(wanted)
        return replace(made, kid=bytes(reversed(made.kid)))

    vendor.key_of = renamed
    async with server_of(vendor) as server:
        assert (await key(server, slot(8000)))[0] == bytes(reversed(kids(TrackType.SD, Scheme.CENC, 8000)))


BAD = [
    lambda: web.Response(status=500, text="out of order"),
    lambda: web.Response(status=422, text="Unsupported"),
    lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}),
    lambda: web.Response(text="<html/>"),
    lambda: web.Response(body=bytes(600 * 1024)),
    lambda: web.Response(text="<!DOCTYPE a><a/>"),
    lambda: web.Response(text="", headers={"X-Speke-Version": "1.0"}),
]


@pytest.mark.parametrize("reply", BAD)
async def test_after_a_failure_it_is_asked_again(
    vendor: Vendor, reply: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    vendor.replies = [reply, reply]
    async with server_of(vendor) as server:
        found = await key(server, slot(8000))
        assert found[1] == theirs(2)
        log = capsys.readouterr().out
        assert "key_server_failed" in log
        assert vendor.url not in log
        assert found[1].hex() not in log
        assert "out of order" not in log


async def test_keys_in_the_clear_are_not_taken_from_a_server_asked_to_encrypt(
    vendor: Vendor, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {track: kids(track, Scheme.CENC, 8000) for track in TrackType}
    question = speke.question("film", asked, Scheme.CENC, KeyPeriod("period-8000", 2), Version.V2_3)
    plain = provider.answer(question, lambda wanted: replace(vendor_key(wanted), key=bytes(16)), bytes)
    vendor.replies = [lambda: web.Response(body=plain)]
    async with server_of(vendor, (CERTIFICATE, recipient_key())) as server:
        assert (await key(server, slot(8000)))[1] == theirs(2)
        assert "not encrypted, though that was asked for" in capsys.readouterr().out


async def test_a_server_that_is_away_is_asked_ever_less_often(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.exchange.outside, "RETRY_S", 0.05)
    vendor.replies = [BAD[0]] * 1000
    async with server_of(vendor) as server:
        for _ in range(100):
            with suppress(KeyPendingError):
                server.of(slot(8000), TURNING, kids)
            await asyncio.sleep(0.01)
        assert 2 <= len(vendor.asked) <= 6


async def test_memory_is_bounded(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.exchange.outside, "MAX_KEPT", 4)
    monkeypatch.setattr(relay.exchange.outside, "MAX_WANTED", 8)
    async with server_of(vendor) as server:
        server.expect([slot(4000 * n) for n in range(100)], TURNING, kids)
        assert len(server._wanted) == 8
        await settled(vendor, 8)
        await asyncio.sleep(0.05)
        assert len(server._kept) == 4
        assert not server._wanted


async def test_a_reload_keeps_the_keys_and_takes_over_the_settings(vendor: Vendor) -> None:
    servers = KeyServers()
    config = KeyServerConfig(url=vendor.url)
    servers.configure({"film": KeyServerMaterial(config)})
    server = servers.get("film")
    assert server
    before = await key(server, slot(8000))
    await settled(vendor, 1 + AHEAD)
    servers.configure({"film": KeyServerMaterial(msgspec.structs.replace(config, version="2.1"), "Bearer new")})
    assert servers.get("film") is server
    assert await key(server, slot(8000)) == before
    await key(server, slot(80_000))
    assert (vendor.heads[-1]["X-Speke-Version"], vendor.heads[-1]["Authorization"]) == ("2.1", "Bearer new")
    servers.configure({})
    assert servers.get("film") is None
    await servers.close()


def test_secrets_do_not_print() -> None:
    material = KeyServerMaterial(
        KeyServerConfig(url="https://keys.example.com/"), "Bearer secret", (b"c", recipient_key())
    )
    assert "secret" not in repr(material)
