"""The shared log on a real server: what is sent arrives, and a server that fails is noticed and found again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from keys.seal import Sealer
from relay.state import log as log_module
from relay.state.log import LogSettings, SharedLog
from relay.state.messages import Envelope, Message, Report
from relay.state.tasks import end_tasks
from relay.state.vector import Extent
from tests.proxy import FaultyProxy, Mode
from tests.state.cluster import ENVELOPE, until
from tests.valkey import Data, Valkey

A, B = "a" * 16, "b" * 16
NOTHING = Extent({}, {})


class End:
    """One node's end of the log, with what it has received."""

    def __init__(self, log: SharedLog) -> None:
        self.log = log
        self.numbers: list[int] = []
        self.heard: list[Report] = []

    async def receive(self, message: Message) -> None:
        self.numbers.append(message.spans[0][1])

    def age(self) -> float:
        return time.monotonic() - self.log.synced_at


def message(number: int, body: bytes = b"") -> Message:
    return Message(A, False, [(A, number, number)], body)


@asynccontextmanager
async def end(url: str, incarnation: str, timeout_s: float = 0.6, **settings: str) -> AsyncIterator[End]:
    log = SharedLog(LogSettings(url, io_timeout_s=timeout_s, **settings), ENVELOPE, incarnation)
    found = End(log)
    tasks = [asyncio.ensure_future(log.send()), asyncio.ensure_future(log.follow(found.receive, found.heard.append))]
    try:
        yield found
    finally:
        await end_tasks(tasks)
        await log.leave()


async def test_what_one_publishes_all_read_in_order(server: Valkey) -> None:
    async with end(server.url, A) as a, end(server.url, B) as b:
        for number in range(1, 301):
            a.log.publish(message(number))
        await until(lambda: len(b.numbers) == 300)
        assert b.numbers == a.numbers == list(range(1, 301))
    async with end(server.url, "c" * 16) as late:
        await until(lambda: late.log.connected and late.age() < 1)
        assert late.numbers == list(range(1, 301))


async def test_what_is_new_goes_before_what_is_offered_again(server: Valkey) -> None:
    async with end(server.url, A) as a:
        for number in range(1000, 1200):
            a.log.offer(message(number))
        a.log.publish(message(1))
        await until(lambda: len(a.numbers) == 201)
        assert a.numbers.index(1) < 100


async def test_reports_reach_who_asked(server: Valkey) -> None:
    report = Report("b", B, [(A, 1, 3)], 2, 5)
    async with end(server.url, A) as a, end(server.url, B) as b:
        b.log.report(A, report)
        await until(lambda: a.heard)
        assert a.heard == [report]
        assert b.heard == []


async def test_the_roll(server: Valkey) -> None:
    async with end(server.url, A) as a, end(server.url, B) as b:
        await a.log.call_roll("one", Extent({A: 4}, {A: 9}))
        roll = await b.log.call_roll("two", NOTHING)
        assert roll.now == pytest.approx(time.time(), abs=2)
        first = next(heartbeat for heartbeat in roll.heartbeats if heartbeat.name == "one")
        assert first.extent == Extent({A: 4}, {A: 9})
        assert first.at == pytest.approx(roll.now, abs=0.5)
        await a.log.leave()
        said = {h.name: h.left for h in (await b.log.call_roll("two", NOTHING)).heartbeats}
        assert said == {"one": True, "two": False}
        await a.log.call_roll("one", NOTHING)
        assert len((await b.log.call_roll("two", NOTHING, [A])).heartbeats) == 2 - 1


async def test_a_successor_speaks_the_last_word_of_who_was_killed(server: Valkey) -> None:
    async with end(server.url, A) as killed, end(server.url, B) as successor, Redis.from_url(server.url) as client:
        await killed.log.call_roll("one", NOTHING)
        roll = await successor.log.call_roll("one", NOTHING, former=A)
        assert {h.incarnation: h.left for h in roll.heartbeats} == {A: True, B: False}
        assert not roll.lost
        await client.flushall()
        assert (await successor.log.call_roll("one", NOTHING, former=A)).lost


async def test_strangers_are_not_heard(server: Valkey) -> None:
    """Whoever holds the server can withhold what nodes say, but not say anything."""
    forged = Envelope(Sealer([b"x" * 32])).seal(message(1))
    report_as_message = ENVELOPE.seal(Report("b", B, [], 0, 0))
    async with end(server.url, A) as a, Redis.from_url(server.url) as stranger:
        for data in (forged, report_as_message, b"", b"\xff\xfe", b"z" * 100, forged[:-1]):
            await stranger.xadd("segmentgate:events", {"m": data})
        await stranger.xadd("segmentgate:events", {"other": "field"})
        await stranger.hset("segmentgate:nodes", "evil", forged.decode())
        a.log.publish(message(7))
        await until(lambda: a.numbers)
        assert a.numbers == [7]
        roll = await a.log.call_roll("one", NOTHING)
        assert [heartbeat.name for heartbeat in roll.heartbeats] == ["one"]
        assert A not in str(await stranger.xrange("segmentgate:events"))


