"""Growing bodies: every reader gets all of it, and each of them hears of its end."""

import asyncio
from contextlib import aclosing

import pytest

from relay.bodies import ABANDON_AFTER_S, Growing, Whole
from relay.errors import OriginError, OriginTooLargeError


class World:
    """A growing body that counts how often it was abandoned."""

    def __init__(self, limit: int = 1000) -> None:
        self.abandoned = 0
        self.body = Growing("video/mp4", limit, self._on_abandoned)

    def _on_abandoned(self) -> None:
        self.abandoned += 1

    def reader(self) -> "asyncio.Task[bytes]":
        return asyncio.ensure_future(self._read())

    async def _read(self) -> bytes:
        return b"".join([piece async for piece in self.body.pieces()])


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_early_and_late_readers_get_everything() -> None:
    world = World()
    early = world.reader()
    await turns()
    world.body.add(b"one ")
    await turns()
    middle = world.reader()
    world.body.add(b"two ")
    world.body.add(b"three")
    assert world.body.finish() == b"one two three"
    late = world.reader()
    assert {await early, await middle, await late} == {b"one two three"}
    assert world.abandoned == 0


async def test_pieces_come_as_they_arrive() -> None:
    world = World()
    async with aclosing(world.body.pieces()) as pieces:
        for piece in (b"one", b"two"):
            waiting = asyncio.ensure_future(anext(pieces))
            await turns()
            assert not waiting.done()
            world.body.add(piece)
            assert await waiting == piece
        world.body.finish()
        assert await anext(pieces, None) is None


async def test_a_failure_reaches_all_readers_after_what_came_before_it() -> None:
    world = World()
    readers = [world.body.pieces() for _ in range(2)]
    world.body.add(b"one")
    assert [await anext(reader) for reader in readers] == [b"one", b"one"]
    waiting = [asyncio.ensure_future(anext(reader)) for reader in readers]
    await turns()
    world.body.fail(OriginError("broke"))
    for task in waiting:
        with pytest.raises(OriginError, match="broke"):
            await task
    with pytest.raises(OriginError, match="broke"):
        await world.reader()


async def test_the_last_reader_to_leave_gives_the_body_up() -> None:
    world = World()
    readers = [world.reader(), world.reader()]
    world.body.add(b"one")
    await turns()
    readers[0].cancel()
    await turns()
    assert world.abandoned == 0
    readers[1].cancel()
    await turns()
    assert world.abandoned == 0
    await asyncio.sleep(ABANDON_AFTER_S + 0.1)
    assert world.abandoned == 1


async def test_one_who_comes_as_the_last_one_leaves_still_gets_it() -> None:
    world = World()
    leaver = world.reader()
    await turns()
    leaver.cancel()
    await turns()
    comer = world.reader()
    await asyncio.sleep(ABANDON_AFTER_S + 0.1)
    world.body.add(b"one")
    world.body.finish()
    assert await comer == b"one"
    assert world.abandoned == 0


async def test_leaving_a_finished_body_gives_nothing_up() -> None:
    world = World()
    world.body.add(b"one")
    world.body.finish()
    async with aclosing(world.body.pieces()) as pieces:
        assert await anext(pieces) == b"one"
    assert world.abandoned == 0


async def test_an_empty_body_ends() -> None:
    world = World()
    reader = world.reader()
    await turns()
    assert world.body.finish() == b""
    assert await reader == b""


def test_no_more_is_held_than_the_limit() -> None:
    world = World(limit=10)
    world.body.add(b"12345")
    world.body.add(b"67890")
    with pytest.raises(OriginTooLargeError, match="past 10 bytes"):
        world.body.add(b"1")
    assert world.body.finish() == b"1234567890"


def test_a_whole_body_weighs_its_bytes() -> None:
    assert Whole(b"12345", '"tag"', "video/mp4").weight == 5
