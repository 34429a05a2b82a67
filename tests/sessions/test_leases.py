"""Concurrent stream limits on nodes: alone, over a shared store, and while that store is gone, slow or forgetful."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.config import LimitConfig
from relay.gate.limits import Ask, Occupied
from relay.model import LimitCount, LimitMode, LimitScope, Session, StreamLimit
from relay.sessions import leases as leases_module
from relay.sessions.lease_store import LeaseStore
from relay.sessions.leases import Pending, StreamLeases
from relay.units import Duration
from relay.verdict import Deny, Reason
from tests.proxy import FaultyProxy, Mode, faulty_proxy
from tests.valkey import Data, Valkey, valkey_server

NOW = 1_790_000_000.0


@dataclass
class Visitor:
    session: Session
    stream: str = "news"


def visitor(sid: str, device: str = "", stream: str = "news", **session: Any) -> Visitor:
    session = {"account": "account-1", "issuer": "https://platform.example", "expires_at": 0, **session}
    return Visitor(Session(sid, device=device, **session), stream)


def limits(extra: int = 1, lease: str = "15s", **settings: Any) -> dict[str, LimitConfig]:
    limit = LimitConfig(lease=Duration.parse(lease), extra=extra, **{"streams": 1, **settings})
    return {"news": limit, "sport": limit, "free": LimitConfig()}


@dataclass
class Node:
    """Leases with a clock that a test sets, and what they ordered."""

    leases: StreamLeases
    clock: Callable[[], float]
    stopped: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)

    async def enter(self, who: Visitor, terminate: str = "") -> Occupied | None:
        return await self.leases.enter(who, terminate, self.clock())

    async def play(self, who: Visitor) -> Deny | None:
        answer = self.leases.beat(who, self.clock())
        return await self.leases.resume(answer, self.clock()) if isinstance(answer, Pending) else answer


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def node(config: dict[str, LimitConfig], clock: Callable[[], float], store: LeaseStore | None = None) -> Node:
    stopped: list[str] = []
    cut: list[str] = []

    async def stop(sids: Sequence[str]) -> None:
        stopped.extend(sids)

    return Node(StreamLeases(config, stop, cut.append, clock, store), clock, stopped, cut)


def is_refused(answer: Deny | None) -> bool:
    return answer is not None and answer.reason is Reason.CONCURRENCY_LIMIT


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestAlone:
    async def test_without_a_limit_nothing_is_kept(self, clock: Clock) -> None:
        here = node(limits(), clock)
        for sid in "abc":
            assert await here.enter(visitor(sid, stream="free")) is None
            assert here.leases.beat(visitor(sid, stream="free"), NOW) is None
            assert here.leases.beat(visitor(sid, stream="unknown"), NOW) is None
        assert len(here.leases) == 0

    async def test_segments_keep_a_slot_that_silence_frees(self, clock: Clock) -> None:
        here = node(limits(), clock)
        first, second = visitor("a", "tv"), visitor("b", "phone")
        assert await here.enter(first) is None
        for _ in range(20):
            clock.now += 6
            assert here.leases.beat(first, clock.now) is None
            occupied = await here.enter(second)
            assert occupied is not None
            assert [(other.session, other.device, other.since) for other in occupied.others] == [("a", "tv", NOW)]
        clock.now += 15
        assert await here.enter(second) is None
        assert is_refused(await here.play(first))
        assert here.stopped == []

    async def test_a_token_on_each_request_needs_no_entry(self, clock: Clock) -> None:
        here = node(limits(), clock)
        assert here.leases.beat(visitor("a"), NOW) is None
        assert is_refused(await here.play(visitor("b")))
        clock.now += 16
        assert await here.play(visitor("b")) is None

    async def test_the_token_has_the_last_word_on_the_limit(self, clock: Clock) -> None:
        here = node(limits(), clock)
        for sid in "abc":
            assert await here.enter(visitor(sid, stream="free", limit=StreamLimit(3))) is None
        assert await here.enter(visitor("d", stream="free", limit=StreamLimit(3))) is not None

    async def test_a_limit_for_each_title(self, clock: Clock) -> None:
        here = node(limits(scope=LimitScope.TITLE), clock)
        assert await here.enter(visitor("a", stream="news")) is None
        assert await here.enter(visitor("b", stream="sport")) is None
        assert await here.enter(visitor("c", stream="news")) is not None
        # One session on two titles holds a slot of each, and needs no more than one look for either.
        assert await here.enter(visitor("b", stream="news")) is not None
        clock.now += 4
        assert await here.play(visitor("b", stream="sport")) is None

    async def test_other_accounts_have_limits_of_their_own(self, clock: Clock) -> None:
        here = node(limits(), clock)
        assert await here.enter(visitor("a")) is None
        assert await here.enter(visitor("b", account="account-2")) is None
        assert await here.enter(visitor("c", issuer="https://other.example")) is None
        assert await here.enter(visitor("d")) is not None

    async def test_the_oldest_is_stopped_and_cut(self, clock: Clock) -> None:
        here = node(limits(streams=2, mode=LimitMode.STOP_OLDEST), clock)
        for sid in "abc":
            assert await here.enter(visitor(sid)) is None
            clock.now += 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert here.stopped == ["a"]
        assert here.cut == ["a"]
        assert is_refused(here.leases.refused(visitor("a"), clock.now))
        assert here.leases.refused(visitor("b"), clock.now) is None
        assert is_refused(await here.play(visitor("a")))
        assert await here.play(visitor("b")) is None

    async def test_a_device_that_zaps_follows_itself(self, clock: Clock) -> None:
        here = node(limits(), clock)
        for at, sid in enumerate("abcabc"):
            clock.now += 1
            assert await here.enter(visitor(sid, "tv", "news" if at % 2 else "sport")) is None
        assert is_refused(await here.play(visitor("a", "tv")))
        assert await here.play(visitor("c", "tv")) is None
        assert await here.enter(visitor("d", "phone")) is not None
        await asyncio.sleep(0)
        assert here.stopped == []
        assert here.cut == ["a", "b", "c", "a", "b"]

    async def test_two_playbacks_of_one_device_cannot_take_turns(self, clock: Clock) -> None:
        here = node(limits(), clock)
        await here.enter(visitor("a", "tv"))
        await here.enter(visitor("b", "tv"))
        for _ in range(20):
            clock.now += 2
            assert await here.play(visitor("b", "tv")) is None
            if clock.now < NOW + 30:
                assert is_refused(await here.play(visitor("a", "tv")))

    async def test_devices_are_counted(self, clock: Clock) -> None:
        here = node(limits(count=LimitCount.DEVICES), clock)
        for sid in "abc":
            assert await here.enter(visitor(sid, "tv")) is None
        assert await here.enter(visitor("d", "phone")) is not None
        for sid in "abc":
            assert await here.play(visitor(sid, "tv")) is None

    async def test_who_asks_may_end_another_of_the_account(self, clock: Clock) -> None:
        here = node(limits(mode=LimitMode.ASK), clock)
        await here.enter(visitor("0123456789"))
        await here.enter(visitor("x", account="account-2"))
        for wrong in ("", "x", "01234", "\udcff" * 9, "0" * 1000, "\x00"):
            assert await here.enter(visitor("b"), wrong) is not None
        occupied = await here.enter(visitor("b"))
        assert occupied is not None
        assert await here.enter(visitor("b"), occupied.others[0].session) is None
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert here.stopped == here.cut == ["0123456789"]
        assert await here.play(visitor("x", account="account-2")) is None

    async def test_a_revoked_session_frees_its_slot(self, clock: Clock) -> None:
        here = node(limits(), clock)
        await here.enter(visitor("a"))
        here.leases.release("a")
        here.leases.release("a")
        here.leases.release("never seen")
        assert await here.enter(visitor("b")) is None
        assert is_refused(await here.play(visitor("a")))

    async def test_two_platforms_may_use_one_session_id(self, clock: Clock) -> None:
        here = node(limits(), clock)
        ours, theirs = visitor("a"), visitor("a", issuer="https://other.example")
        assert await here.enter(ours) is None
        assert await here.enter(theirs) is None
        assert is_refused(await here.play(visitor("b")))
        assert (await here.play(ours), await here.play(theirs)) == (None, None)
        clock.now += 6
        assert await here.play(ours) is None
        clock.now += 10
        assert await here.enter(visitor("b", issuer="https://other.example")) is None
        assert await here.enter(visitor("b")) is not None

    async def test_a_session_id_names_the_sessions_of_all_platforms(self, clock: Clock) -> None:
        here = node(limits(), clock)
        both = [visitor("a"), visitor("a", issuer="https://other.example")]
        for who in both:
            await here.enter(who)
        here.leases.release("a")
        assert all([is_refused(await here.play(who)) for who in both])
        here.leases.forgive("a")
        assert [await here.play(who) for who in both] == [None, None]

    async def test_what_a_request_finds_out_does_not_cut_its_own_answer(self, clock: Clock) -> None:
        here = node(limits(), clock)
        await here.enter(visitor("a"))
        assert is_refused(await here.play(visitor("b")))
        assert here.cut == []
        await asyncio.sleep(0)
        assert here.cut == ["b"]

    async def test_what_has_gone_is_forgotten(self, clock: Clock) -> None:
        here = node(limits(), clock)
        for number in range(5000):
            clock.now += 1
            account = f"account-{number // 2}"
            await here.enter(visitor(str(number), account=account))
            await here.play(visitor(f"{number} too", account=account))
        assert len(here.leases) < 200
        assert len(here.leases._groups) < 200
        assert len(here.leases._turns) < 400

    async def test_a_new_configuration_rules_from_then_on(self, clock: Clock) -> None:
        here = node(limits(), clock)
        await here.enter(visitor("a"))
        here.leases.configure(limits(streams=2))
        assert await here.enter(visitor("b")) is None
        here.leases.configure({})
        assert await here.enter(visitor("c")) is None
        clock.now += 6
        assert await here.play(visitor("a")) is None

    async def test_a_stop_that_fails_is_no_one_elses_trouble(self, clock: Clock) -> None:
        async def stop(_: Sequence[str]) -> None:
            raise OSError("no journal")

        leases = StreamLeases(limits(mode=LimitMode.STOP_OLDEST), stop, lambda _: None, clock)
        here = Node(leases, clock)
        await here.enter(visitor("a"))
        assert await here.enter(visitor("b")) is None
        await asyncio.sleep(0.01)
        assert is_refused(await here.play(visitor("a")))
        await leases.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey_server() as running:
        yield running


@pytest.fixture
def valkey(server: Valkey) -> Valkey:
    """A running, empty server."""
    server.kill()
    server.start(Data.LOST)
    return server


Make = Callable[..., Node]


@pytest.fixture
async def make(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Makes nodes on a store; the store is looked for again soon after it was lost."""
    monkeypatch.setattr(leases_module, "PROBE_EVERY_S", 0.05)
    async with AsyncExitStack() as stack:

        def made(url: str, **settings: Any) -> Node:
            here = node(limits(**settings), time.time, LeaseStore(url, namespace="test"))
            stack.push_async_callback(here.leases.close)
            return here

        yield made


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline, "it never came about"
        await asyncio.sleep(0.02)


