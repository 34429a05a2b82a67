"""Several nodes: a revocation is on all of them soon, whatever fails in between, and none is ever lost."""

import asyncio
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from relay.errors import JournalError
from relay.gate.targets import Target, TargetType
from relay.state import commit
from relay.state.events import Action
from relay.state.messages import Message
from relay.state.replica import Wait, enough
from tests.proxy import FaultyProxy, Mode
from tests.state.cluster import Cluster, Node, until
from tests.valkey import Data, Valkey


async def test_a_revocation_is_everywhere_in_milliseconds_and_proven(cluster: Cluster) -> None:
    a, b, c = [await cluster.start(name) for name in ("a", "b", "c")]
    await cluster.all_know_each_other()
    taken = []
    for number in range(20):
        started = time.perf_counter()
        events = await a.submit(f"s{number}", ask=True)
        reports = await a.replica.reports(events[0], Wait.ALL, 2, started)
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
    reports = await a.replica.reports(events[0], Wait.ALL, 10, started)
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
    assert max(fast.replica.age(0), slow.replica.age(0)) < 1


async def test_waiting_for_nodes_that_do_not_answer(cluster: Cluster) -> None:
    a, *_ = [await cluster.start(name) for name in ("a", "b", "c")]
    await cluster.all_know_each_other()
    await cluster.crash("c")
    started = time.perf_counter()
    events = await a.submit("s1", ask=True)
    reports = await a.replica.reports(events[0], Wait.QUORUM, 2, started)
    assert time.perf_counter() - started < 1
    assert enough(reports, Wait.QUORUM)
    assert sorted((r.node, r.state) for r in reports) == [("b", "applied"), ("c", "pending")]
    events = await a.submit("s2", ask=True)
    reports = await a.replica.reports(events[0], Wait.ALL, 0.3, started)
    assert not enough(reports, Wait.ALL)
    await until(lambda: not all(view.live for view in a.replica.members()))
    events = await a.submit("s3", ask=True)
    started = time.perf_counter()
    reports = await a.replica.reports(events[0], Wait.ALL, 5, started)
    assert time.perf_counter() - started < 2  # nobody waits for a node that is gone
    assert sorted((r.node, r.state) for r in reports) == [("b", "applied"), ("c", "unreachable")]
    await cluster.start("c")
    await until(lambda: [view.live for view in a.replica.members()] == [True, True])


async def test_a_node_that_leaves_in_good_order_is_not_missed(cluster: Cluster) -> None:
    a, _ = [await cluster.start(name) for name in ("a", "b")]
    await cluster.all_know_each_other()
    await cluster.stop("b")
    await until(lambda: a.replica.members() == [])


async def test_single_events_share_messages_and_none_is_lost_by_a_node_that_stops_meanwhile(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await cluster.start("a")
    await cluster.start("b")
    await cluster.all_know_each_other()
    log = a.log
    assert log is not None
    sent, publish = list[Message](), log.publish

    def counted(message: Message) -> None:
        sent.append(message)
        publish(message)

    monkeypatch.setattr(log, "publish", counted)
    for number in range(40):
        a.replica.apply(events := a.draft(f"s{number}"))
        await a.replica.publish(events)
    # Without a journal to offer them from, what is not sent now would never be.
    await cluster.stop("a")
    await cluster.all_revoke(*(f"s{number}" for number in range(40)), timeout_s=0.8)
    assert sum(len(message.events()) for message in sent) == 40
    assert len(sent) == 1


async def test_without_the_log_no_quorum_is_claimed(tmp_path: Path) -> None:
    node = Node("a", tmp_path / "j.sqlite", "redis://127.0.0.1:1/0")
    await node.replica.start()
    try:
        events = await node.submit("s1", ask=True)
        reports = await node.replica.reports(events[0], Wait.QUORUM, 1, 0.0)
        assert [report.state for report in reports] == ["unreachable"]
        assert not enough(reports, Wait.QUORUM)
        assert not node.replica.ready
        assert node.replica.age(0) == float("inf")
    finally:
        await node.replica.close()
        node.journal.close()


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
    with monkeypatch.context() as patch:
        patch.setattr(a.replica._repair, "_offer", lambda: asyncio.sleep(0))
        events = a.draft("s1")
        a.replica.apply(events)
        await a.replica.persist(events)  # and never published
        await asyncio.sleep(1)
        assert b.replica.age(0) > 0.5  # though every read is answered
    await cluster.all_revoke("s1")
    await until(lambda: b.replica.age(0) < 0.5)
    assert b.applied == [("s1", "stream")]


async def test_events_applied_long_before_they_are_written_are_never_vouched_for_without_them(cluster: Cluster) -> None:
    """A large batch takes a while to apply. To say that its numbers are complete would make others skip it."""
    a, b = [await cluster.start(name) for name in ("a", "b")]
    await cluster.all_know_each_other()
    a.replica.apply(a.draft("s1", "s2"))
    await cluster.all_revoke("s1", "s2")
    assert [path for _, path in b.applied] == ["stream", "stream"]
    await cluster.crash("a")
    assert (await cluster.start("a")).revokes("s1", "s2")


async def test_a_node_that_could_not_keep_everything_vouches_for_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = [await cluster.start(name) for name in ("a", "b")]
    await cluster.all_know_each_other()
    monkeypatch.setattr(commit, "MAX_OWED", 2)
    a.journal.full = True
    events = a.draft("s1", "s2", "s3")
    a.replica.apply(events)
    await asyncio.sleep(0.6)
    assert not b.revokes("s1")
    await a.replica.publish(events)
    await cluster.all_revoke("s1", "s2", "s3")


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
    await asyncio.sleep(0.35)  # a read that the server holds already may still be answered
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
    reports = await a.replica.reports(events[0], Wait.ALL, 3, started)
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
