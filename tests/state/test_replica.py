"""The replica: applied at once, durable when acknowledged, and the same on every node whatever fails in between."""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from keys.seal import Sealer
from relay.errors import JournalError
from relay.gate.targets import Target, TargetType
from relay.model import Cut
from relay.state import members, repair
from relay.state.database import MEMORY
from relay.state.events import Action, Event, Revocation, encode_batch
from relay.state.journal import Journal
from relay.state.log import LogSettings, SharedLog
from relay.state.messages import Envelope, Message, messages_of, offers_of, spans_of
from relay.state.replica import Draft, Replica, Wait, enough, new_incarnation
from relay.state.state import State
from tests.proxy import FaultyProxy, Mode, faulty_proxy
from tests.valkey import Data, Valkey, valkey_server

ENVELOPE = Envelope(Sealer([b"k" * 32]))
LATER = 4_000_000_000.0


class SlowJournal(Journal):
    """A journal whose disk takes as long as the test says, or is full."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self.disk = threading.Event()
        self.disk.set()
        self.full = False
        self.transactions = 0

    def append(self, events: Sequence[Event]) -> None:
        self.disk.wait(timeout=5)  # a test that failed in between must not hang
        if self.full:
            raise JournalError("full")
        self.transactions += 1
        super().append(events)


class Node:
    """One replica with its journal; ``skew_s`` is how wrong its clock is."""

    def __init__(self, name: str, path: Path | str, url: str = "", skew_s: float = 0.0) -> None:
        self.name = name
        self.journal = SlowJournal(path)
        origin = new_incarnation()
        log = SharedLog(LogSettings(url, io_timeout_s=0.6), ENVELOPE, origin) if url else None
        self.log = log
        self.replica = Replica(State(), self.journal, lambda: time.time() + skew_s, name, origin, log)
        self.applied: list[tuple[str, str]] = []
        self.replica.on_applied.append(self._note)

    def _note(self, events: Sequence[Event], path: str) -> Cut:
        self.applied += [(event.value, path) for event in events if isinstance(event, Revocation)]
        return Cut(len(events), 2 * len(events))

    def draft(self, *sids: str, action: Action = Action.REVOKE) -> list[Revocation]:
        drafts = [
            Draft(action=action, type=TargetType.SESSION, value=sid, created_at=time.time(), expires_at=LATER)
            for sid in sids
        ]
        return self.replica.stamp(drafts)

    async def submit(self, *sids: str, action: Action = Action.REVOKE, ask: bool = False) -> list[Revocation]:
        """What every control call does: apply, then make durable and publish side by side."""
        events = self.draft(*sids, action=action)
        self.replica.apply(events)
        await asyncio.gather(self.replica.persist(events), self.replica.publish(events, ask))
        return events

    def revokes(self, *sids: str) -> bool:
        standings = [self.replica.state.revocations.get(Target(TargetType.SESSION, sid)) for sid in sids]
        return all(standing is not None and standing.revoked for standing in standings)

    async def crash(self) -> None:
        """Stop as kill -9 does, as far as a test in one process can: nothing is flushed, nobody is told."""
        for task in self.replica._tasks:
            task.cancel()
        await asyncio.wait(self.replica._tasks, timeout=1)
        if self.log is not None:
            await self.log._hang_up()
        commit = self.replica._commit
        if commit._task is not None:
            commit._task.cancel()
            await asyncio.wait([commit._task])
        commit._thread.shutdown()
        self.journal.close()


async def until(condition: Callable[[], object], timeout_s: float = 8.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.01)


class Cluster:
    """Nodes on one server, by name; journals keep their place over restarts."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self._stack = AsyncExitStack()
        self.nodes: dict[str, Node] = {}

    async def start(self, name: str, url: str = "", skew_s: float = 0.0, ready: bool = True) -> Node:
        node = Node(name, self.folder / f"{name}.sqlite", url or self.url, skew_s)
        await node.replica.start()
        self.nodes[name] = node
        if ready:
            await until(lambda: node.replica.ready)
        return node

    async def crash(self, name: str) -> None:
        await self.nodes.pop(name).crash()

    async def stop(self, name: str) -> None:
        node = self.nodes.pop(name)
        await node.replica.close()
        node.journal.close()

    async def all_know_each_other(self) -> None:
        count = len(self.nodes) - 1
        await until(lambda: all(len(n.replica.members()) >= count for n in self.nodes.values()))

    async def all_revoke(self, *sids: str, timeout_s: float = 8.0) -> None:
        await until(lambda: all(node.revokes(*sids) for node in self.nodes.values()), timeout_s)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds in life takes tenths here."""
    monkeypatch.setattr(repair, "ROLL_S", 0.1)
    monkeypatch.setattr(repair, "STARTING_ROLL_S", 0.05)
    monkeypatch.setattr(repair, "OFFERED_FOR_S", 0.5)
    monkeypatch.setattr(members, "PATIENCE_S", 0.15)
    monkeypatch.setattr(members, "SILENT_S", 1.0)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Valkey]:
    with valkey_server() as server:
        yield server


@pytest.fixture
async def server(shared_server: Valkey) -> Valkey:
    async with Redis.from_url(shared_server.url) as client:
        await client.flushall()
    return shared_server


@pytest.fixture
def mortal() -> Iterator[Valkey]:
    with valkey_server() as server:
        yield server


@asynccontextmanager
async def cluster_on(server: Valkey, folder: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(folder, server.url)
    try:
        yield cluster
    finally:
        for name in list(cluster.nodes):
            await cluster.stop(name)


@pytest.fixture
async def cluster(server: Valkey, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster_on(server, tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def fragile(mortal: Valkey, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster_on(mortal, tmp_path) as cluster:
        yield cluster


@pytest.fixture
def proxy(server: Valkey) -> Iterator[FaultyProxy]:
    with faulty_proxy(server.address) as proxy:
        yield proxy


@asynccontextmanager
async def alone(path: Path | str) -> AsyncIterator[Node]:
    node = Node("alone", path)
    await node.replica.start()
    try:
        yield node
    finally:
        await node.replica.close()
        node.journal.close()


# One node, no log.


async def test_an_event_is_applied_before_it_is_durable_and_acknowledged_after(tmp_path: Path) -> None:
    async with alone(tmp_path / "j.sqlite") as node:
        assert node.replica.ready
        assert node.replica.age(0) == 0
        node.journal.disk.clear()
        submitted = asyncio.ensure_future(node.submit("s1"))
        await asyncio.sleep(0.02)
        assert node.revokes("s1")
        assert not submitted.done()
        node.journal.disk.set()
        await submitted
    async with alone(tmp_path / "j.sqlite") as again:
        assert again.revokes("s1")
        assert again.applied == []
        events = await again.submit("s1", action=Action.RESTORE)
        assert not again.revokes("s1")
        assert await again.replica.reports(events, Wait.ALL, 0.1, 0.0) == []
        assert enough([], Wait.ALL)


async def test_what_waits_for_the_disk_shares_a_transaction(tmp_path: Path) -> None:
    async with alone(tmp_path / "j.sqlite") as node:
        node.journal.disk.clear()
        waiting = [asyncio.ensure_future(node.submit(f"s{number}")) for number in range(500)]
        await asyncio.sleep(0.05)
        node.journal.disk.set()
        await asyncio.gather(*waiting)
        assert node.journal.transactions <= 5
        assert node.journal.vector() == {node.replica.origin: 500}


async def test_who_hangs_up_takes_nobody_along(tmp_path: Path) -> None:
    async with alone(tmp_path / "j.sqlite") as node:
        node.journal.disk.clear()
        leaving, staying = (asyncio.ensure_future(node.submit(sid)) for sid in ("s1", "s2"))
        await asyncio.sleep(0.02)
        leaving.cancel()
        await asyncio.sleep(0.02)
        node.journal.disk.set()
        await staying
        assert node.journal.vector() == {node.replica.origin: 2}


async def test_a_full_disk_acknowledges_nothing_and_catches_up_later(tmp_path: Path) -> None:
    async with alone(tmp_path / "j.sqlite") as node:
        node.journal.full = True
        with pytest.raises(JournalError):
            await node.submit("s1")
        assert node.revokes("s1")
        started = time.monotonic()
        with pytest.raises(JournalError):
            await node.submit("s2")
        assert time.monotonic() - started < 0.5  # the next order does not wait for the retry
        node.journal.full = False
        await until(lambda: node.journal.vector() == {node.replica.origin: 2})


async def test_a_node_that_keeps_nothing() -> None:
    async with alone(MEMORY) as node:
        await node.submit("s1")
        assert node.revokes("s1")


async def test_a_snapshot_spares_the_replay(tmp_path: Path) -> None:
    path, snapshot = tmp_path / "j.sqlite", tmp_path / "snapshot"
    for round_ in range(2):
        journal = Journal(path)
        replica = Replica(State(), journal, time.time, "one", new_incarnation(), snapshot=snapshot)
        await replica.start()
        assert len(replica.state.revocations) == round_
        draft = Draft(action=Action.REVOKE, type=TargetType.SESSION, value=f"s{round_}", created_at=0, expires_at=LATER)
        events = replica.stamp([draft])
        replica.apply(events)
        await replica.persist(events)
        await replica._upkeep.save()
        await replica.close()
        journal.close()
    snapshot.write_bytes(b"damaged")
    async with alone(path) as node:
        assert node.revokes("s0", "s1")


# Several nodes.


async def test_a_revocation_is_everywhere_in_milliseconds_and_proven(cluster: Cluster) -> None:
    a, b, c = [await cluster.start(name) for name in ("a", "b", "c")]
    await cluster.all_know_each_other()
    taken = []
    for number in range(20):
        started = time.perf_counter()
        events = await a.submit(f"s{number}", ask=True)
        reports = await a.replica.reports(events, Wait.ALL, 2, started)
        assert {(r.node, r.state, r.sessions_cut, r.responses_cut) for r in reports} == {
            ("b", "applied", 1, 2),
            ("c", "applied", 1, 2),
        }
        taken += [report.applied_ms or 0 for report in reports]
    assert 0 < sorted(taken)[len(taken) // 2] < 100
    await cluster.all_revoke(*(f"s{number}" for number in range(20)))
    assert {path for _, path in a.applied} == {"local"}
    assert {path for _, path in b.applied} == {"stream"}
    assert a.replica.age(0) < 1
    await until(lambda: all(node.journal.vector() == {a.replica.origin: 20} for node in (b, c)))


async def test_ten_thousand_at_once(cluster: Cluster) -> None:
    a, b = [await cluster.start(name) for name in ("a", "b")]
    await cluster.all_know_each_other()
    started = time.perf_counter()
    events = await a.submit(*(f"s{number}" for number in range(10_000)), ask=True)
    reports = await a.replica.reports(events, Wait.ALL, 10, started)
    assert [(r.state, r.sessions_cut) for r in reports] == [("applied", 10_000)]
    assert len(b.replica.state.revocations) == 10_000


async def test_what_stands_is_the_same_everywhere_though_clocks_differ(cluster: Cluster) -> None:
    fast = await cluster.start("fast", skew_s=300)
    slow = await cluster.start("slow", skew_s=-300)
    await cluster.all_know_each_other()
    await fast.submit("s1")
    await until(lambda: slow.revokes("s1"))
    # Who restores what he sees revoked stands above it, ten minutes behind as he is.
    await slow.submit("s1", action=Action.RESTORE)
    assert not slow.revokes("s1")
    await until(lambda: not fast.revokes("s1"))
    assert [n.replica.age(0) < 1 for n in (fast, slow)] == [True, True]


async def test_waiting_for_nodes_that_do_not_answer(cluster: Cluster) -> None:
    a, *_ = [await cluster.start(name) for name in ("a", "b", "c")]
    await cluster.all_know_each_other()
    await cluster.crash("c")
    started = time.perf_counter()
    events = await a.submit("s1", ask=True)
    reports = await a.replica.reports(events, Wait.QUORUM, 2, started)
    assert time.perf_counter() - started < 1
    assert enough(reports, Wait.QUORUM)
    assert sorted((r.node, r.state) for r in reports) == [("b", "applied"), ("c", "pending")]
    events = await a.submit("s2", ask=True)
    reports = await a.replica.reports(events, Wait.ALL, 0.3, started)
    assert not enough(reports, Wait.ALL)
    await until(lambda: not all(view.live for view in a.replica.members()))
    events = await a.submit("s3", ask=True)
    started = time.perf_counter()
    reports = await a.replica.reports(events, Wait.ALL, 5, started)
    assert time.perf_counter() - started < 2  # nobody waits for a node that is gone
    assert sorted((r.node, r.state) for r in reports) == [("b", "applied"), ("c", "unreachable")]
    await cluster.start("c")
    await until(lambda: [view.live for view in a.replica.members()] == [True, True])


async def test_a_node_that_leaves_in_good_order_is_not_missed(cluster: Cluster) -> None:
    a, _ = [await cluster.start(name) for name in ("a", "b")]
    await cluster.all_know_each_other()
    await cluster.stop("b")
    await until(lambda: a.replica.members() == [])


async def test_without_the_log_no_quorum_is_claimed(tmp_path: Path) -> None:
    node = Node("a", tmp_path / "j.sqlite", "redis://127.0.0.1:1/0")
    await node.replica.start()
    try:
        events = await node.submit("s1", ask=True)
        reports = await node.replica.reports(events, Wait.QUORUM, 1, 0.0)
        assert [report.state for report in reports] == ["unreachable"]
        assert not enough(reports, Wait.QUORUM)
        assert not node.replica.ready
        assert node.replica.age(0) == float("inf")
    finally:
        await node.replica.close()
        node.journal.close()


# Faults.


async def test_fault_log_down_then_back(fragile: Cluster, mortal: Valkey) -> None:
    a, b, _ = [await fragile.start(name) for name in ("a", "b", "c")]
    await a.submit("before")
    await fragile.all_revoke("before")
    mortal.kill()
    await a.submit("s1")
    await b.submit("s2")
    assert a.revokes("s1")
    await asyncio.sleep(0.5)
    assert a.replica.age(0) > 0.3
    assert not b.revokes("s1")
    mortal.start()
    await fragile.all_revoke("s1", "s2")
    await until(lambda: all(node.replica.age(0) < 1 for node in fragile.nodes.values()))


@pytest.mark.parametrize("data", [Data.CHECKPOINT, Data.LOST])
async def test_fault_failover_lost_the_last_writes(fragile: Cluster, mortal: Valkey, data: Data) -> None:
    a, b = [await fragile.start(name) for name in ("a", "b")]
    await a.submit("s1")
    await fragile.all_revoke("s1")
    mortal.checkpoint()
    assert b.log is not None
    b.log.connected, follow = False, b.replica._tasks[1]
    follow.cancel()  # b does not read what is lost
    await a.submit("s2", "s3")
    await until(lambda: not any(a.log._queues) if a.log else True)
    mortal.kill()
    mortal.start(data)
    b.replica._tasks[1] = asyncio.ensure_future(b.log.follow(b.replica._receive, b.replica._hear))
    await fragile.all_revoke("s1", "s2", "s3")
    late = await fragile.start("late")
    assert late.revokes("s1", "s2", "s3")


async def test_fault_a_lost_event_makes_the_state_stale_until_it_is_offered_again(
    cluster: Cluster, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = [await cluster.start(name) for name in ("a", "b")]
    await cluster.all_know_each_other()
    assert a.replica._repair is not None
    monkeypatch.setattr(a.replica._repair, "_offer", lambda: asyncio.sleep(0))
    events = a.draft("s1")
    a.replica.apply(events)
    await a.replica.persist(events)  # and never published
    await asyncio.sleep(1)
    assert b.replica.age(0) > 0.5  # though every read is answered
    monkeypatch.undo()
    await cluster.all_revoke("s1")
    await until(lambda: b.replica.age(0) < 0.5)
    assert b.applied == [("s1", "stream")]


async def test_fault_killed_after_journal_and_before_publish(cluster: Cluster) -> None:
    a, b = [await cluster.start(name) for name in ("a", "b")]
    events = a.draft("s1")
    a.replica.apply(events)
    await a.replica.persist(events)
    await cluster.crash("a")
    await asyncio.sleep(0.3)
    assert not b.revokes("s1")
    again = await cluster.start("a")
    assert again.revokes("s1")
    assert again.replica.origin != a.replica.origin
    await cluster.all_revoke("s1")
    assert b.applied == [("s1", "antientropy")]


async def test_fault_killed_after_publish_and_before_journal(cluster: Cluster, server: Valkey) -> None:
    a, b = [await cluster.start(name) for name in ("a", "b")]
    a.journal.disk.clear()
    events = a.draft("s1")
    a.replica.apply(events)
    await a.replica.publish(events)
    await until(lambda: b.revokes("s1"))
    a.journal.full = True
    a.journal.disk.set()
    await cluster.crash("a")
    async with Redis.from_url(server.url) as client:
        await client.delete("segmentgate:events")  # nor does the log have it: b alone can give it back
    again = await cluster.start("a")
    assert again.revokes("s1")


async def test_fault_a_new_node_with_nothing(cluster: Cluster, server: Valkey) -> None:
    a, *_ = [await cluster.start(name) for name in ("a", "b")]
    await a.submit(*(f"s{number}" for number in range(1000)))
    await cluster.all_revoke("s999")
    async with Redis.from_url(server.url) as client:
        await client.delete("segmentgate:events")
    new = await cluster.start("new")
    assert new.revokes(*(f"s{number}" for number in range(1000)))
    await until(lambda: new.journal.vector().get(a.replica.origin) == 1000)


async def test_fault_nothing_but_journals_is_left(cluster: Cluster, server: Valkey, tmp_path: Path) -> None:
    """All nodes and the log die; one node comes back alone, then another; both know everything either knew."""
    a, b = [await cluster.start(name) for name in ("a", "b")]
    await a.submit("s1")
    await b.submit("s2")
    await cluster.all_revoke("s1", "s2")
    await until(lambda: len(a.journal.vector()) == len(b.journal.vector()) == 2)
    for name in ("a", "b"):
        await cluster.crash(name)
    async with Redis.from_url(server.url) as client:
        await client.flushall()
    (tmp_path / "b.sqlite").unlink()
    for left in ("b.sqlite-wal", "b.sqlite-shm"):
        (tmp_path / left).unlink(missing_ok=True)
    await cluster.start("a")
    assert (await cluster.start("b")).revokes("s1", "s2")


@pytest.mark.parametrize("mode", [Mode.BLACKHOLE, Mode.DROP_REQUESTS, Mode.DROP_ANSWERS, Mode.REFUSE])
async def test_fault_partition(cluster: Cluster, proxy: FaultyProxy, mode: Mode) -> None:
    a = await cluster.start("a")
    cut_off = await cluster.start("cut off", proxy.url)
    await cluster.all_know_each_other()
    proxy.mode = mode
    await a.submit("s1")
    await cut_off.submit("s2")
    await asyncio.sleep(0.8)
    assert cut_off.replica.age(0) > 0.5
    assert not cut_off.revokes("s1")
    proxy.mode = Mode.PASS
    await cluster.all_revoke("s1", "s2")
    await until(lambda: cut_off.replica.age(0) < 1)


async def test_fault_log_slow(cluster: Cluster, proxy: FaultyProxy) -> None:
    proxy.delay_s = 0.1
    a, b = await cluster.start("a"), await cluster.start("slow", proxy.url)
    await cluster.all_know_each_other()
    started = time.perf_counter()
    events = await a.submit("s1", ask=True)
    reports = await a.replica.reports(events, Wait.ALL, 3, started)
    assert [report.state for report in reports] == ["applied"]
    assert (reports[0].applied_ms or 0) > 200  # both ways
    assert b.replica.age(0) < 2


async def test_fault_half_of_all_connections_breaking(cluster: Cluster, proxy: FaultyProxy) -> None:
    a, b = await cluster.start("a"), await cluster.start("b", proxy.url)
    proxy.mode = Mode.DROP_HALF
    for number in range(20):
        await a.submit(f"a{number}")
        await b.submit(f"b{number}")
        await asyncio.sleep(0.01)
    await cluster.all_revoke(*(f"{name}{number}" for name in "ab" for number in range(20)))


async def test_fault_full_disk_does_not_keep_a_revocation_secret(cluster: Cluster) -> None:
    a, b = [await cluster.start(name) for name in ("a", "b")]
    a.journal.full = b.journal.full = True
    with pytest.raises(JournalError):
        await a.submit("s1")
    await cluster.all_revoke("s1")
    late = await cluster.start("late")
    assert late.revokes("s1")
    a.journal.full = b.journal.full = False
    await until(lambda: a.journal.vector() == b.journal.vector() == {a.replica.origin: 1})


# Messages in any order, twice, or bad.


def revocation(origin: str, seq: int, order: int, action: Action, sid: str) -> Revocation:
    return Revocation(
        origin=origin, seq=seq, order=order, action=action, type=TargetType.SESSION, value=sid, created_at=0.0,
        expires_at=LATER,
    )  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    """The messages of two origins about few targets, with events repeated in further messages, shuffled."""
    events: list[Event] = []
    for origin in ("a" * 16, "b" * 16):
        for seq in range(1, draw(st.integers(1, 8)) + 1):
            order, action = draw(st.integers(1, 6)), draw(st.sampled_from(Action))
            events.append(revocation(origin, seq, order, action, draw(st.sampled_from(["s1", "s2", "s3"]))))
    batches = [[event] for event in events]
    batches += draw(st.lists(st.lists(st.sampled_from(events), min_size=1, max_size=5), max_size=6))
    messages = [Message("c" * 16, False, spans_of(batch), encode_batch(batch)) for batch in batches]
    return draw(st.permutations(messages))


@settings(max_examples=60, deadline=None)
@given(histories(), st.randoms())
def test_any_order_and_any_repetition_come_to_the_same(messages: list[Message], chance: object) -> None:
    async def final(order: Sequence[Message]) -> list[object]:
        async with alone(MEMORY) as node:
            for message in order:
                await node.replica._receive(message)
            revoked = node.replica.state.revocations
            return [revoked.get(Target(TargetType.SESSION, sid)) for sid in ("s1", "s2", "s3")] + [
                node.replica._vector.extent
            ]

    forward = asyncio.run(final(messages))
    assert asyncio.run(final(messages[::-1])) == forward
    assert asyncio.run(final([*messages, *messages])) == forward


async def test_bad_messages_are_skipped() -> None:
    origin = "a" * 16
    good = revocation(origin, 1, 1, Action.REVOKE, "s1")
    bodies = [b"", b"\xc1", b"\x90" * 20_000, encode_batch([]), encode_batch([good]) + b"x", b"\xdd\xff\xff\xff\xff"]
    async with alone(MEMORY) as node:
        for body in bodies:
            await node.replica._receive(Message("b" * 16, True, [(origin, 1, 1)], body))
        too_many = encode_batch([good] * 300)
        await node.replica._receive(Message("b" * 16, False, [(origin, 1, 300)], too_many))
        assert len(node.replica.state.revocations) == 0


def test_messages_and_offers_say_what_they_complete() -> None:
    origin = "a" * 16
    events = [revocation(origin, seq, seq, Action.REVOKE, "s") for seq in range(1, 601)]
    spans = [message.spans for message in messages_of(events, origin, ask=True)]
    assert spans == [[(origin, 1, 256)], [(origin, 257, 512)], [(origin, 513, 600)]]
    kept = [event for event in events if event.seq % 2]
    offers = list(offers_of(kept, (origin, 1, 700), "b" * 16))
    assert [offer.spans for offer in offers] == [[(origin, 1, 511)], [(origin, 512, 700)]]
    assert list(itertools.chain(*(offer.events() for offer in offers))) == kept
    assert [offer.spans for offer in offers_of([], (origin, 5, 9), "b" * 16)] == [[(origin, 5, 9)]]


async def test_what_has_expired_everywhere_does_not_hold_up_a_new_node(cluster: Cluster, server: Valkey) -> None:
    a, _ = [await cluster.start(name) for name in ("a", "b")]
    await a.submit("s1", "s2", "s3")
    await cluster.all_revoke("s3")
    await until(lambda: all(n.journal.vector() == {a.replica.origin: 3} for n in cluster.nodes.values()))
    for node in cluster.nodes.values():
        node.journal._db.read("DELETE FROM event WHERE seq < 3")
    async with Redis.from_url(server.url) as client:
        await client.delete("segmentgate:events")
    new = await cluster.start("new")
    assert new.revokes("s3")
    assert new.replica.state.revocations.get(Target(TargetType.SESSION, "s1")) is None