class TestShared:
    async def test_nodes_count_together(self, valkey: Valkey, make: Make) -> None:
        a, b = make(valkey.url, streams=2), make(valkey.url, streams=2)
        assert await a.enter(visitor("a", "tv")) is None
        assert await b.enter(visitor("b", "phone")) is None
        for here in (a, b):
            occupied = await here.enter(visitor("c"))
            assert occupied is not None
            assert [other.session for other in occupied.others] == ["a", "b"]

    async def test_only_the_first_segment_waits(self, valkey: Valkey, make: Make) -> None:
        here, other = make(valkey.url), make(valkey.url)
        assert await here.enter(visitor("a")) is None
        assert here.leases.beat(visitor("a"), here.clock()) is None
        first = other.leases.beat(visitor("a"), other.clock())
        assert isinstance(first, Pending)
        assert await other.leases.resume(first, other.clock()) is None
        assert other.leases.beat(visitor("a"), other.clock()) is None

    async def test_leases_last_while_segments_are_asked_for_and_no_longer(self, valkey: Valkey, make: Make) -> None:
        a, b = make(valkey.url, lease="1s"), make(valkey.url, lease="1s")
        await a.enter(visitor("a"))
        for _ in range(10):
            await asyncio.sleep(0.2)
            assert a.leases.beat(visitor("a"), a.clock()) is None
            assert await b.enter(visitor("b")) is not None
        await asyncio.sleep(1.1)
        assert await b.enter(visitor("b")) is None
        assert is_refused(await a.play(visitor("a")))

    async def test_nodes_that_race_never_exceed_the_limit(self, valkey: Valkey, make: Make) -> None:
        nodes = [make(valkey.url, streams=2) for _ in range(3)]
        for number in range(20):
            account = f"account-{number}"
            answers = await asyncio.gather(
                *(
                    here.enter(visitor(f"{name}-{at}-{number}", account=account))
                    for at in range(3)
                    for name, here in enumerate(nodes)
                )
            )
            assert answers.count(None) == 2

    async def test_who_must_give_way_elsewhere_is_refused_and_cut(self, valkey: Valkey, make: Make) -> None:
        a, b = make(valkey.url, lease="1s"), make(valkey.url, lease="1s")
        await a.enter(visitor("a", "tv"))
        assert await b.enter(visitor("b", "tv")) is None

        async def gave_way() -> bool:
            return is_refused(await a.play(visitor("a", "tv")))

        await until(gave_way, 0.6)
        await asyncio.sleep(0)
        assert a.cut == ["a"]
        assert is_refused(a.leases.refused(visitor("a", "tv"), a.clock()))
        assert await b.play(visitor("b", "tv")) is None
        # Whoever enters anew, at whatever node, is let in at once.
        assert await a.enter(visitor("a", "tv")) is None
        assert a.leases.beat(visitor("a", "tv"), a.clock()) is None

    async def test_the_node_that_admits_stops_the_oldest_wherever_it_is(self, valkey: Valkey, make: Make) -> None:
        a, b = (make(valkey.url, mode=LimitMode.STOP_OLDEST) for _ in range(2))
        await a.enter(visitor("a"))
        assert await b.enter(visitor("b")) is None
        await asyncio.sleep(0.01)
        assert b.stopped == ["a"]
        assert a.stopped == []

    async def test_a_viewer_ends_a_session_of_another_node(self, valkey: Valkey, make: Make) -> None:
        a, b = (make(valkey.url, mode=LimitMode.ASK) for _ in range(2))
        await a.enter(visitor("0123456789"))
        assert await b.enter(visitor("b"), "\udcff" * 8) is not None
        assert await b.enter(visitor("b"), "01234567") is None
        await asyncio.sleep(0.01)
        assert b.stopped == ["0123456789"]

    async def test_who_enters_overtakes_renewals(self, valkey: Valkey, make: Make) -> None:
        here = make(valkey.url)
        store = here.leases._store
        assert store is not None
        limit = StreamLimit(1)
        renewals = [store.admit(bytes(16), Ask(str(at), "", "news", limit, 15.0)) for at in range(2000)]
        assert await here.enter(visitor("a")) is None
        assert sum(renewal.done() for renewal in renewals) < 1000
        await asyncio.gather(*renewals)

    async def test_a_release_frees_the_slot_everywhere(self, valkey: Valkey, make: Make) -> None:
        a, b = make(valkey.url), make(valkey.url)
        await a.enter(visitor("a"))
        a.leases.release("a")
        await asyncio.sleep(0.05)
        assert await b.enter(visitor("b")) is None
        assert is_refused(await b.play(visitor("a")))

    async def test_a_title_of_two_streams_needs_no_question_for_each_segment(self, valkey: Valkey, make: Make) -> None:
        here = make(valkey.url, scope=LimitScope.TITLE)
        news, sport = visitor("a", stream="news"), visitor("a", stream="sport")
        await here.enter(news)
        await here.enter(sport)
        for _ in range(3):
            assert here.leases.beat(news, here.clock()) is None
            assert here.leases.beat(sport, here.clock()) is None


