"""The leases of one node and those of several decide alike: each scenario runs on both, one of them a real Valkey."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol

import pytest
from redis.asyncio import Redis

from relay.gate.limits import Admitted, Ask, Ended, Group, Occupied, Outcome
from relay.model import LimitCount, LimitMode, LimitScope, StreamLimit
from relay.sessions.lease_store import LeaseStore
from relay.sessions.leases import StoreAwayError
from tests.valkey import Valkey, valkey_server

GROUP = bytes(range(16))
LEASE_S = 15.0


class Book(Protocol):
    async def admit(self, ask: Ask) -> Outcome: ...
    async def end(self, sid: str) -> None: ...
    async def wait(self, seconds: float) -> None: ...


class LocalBook:
    def __init__(self) -> None:
        self.group = Group(GROUP)
        self.now = 1_790_000_000.0

    async def admit(self, ask: Ask) -> Outcome:
        self.now += 0.002
        return self.group.admit(ask, self.now)

    async def end(self, sid: str) -> None:
        self.group.end(sid, self.now + 2 * LEASE_S)

    async def wait(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class SharedBook:
    store: LeaseStore
    client: Redis
    group: bytes = GROUP

    async def admit(self, ask: Ask) -> Outcome:
        return await self.store.admit(self.group, ask)

    async def end(self, sid: str) -> None:
        await self.store.end(self.group, sid, 2 * LEASE_S)

    async def wait(self, seconds: float) -> None:
        # Leases age by moving their ends: the server's clock cannot be set.
        key = f"test:lease:{{{self.group.hex()}}}"
        members: list[Any] = await self.client.zrange(key, 0, -1)
        for member in members:
            await self.client.zincrby(key, -seconds * 1000, member)


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey_server() as running:
        yield running


@pytest.fixture
async def shared(server: Valkey) -> AsyncIterator[SharedBook]:
    store, client = LeaseStore(server.url, namespace="test"), Redis.from_url(server.url)
    await client.flushall()
    yield SharedBook(store, client)
    await store.close()
    await client.aclose()


@pytest.fixture(params=["one node", "valkey"])
def book(request: pytest.FixtureRequest) -> Book:
    if request.param == "one node":
        return LocalBook()
    found: Book = request.getfixturevalue("shared")
    return found


def ask(sid: str, device: str = "", **settings: Any) -> Ask:
    """An ask to enter; settings of the limit and of the ask."""
    limit = StreamLimit(1)
    of_limit = {name: settings.pop(name) for name in ("most", "mode", "scope", "count") if name in settings}
    base = Ask(sid, device, "news", replace(limit, **of_limit), LEASE_S, entering=True)
    return replace(base, **settings)


def gone(outcome: Outcome) -> tuple[tuple[str, ...], tuple[str, ...]]:
    assert isinstance(outcome, Admitted), outcome
    return outcome.stopped, outcome.replaced


def names(outcome: Outcome) -> list[str]:
    assert isinstance(outcome, Occupied), outcome
    return [other.session for other in outcome.others]


NOBODY: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


async def test_a_new_session_is_refused_while_others_hold_every_slot(book: Book) -> None:
    assert gone(await book.admit(ask("a", "tv", most=2))) == NOBODY
    assert gone(await book.admit(ask("b", "phone", most=2))) == NOBODY
    refusal = await book.admit(ask("c", "car", most=2))
    assert names(refusal) == ["a", "b"]
    assert isinstance(refusal, Occupied)
    assert [(other.device, other.stream) for other in refusal.others] == [("tv", "news"), ("phone", "news")]


async def test_requests_keep_a_slot_and_silence_frees_it(book: Book) -> None:
    await book.admit(ask("a"))
    for _ in range(4):
        await book.wait(10)
        assert gone(await book.admit(ask("a", entering=False))) == NOBODY
    await book.wait(14)
    assert names(await book.admit(ask("b"))) == ["a"]
    await book.wait(1.1)
    assert gone(await book.admit(ask("b"))) == NOBODY
    assert names(await book.admit(ask("a", entering=False))) == ["b"]


@pytest.mark.parametrize(
    "reply", [["maybe"], [], None, b"admitted", ["admitted", "now", [], []], ["occupied", [["a"]]], ["occupied", [1]]]
)
async def test_a_reply_that_makes_no_sense_is_none(
    shared: SharedBook, monkeypatch: pytest.MonkeyPatch, reply: object
) -> None:
    async def answer(calls: Sequence[object]) -> list[object]:
        return [reply] * len(calls)

    with monkeypatch.context() as patch:
        patch.setattr(shared.store, "_pipe", answer)
        with pytest.raises(StoreAwayError):
            await asyncio.wait_for(shared.admit(ask("a")), 2)
    assert isinstance(await shared.admit(ask("a")), Admitted)


async def test_the_session_that_began_first_is_stopped_and_stays_stopped(book: Book) -> None:
    rule: Any = {"most": 2, "mode": LimitMode.STOP_OLDEST}
    await book.admit(ask("a", **rule))
    await book.admit(ask("b", **rule))
    # Asking more often does not make it older or younger.
    await book.admit(ask("a", entering=False, **rule))
    assert gone(await book.admit(ask("c", **rule))) == (("a",), ())
    assert await book.admit(ask("a", entering=False, **rule)) == Ended()
    await book.wait(12)
    await book.admit(ask("b", entering=False, **rule))
    await book.admit(ask("c", entering=False, **rule))
    await book.wait(12)
    assert await book.admit(ask("a", entering=False, **rule)) == Ended()
    assert gone(await book.admit(ask("a", **rule))) == (("b",), ())


async def test_a_device_follows_itself_at_once(book: Book) -> None:
    await book.admit(ask("a", "tv"))
    assert gone(await book.admit(ask("b", "tv", stream="sport"))) == ((), ("a",))
    assert await book.admit(ask("a", "tv", entering=False)) == Ended()
    # Zapping back is entering again.
    assert gone(await book.admit(ask("a", "tv"))) == ((), ("b",))
    assert names(await book.admit(ask("c", "phone"))) == ["a"]
    assert names(await book.admit(ask("d"))) == ["a"]


async def test_a_device_gives_up_the_playback_it_left(book: Book) -> None:
    await book.admit(ask("a", "tv", most=2))
    await book.wait(5)
    await book.admit(ask("b", "tv", most=2))
    await book.wait(5)
    await book.admit(ask("a", "tv", most=2, entering=False))
    assert gone(await book.admit(ask("c", "tv", most=2))) == ((), ("b",))


async def test_devices_count_once_however_many_sessions_they_have(book: Book) -> None:
    rule: Any = {"count": LimitCount.DEVICES, "most": 2}
    for sid in "abc":
        assert gone(await book.admit(ask(sid, "tv", **rule))) == NOBODY
    assert gone(await book.admit(ask("d", "phone", **rule))) == NOBODY
    assert names(await book.admit(ask("e", "car", **rule))) == ["a", "b", "c", "d"]
    # A session without a device is one of its own, whatever others are called.
    assert names(await book.admit(ask("tv", "", **rule))) == ["a", "b", "c", "d"]
    assert gone(await book.admit(ask("e", "car", mode=LimitMode.STOP_OLDEST, **rule))) == (("a", "b", "c"), ())


async def test_the_viewer_may_end_another_session(book: Book) -> None:
    rule: Any = {"most": 2, "mode": LimitMode.ASK}
    await book.admit(ask("0123456789ab", **rule))
    await book.admit(ask("0123456700ff", **rule))
    assert names(await book.admit(ask("c", **rule))) == ["012345678", "012345670"]
    for wrong in ("0123456", "01234567", "nobody-here", "c"):
        assert len(names(await book.admit(ask("c", terminate=wrong, **rule)))) == 2
    assert gone(await book.admit(ask("c", terminate="012345670", **rule))) == (("0123456700ff",), ())
    assert await book.admit(ask("0123456700ff", entering=False, **rule)) == Ended()
    assert gone(await book.admit(ask("d", terminate="0123456789ab", **rule))) == (("0123456789ab",), ())
    # Nobody ends himself, nor anyone where the limit does not ask.
    assert gone(await book.admit(ask("d", terminate="d", **rule))) == NOBODY
    assert names(await book.admit(ask("e", terminate="d", most=2))) == ["c", "d"]


async def test_a_lower_limit_ends_as_many_as_it_takes(book: Book) -> None:
    for sid in "abc":
        await book.admit(ask(sid, most=3))
    assert names(await book.admit(ask("d"))) == ["a", "b", "c"]
    assert gone(await book.admit(ask("d", most=2, mode=LimitMode.STOP_OLDEST))) == (("a", "b"), ())


async def test_an_ended_session_holds_nothing_and_enters_again(book: Book) -> None:
    await book.admit(ask("a"))
    await book.end("a")
    assert await book.admit(ask("a", entering=False)) == Ended()
    assert gone(await book.admit(ask("b"))) == NOBODY
    await book.end("b")
    assert gone(await book.admit(ask("a"))) == NOBODY
    await book.end("a")
    await book.wait(31)
    assert gone(await book.admit(ask("a", entering=False))) == NOBODY


async def test_a_session_says_since_when_it_has_been_admitted(book: Book) -> None:
    first = await book.admit(ask("a", most=2))
    assert isinstance(first, Admitted)
    again = await book.admit(ask("a", most=2, since=first.since - 100, entering=False))
    assert isinstance(again, Admitted)
    assert again.since == pytest.approx(first.since, abs=0.002)
    # A store that has lost its leases learns from the nodes which began first.
    late = await book.admit(ask("b", most=2, since=first.since - 100, entering=False))
    assert isinstance(late, Admitted)
    assert late.since == pytest.approx(first.since - 100, abs=0.002)
    assert gone(await book.admit(ask("c", most=2, mode=LimitMode.STOP_OLDEST))) == (("b",), ())
    # The future is nobody's claim.
    future = await book.admit(ask("d", most=3, since=first.since + 1e6, entering=False))
    assert isinstance(future, Admitted)
    assert future.since < first.since + 60


@pytest.mark.parametrize("seed", range(20))
async def test_any_run_of_requests_ends_alike(shared: SharedBook, seed: int) -> None:
    random = Random(seed)
    local, shared.group = LocalBook(), bytes([seed]) * 16
    limit = StreamLimit(
        random.randint(1, 3), random.choice(list(LimitMode)), LimitScope.ACCOUNT, random.choice(list(LimitCount))
    )
    for step in range(60):
        if random.random() < 0.25:
            # Never to the very end of a lease: the two clocks go differently.
            pause = random.choice([2.0, 4.0, 7.9])
            await asyncio.gather(local.wait(pause), shared.wait(pause))
        if random.random() < 0.05:
            sid = random.choice("abcdef")
            await asyncio.gather(local.end(sid), shared.end(sid))
        wanted = Ask(
            random.choice("abcdef"),
            random.choice(["", "tv", "phone"]),
            random.choice(["news", "sport"]),
            limit,
            LEASE_S,
            entering=random.random() < 0.5,
            terminate=random.choice(["", *"abcdef"]),
        )
        here, there = _timeless(await local.admit(wanted)), _timeless(await shared.admit(wanted))
        assert here == there, (step, wanted)


def _timeless(outcome: Outcome) -> Outcome:
    if isinstance(outcome, Admitted):
        return replace(outcome, since=0.0)
    if isinstance(outcome, Occupied):
        return Occupied(tuple(replace(other, since=0.0) for other in outcome.others))
    return outcome


async def test_keys_expire_by_themselves_and_name_no_account(shared: SharedBook) -> None:
    await shared.admit(ask("a"))
    await shared.end("a")
    keys = await shared.client.keys("*")
    assert len(keys) in (1, 2)
    for key in keys:
        assert 0 < await shared.client.pttl(key) <= 3 * LEASE_S * 1000


async def test_a_race_of_many_nodes_never_exceeds_a_limit(server: Valkey, shared: SharedBook) -> None:
    nodes = [LeaseStore(server.url, namespace="test") for _ in range(4)]
    for round_ in range(20):
        group = bytes([100 + round_]) * 16
        outcomes = await asyncio.gather(
            *(node.admit(group, ask(f"{number}-{at}", most=3)) for at in range(10) for number, node in enumerate(nodes))
        )
        assert sum(isinstance(outcome, Admitted) for outcome in outcomes) == 3
    for node in nodes:
        await node.close()
