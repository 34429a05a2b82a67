"""Salts: drawn once, the same ever after, and durable before anything made with them is sent."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from itertools import count
from pathlib import Path

import pytest

from relay.errors import JournalError, KeyPendingError
from relay.model import Cut
from relay.state.events import Event, SaltDrawn
from relay.state.journal import Journal
from relay.state.replica import Replica, new_incarnation
from relay.state.salts import AHEAD, SALT_BYTES, Salts
from relay.state.state import State
from tests.state.cluster import Node, SlowJournal, until
from tests.valkey import valkey_server


class World:
    """Salts over a slow journal; entropy counts, so that no two draws are equal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = SlowJournal(path)
        self.replica = Replica(State(), self.journal, lambda: 1000.0, "one", new_incarnation())
        drawn = count(1)
        self.salts = Salts(self.replica, lambda size: next(drawn).to_bytes(size, "big"))

    def durable(self) -> list[tuple[str, int]]:
        journal = Journal(self.path)
        found = [(event.stream, event.period) for event in journal.replay() if isinstance(event, SaltDrawn)]
        journal.close()
        return found

    async def close(self) -> None:
        await self.replica.close()
        self.journal.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "journal.sqlite")
    await world.replica.start()
    yield world
    await world.close()


async def test_a_salt_is_drawn_once(world: World) -> None:
    first = world.salts.of("news", 0)
    assert first is not None
    assert len(first) == SALT_BYTES
    assert world.salts.of("news", 0) == first
    assert len({first, world.salts.of("news", 600_000), world.salts.of("sport", 0)}) == 3


async def test_stable_keys_have_no_salt(world: World) -> None:
    assert world.salts.of("news", None) is None


def test_a_salt_from_elsewhere_is_taken_over(world: World) -> None:
    world.replica.apply([SaltDrawn(origin="b" * 16, seq=1, stream="news", period=0, salt=b"theirs")])
    assert world.salts.of("news", 0) == b"theirs"


async def test_salts_are_durable_once_settled_and_the_same_after_a_restart(world: World) -> None:
    before = world.salts.of("news", 0), world.salts.of("news", 600_000)
    await world.salts.settle()
    assert world.durable() == [("news", 0), ("news", 600_000)]
    again = World(world.path)
    await again.replica.start()
    assert (again.salts.of("news", 0), again.salts.of("news", 600_000)) == before
    await again.close()


async def test_settling_waits_for_the_disk_also_where_another_began_it(world: World) -> None:
    world.salts.of("news", 0)
    world.journal.disk.clear()
    settling = [asyncio.ensure_future(world.salts.settle()) for _ in range(3)]
    await asyncio.sleep(0.02)
    late = asyncio.ensure_future(world.salts.settle())
    await asyncio.sleep(0.02)
    assert not any(task.done() for task in [*settling, late])
    world.journal.disk.set()
    await asyncio.gather(*settling, late)
    assert world.durable() == [("news", 0)]


async def test_a_salt_drawn_in_a_thread_leaves_the_event_loop_s_own_alone(world: World) -> None:
    heard: list[str] = []

    def hear(events: Sequence[Event], path: str) -> Cut:
        heard.append(path)
        return Cut()

    world.replica.on_applied.append(hear)
    assert await asyncio.to_thread(world.salts.of, "news", 0) == world.salts.of("news", 0)
    assert heard == []


async def test_settling_nothing_is_free(world: World) -> None:
    world.journal.disk.clear()
    await asyncio.wait_for(world.salts.settle(), 0.1)
    world.journal.disk.set()


async def test_a_viewer_who_leaves_does_not_take_salts_along(world: World) -> None:
    for period in range(3):
        world.salts.of("news", period)
    world.journal.disk.clear()
    leaving = asyncio.ensure_future(world.salts.settle())
    await asyncio.sleep(0.02)
    leaving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leaving
    staying = asyncio.ensure_future(world.salts.settle())
    await asyncio.sleep(0.02)
    assert not staying.done()
    world.journal.disk.set()
    await staying
    assert set(world.durable()) == {("news", 0), ("news", 1), ("news", 2)}


async def test_nothing_settles_on_a_full_disk_and_all_of_it_later(world: World) -> None:
    world.salts.of("news", 0)
    world.journal.full = True
    for _ in range(2):
        with pytest.raises(JournalError):
            await world.salts.settle()
    world.journal.full = False
    await world.salts.settle()
    assert world.durable() == [("news", 0)]


async def test_all_nodes_use_the_salt_that_one_has_drawn(tmp_path: Path) -> None:
    with valkey_server() as server:
        nodes = [Node(name, tmp_path / f"{name}.sqlite", server.url) for name in ("a", "b")]
        salts = [Salts(node.replica, os.urandom) for node in nodes]
        for one in salts:
            one.configure({"news": lambda period: count(period + 600_000, 600_000)})

        def drawn(of: Salts, stream: str, period: int) -> bytes | None:
            with contextlib.suppress(KeyPendingError):
                return of.of(stream, period)
            return None

        for node in nodes:
            await node.replica.start()
        for one in salts:
            with pytest.raises(KeyPendingError):
                one.of("news", 0)
        await until(lambda: all(drawn(one, "news", 0) for one in salts))
        await until(lambda: all(drawn(one, "sport", 7) for one in salts))
        assert salts[0].of("news", 0) == salts[1].of("news", 0)
        assert salts[0].of("sport", 7) == salts[1].of("sport", 7)
        for one in salts:
            await one.settle()
        coming = [period * 600_000 for period in range(AHEAD)]
        await until(lambda: all(node.replica.state.salt("news", coming[-1]) for node in nodes))
        server.kill()
        # What was claimed ahead needs no server; what was not waits for it.
        assert [salts[0].of("news", period) for period in coming] == [salts[1].of("news", period) for period in coming]
        with pytest.raises(KeyPendingError):
            salts[0].of("news", 1000 * 600_000)
        server.start()
        await until(lambda: drawn(salts[0], "news", 1000 * 600_000))
        for node in nodes:
            await node.replica.close()
            node.journal.close()
