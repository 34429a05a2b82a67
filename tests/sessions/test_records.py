"""Records of sessions: the latest of each kind, bounded, and shared through a real server that learns nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from keys.model import TrackType
from keys.seal import Sealer
from relay.gate.presence import Presence
from relay.model import Session, StreamLimit
from relay.sessions.record_store import RecordStore
from relay.sessions.records import (
    KEPT_S,
    Begun,
    Licensed,
    Record,
    Refused,
    Seen,
    SessionRecords,
    StoreAwayError,
    decode_record,
    encode_record,
)
from relay.sessions.whereabouts import keep_telling
from relay.verdict import Reason
from tests.proxy import Mode, faulty_proxy
from tests.valkey import Valkey, valkey_server

KEY = bytes(range(32))
NOW = 1_800_000_000.0


def session(sid: str = "s", issuer: str = "i", ends: float = NOW + 600) -> Session:
    return Session(sid, "account-1", issuer, int(ends), streams=frozenset({"vod"}), watermark="w", limit=StreamLimit(2))


def licensed(at: float = NOW, **fields: Any) -> Licensed:
    base = {"session": session(), "at": at, "node": "n", "stream": "vod", "system": "clearkey", "expires_at": NOW + 60}
    return Licensed(**{**base, **fields})


async def test_the_latest_of_each_kind_stands() -> None:
    records = SessionRecords(lambda: NOW)
    refused = Refused(session=session(), at=NOW + 1, node="n", stream="vod", reason=Reason.REVOKED)
    for record in (licensed(NOW + 5, system="widevine"), licensed(NOW), refused):
        records.note(record)
    (known,) = await records.find("s", ["i", "other"])
    found = known.get(Licensed)
    assert found
    assert (found.system, known.get(Refused), known.get(Begun)) == ("widevine", refused, None)
    assert known.latest is found


async def test_sessions_of_two_issuers_with_one_id_are_two() -> None:
    records = SessionRecords(lambda: NOW)
    for issuer in ("i", "j"):
        records.note(licensed(session=session(issuer=issuer)))
    assert len(await records.find("s", ["i", "j"])) == 2
    assert len(await records.find("s", ["j"])) == 1


async def test_memory_is_bounded_and_what_is_over_goes() -> None:
    now = NOW
    records = SessionRecords(lambda: now, limit=10)
    for number in range(50):
        records.note(licensed(session=session(f"s{number}")))
    assert len(records) == 10
    now = NOW + 600 + KEPT_S + 1
    for number in range(20):
        records.note(licensed(session=session(f"t{number}", ends=now + 600)))
    assert not records.here("s49", ["i"])


async def test_refusals_are_told() -> None:
    records = SessionRecords(lambda: NOW)
    heard: list[Refused] = []
    refused = Refused(session=session(), at=NOW, node="n", stream="vod", reason=Reason.REVOKED)
    with records.refused.listening(heard.append):
        records.note(licensed())
        records.note(refused)
    assert heard == [refused]


@pytest.mark.parametrize(
    "record",
    [
        licensed(tracks=(TrackType.SD, TrackType.AUDIO), newest=0),
        Begun(session=session(), at=NOW, node="n"),
        Seen(session=session(), at=NOW, node="n", stream="vod"),
    ],
)
def test_records_come_back_as_they_were(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


@pytest.fixture
def server() -> Any:
    with valkey_server() as running:
        yield running


def store_of(url: str, key: bytes = KEY) -> RecordStore:
    return RecordStore(url, "", "test", Sealer([key]))


@pytest.fixture
async def store(server: Valkey) -> AsyncIterator[RecordStore]:
    made = store_of(server.url)
    yield made
    await made.close()


async def until(met: Callable[[], Any], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not await met():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def later(**fields: Any) -> Licensed:
    """A record of a session that ends in the future of a real server."""
    return licensed(session=session(ends=time.time() + 600), **fields)


async def test_other_nodes_find_what_was_put_down(server: Valkey, store: RecordStore) -> None:
    one = SessionRecords(time.time, store)
    two = SessionRecords(time.time, store_of(server.url))
    record = later()
    one.note(record)

    async def known() -> Any:
        return await two.find("s", ["i", "j"])

    await until(known)
    (found,) = await known()
    assert found.get(Licensed) == record
    await two.close()


async def test_the_server_learns_nothing_and_forgets_in_time(server: Valkey, store: RecordStore) -> None:
    record = later()
    SessionRecords(time.time, store).note(record)
    client = Redis.from_url(server.url)
    await until(lambda: client.keys("test:session:*"))
    (key,) = await client.keys("test:session:*")
    value: Any = await client.get(key)
    assert b"account-1" not in value + key
    assert 4000 < await client.ttl(key) <= 600 + KEPT_S + 1
    # One session's record is not to be shown as another's, nor one of another deployment believed.
    (other,) = {store._key("i", "other", Licensed)}
    await client.set(other, value)
    assert await store.read([("i", "other")]) == []
    await client.set(key, value[:-2])
    assert await store.read([("i", "s")]) == []
    await client.set(key, value)
    stranger = store_of(server.url, bytes(32))
    assert (await store.read([("i", "s")]), await stranger.read([("i", "s")])) == ([record], [])
    await stranger.close()
    await client.aclose()


async def test_while_the_server_is_away_the_latest_wait_and_nobody_else(server: Valkey) -> None:
    with faulty_proxy(server.address) as proxy:
        proxy.mode = Mode.BLACKHOLE
        store = store_of(proxy.url)
        records = SessionRecords(time.time, store)
        for number in range(5):
            records.note(later(at=NOW + number))
        records.note(Seen(session=session(ends=time.time() + 600), at=NOW, node="n", stream="vod"))
        assert len(store._waiting) == 2
        with pytest.raises(StoreAwayError):
            await records.find("s", ["i"])
        proxy.mode = Mode.PASS
        reader = store_of(server.url)
        await until(lambda: reader.read([("i", "s")]))
        found = await reader.read([("i", "s")])
        assert {record.at for record in found if isinstance(record, Licensed)} == {NOW + 4}
        await store.close()
        await reader.close()


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.sessions.record_store.MAX_WAITING", 3)
    store = store_of("redis://127.0.0.1:9/0")
    for number in range(10):
        store.put(licensed(session=session(f"s{number}")), NOW + 60)
    assert len(store._waiting) == 3
    assert {record.session.sid for record, _ in store._waiting.values()} == {"s7", "s8", "s9"}
    await store.close()


async def test_live_sessions_are_told_of(store: RecordStore) -> None:
    class Visit:
        session, stream, live = session(ends=time.time() + 600), "vod", None

    presence = Presence()
    presence.held(Visit(), time.time(), "192.0.2.1")  # type: ignore[arg-type]  # a visitor, as far as presence knows
    task = asyncio.ensure_future(keep_telling(SessionRecords(time.time, store), presence, time.time, "node-a"))
    await until(lambda: store.read([("i", "s")]))
    (seen,) = await store.read([("i", "s")])
    assert isinstance(seen, Seen)
    assert (seen.node, seen.stream) == ("node-a", "vod")
    task.cancel()


async def test_without_others_there_is_nobody_to_tell() -> None:
    await asyncio.wait_for(keep_telling(SessionRecords(time.time), Presence(), time.time, "n"), 1)
