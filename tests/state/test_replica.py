"""The replica of one node: applied at once, durable when acknowledged, the same whatever order messages come in."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import JournalError, RequestError
from relay.gate.targets import Target, TargetType
from relay.state.database import MEMORY
from relay.state.drafts import Draft
from relay.state.events import Action, Event, Revocation, encode_batch
from relay.state.journal import Journal
from relay.state.messages import Message, messages_of, offers_of, spans_of
from relay.state.replica import Replica, Wait, enough, new_incarnation
from relay.state.state import State
from tests.state.cluster import LATER, alone, until


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
        assert await again.replica.reports(events[0], Wait.ALL, 0.1, 0.0) == []
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("value", "x" * 513),
        ("issuer", "x" * 513),
        ("viewer", "x" * 513),
        ("reason", "x" * 513),
        ("detail", "x" * 513),
        ("actor", "x" * 513),
        ("sources", ("x" * 513,)),
        ("limit", -1),
        ("limit", 2**53),
        ("limit", 2**70),
        ("value", "\ud800"),
    ],
)
async def test_what_no_journal_could_give_back_is_refused(tmp_path: Path, name: str, value: object) -> None:
    path = tmp_path / "j.sqlite"
    good = Draft(action=Action.REVOKE, type=TargetType.SESSION, value="s", created_at=0.0, expires_at=LATER)
    async with alone(path) as node:
        encodable = value not in ("\ud800", 2**70)
        with pytest.raises(RequestError, match=name if encodable else "not to be written"):
            node.replica.stamp([good, replace(good, **cast(Any, {name: value}))])
        # Nor has a number been lost.
        assert [event.seq for event in await node.submit("s")] == [1]
    async with alone(path) as node:
        assert node.revokes("s")


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