async def test_namespaces_do_not_mix(server: Valkey) -> None:
    async with end(server.url, A, namespace="one") as a, end(server.url, B, namespace="two") as b:
        a.log.publish(message(1))
        await until(lambda: a.numbers and b.age() < 0.5)
        assert b.numbers == []


async def test_a_password_is_sent_and_never_shown(mortal: Valkey) -> None:
    async with Redis.from_url(mortal.url) as client:
        await client.config_set("requirepass", "sesame")
    assert "sesame" not in repr(LogSettings(mortal.url, password="sesame"))
    async with end(mortal.url, A, password="sesame") as a, end(mortal.url, B) as without:
        a.log.publish(message(1))
        await until(lambda: a.numbers == [1])
        assert not without.log.connected
        with pytest.raises(RedisError):
            await without.log.call_roll("two", NOTHING)


async def test_an_idle_log_stays_fresh(server: Valkey) -> None:
    async with end(server.url, A) as a:
        await until(lambda: a.log.connected)
        for _ in range(8):
            await asyncio.sleep(0.1)
            assert a.age() < 1


async def test_a_server_that_dies_and_comes_back_without_its_data(mortal: Valkey) -> None:
    async with end(mortal.url, A) as a, end(mortal.url, B) as b:
        a.log.publish(message(1))
        await until(lambda: b.numbers == [1])
        mortal.kill()
        await until(lambda: not b.log.connected)
        a.log.publish(message(2))
        await asyncio.sleep(0.3)
        assert b.age() > 0.3
        mortal.start(Data.LOST)
        await until(lambda: b.numbers == [1, 2] and b.age() < 1)


async def test_a_cursor_ahead_of_the_server_is_rewound(mortal: Valkey) -> None:
    """The server that took over numbers its messages below those already read: its clock is behind."""
    async with end(mortal.url, A) as a, Redis.from_url(mortal.url) as client:
        a.log.publish(message(1))
        await until(lambda: a.numbers == [1])
        sealed = ENVELOPE.seal(message(9))
        await client.delete("segmentgate:events")
        await client.xadd("segmentgate:events", {"m": sealed}, id="5-1")
        await until(lambda: a.numbers == [1, 9])
        await client.xadd("segmentgate:events", {"m": ENVELOPE.seal(message(10))}, id="6-1")
        await until(lambda: a.numbers == [1, 9, 10])


@pytest.mark.parametrize("mode", [Mode.BLACKHOLE, Mode.DROP_REQUESTS, Mode.DROP_ANSWERS, Mode.RESET, Mode.REFUSE])
async def test_a_partition_is_noticed_and_heals(server: Valkey, proxy: FaultyProxy, mode: Mode) -> None:
    async with end(server.url, A) as a, end(proxy.url, B) as b:
        await until(lambda: b.log.connected)
        proxy.mode = mode
        await until(lambda: not b.log.connected, 3)
        a.log.publish(message(1))
        b.log.publish(message(2))
        await asyncio.sleep(0.2)
        assert b.age() > 0.2
        assert b.numbers == []
        proxy.mode = Mode.PASS
        await until(lambda: set(b.numbers) == {1, 2} and set(a.numbers) == {1, 2} and b.age() < 1)


async def test_a_slow_server_is_slow_and_no_more(server: Valkey, proxy: FaultyProxy) -> None:
    proxy.delay_s = 0.25
    async with end(server.url, A) as a, end(proxy.url, B, timeout_s=3) as b:
        await until(lambda: b.log.connected)
        for number in range(100):
            a.log.publish(message(number))
            b.log.publish(message(1000 + number))
        await until(lambda: len(b.numbers) == len(a.numbers) == 200)
        # What was asked 250 ms before it reached the server is no fresher than that.
        await until(lambda: b.age() < 2)
        assert b.age() > 0.25


async def test_half_of_all_connections_breaking(server: Valkey, proxy: FaultyProxy) -> None:
    async with end(server.url, A) as a, end(proxy.url, B) as b:
        proxy.mode = Mode.DROP_HALF
        for number in range(50):
            a.log.publish(message(number))
            b.log.publish(message(100 + number))
        wanted = {*range(50), *range(100, 150)}
        await until(lambda: set(b.numbers) == wanted and set(a.numbers) == wanted, 10)


async def test_what_cannot_be_sent_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "MAX_QUEUED_BYTES", 10_000)
    log = SharedLog(LogSettings("redis://127.0.0.1:1/0"), ENVELOPE, A)
    for number in range(1000):
        log.publish(message(number, b"x" * 100))
    assert sum(len(write.sealed) for queue in log._queues for write in queue) <= 10_000
    await log.flush(5)  # returns at once: there is nobody to send to


def test_tls_is_asked_for_by_the_url() -> None:
    log = SharedLog(LogSettings("rediss://log.example:6380/0"), ENVELOPE, A)
    assert log._open().connection_pool.connection_class.__name__ == "SSLConnection"
