"""Salts: drawn once, the same ever after, and durable before anything made with them is sent."""

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from relay.errors import JournalError
from relay.state.events import SaltDrawn
from relay.state.journal import Journal
from relay.state.replica import Replica
from relay.state.salts import SALT_BYTES, Salts
from relay.state.state import State
from tests.state.test_replica import SlowJournal


class World:
    """Salts over a slow journal; entropy counts, so that no two draws are equal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = SlowJournal(path)
        self.replica = Replica(State(), lambda: 1000.0, self.journal)
        drawn = count(1)
        self.salts = Salts(self.replica, lambda size: next(drawn).to_bytes(size, "big"))

    def durable(self) -> list[tuple[str, int]]:
        journal = Journal(self.path)
        found = [(event.stream, event.period) for event in journal.replay() if isinstance(event, SaltDrawn)]
        journal.close()
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "journal.sqlite")
    yield world
    world.replica.close()


def test_a_salt_is_drawn_once(world: World) -> None:
    first = world.salts.of("news", 0)
    assert first is not None
    assert len(first) == SALT_BYTES
    assert world.salts.of("news", 0) == first
    assert len({first, world.salts.of("news", 600_000), world.salts.of("sport", 0)}) == 3


def test_stable_keys_have_no_salt(world: World) -> None:
    assert world.salts.of("news", None) is None


def test_a_salt_from_elsewhere_is_taken_over(world: World) -> None:
    world.replica.apply(SaltDrawn(stream="news", period=0, salt=b"theirs"))
    assert world.salts.of("news", 0) == b"theirs"


async def test_salts_are_durable_once_settled_and_the_same_after_a_restart(world: World) -> None:
    before = world.salts.of("news", 0), world.salts.of("news", 600_000)
    await world.salts.settle()
    assert world.durable() == [("news", 0), ("news", 600_000)]
    world.replica.close()
    again = World(world.path)
    assert (again.salts.of("news", 0), again.salts.of("news", 600_000)) == before
    again.replica.close()


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