class TestStoreAway:
    async def test_a_node_goes_on_alone_with_some_more(self, valkey: Valkey, make: Make) -> None:
        here = make(valkey.url, streams=2, extra=1)
        for sid in "ab":
            assert await here.enter(visitor(sid)) is None
        valkey.kill()
        started = time.monotonic()
        assert await here.enter(visitor("c")) is None
        assert time.monotonic() - started < 0.5
        started = time.monotonic()
        occupied = await here.enter(visitor("d"))
        assert occupied is not None
        assert [other.session for other in occupied.others] == ["a", "b", "c"]
        # Once it is known to be away, nobody waits.
        assert time.monotonic() - started < 0.05
        for sid in "abc":
            assert await here.play(visitor(sid)) is None
        assert is_refused(await here.play(visitor("d")))

    async def test_without_extra_a_node_alone_keeps_the_limit(self, valkey: Valkey, make: Make) -> None:
        here = make(valkey.url, extra=0)
        assert await here.enter(visitor("a")) is None
        valkey.kill()
        assert await here.enter(visitor("b")) is not None

    async def test_leases_outlive_an_outage_and_a_store_that_forgot_them(self, valkey: Valkey, make: Make) -> None:
        a, b = make(valkey.url, extra=0, lease="2s"), make(valkey.url, extra=0, lease="2s")
        await a.enter(visitor("a"))
        valkey.kill()
        for _ in range(15):
            await asyncio.sleep(0.2)
            assert await a.play(visitor("a")) is None
        valkey.start(Data.LOST)

        async def shared_again() -> bool:
            return not a.leases._alone

        await until(shared_again)
        await asyncio.sleep(0.1)
        # No segment was asked for since, yet the slot is taken.
        assert await b.enter(visitor("b")) is not None
        assert await a.play(visitor("a")) is None

    async def test_who_was_one_too_many_is_refused_when_the_store_is_back(self, valkey: Valkey, make: Make) -> None:
        a, b = make(valkey.url, lease="2s"), make(valkey.url, lease="2s")
        await a.enter(visitor("a"))
        valkey.kill()
        assert await b.enter(visitor("b")) is None
        valkey.start(Data.KEPT)

        async def one_is_left() -> bool:
            answers = [await a.play(visitor("a")), await b.play(visitor("b"))]
            return sum(map(is_refused, answers)) == 1

        await until(one_is_left)
        assert sorted(a.cut + b.cut) in (["a"], ["b"])

    @pytest.mark.parametrize("fault", ["slow", Mode.BLACKHOLE, Mode.DROP_ANSWERS, Mode.RESET, Mode.REFUSE])
    async def test_no_segment_waits_long_for_a_store(self, valkey: Valkey, make: Make, fault: Any) -> None:
        with faulty_proxy(valkey.address) as proxy:
            here = make(proxy.url, streams=5)
            assert await here.enter(visitor("a")) is None
            break_off(proxy, fault)
            waits = []
            for sid in "abcde":
                started = time.monotonic()
                assert await here.play(visitor(sid)) is None
                waits.append(time.monotonic() - started)
            assert max(waits) < 0.35
            assert sorted(waits)[-2] < 0.05
            break_off(proxy, Mode.PASS)

            async def shared_again() -> bool:
                return not here.leases._alone

            await until(shared_again)
            # Answers that came too late must not be taken for those of later calls.
            elsewhere = make(valkey.url, streams=5)
            assert await elsewhere.enter(visitor("f")) is not None
            assert await here.enter(visitor("f")) is not None

    async def test_a_store_that_never_was_is_waited_for_once(self, make: Make) -> None:
        here = make("redis://127.0.0.1:9/0", extra=1)
        assert await here.enter(visitor("a")) is None
        assert await here.enter(visitor("b")) is None
        assert await here.enter(visitor("c")) is not None


def break_off(proxy: FaultyProxy, fault: Any) -> None:
    proxy.delay_s = 1.0 if fault == "slow" else 0.0
    proxy.mode = Mode.PASS if fault == "slow" else fault
