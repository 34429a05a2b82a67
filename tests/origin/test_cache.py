"""The cache holds no more bytes than it may; a flight does equal work once."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.origin.cache import ByteCache, Flights

OVERHEAD = 512


@dataclass(frozen=True)
class Value:
    weight: int


def cache(*weights: int, limit: int = 10_000) -> ByteCache[int, Value]:
    found: ByteCache[int, Value] = ByteCache(limit)
    for key, weight in enumerate(weights):
        found.put(key, Value(weight))
    return found


def test_the_least_recently_used_make_room() -> None:
    found = cache(2000, 2000, 2000)
    assert found.get(0) == Value(2000)
    found.put(3, Value(4000))
    assert [found.get(key) is not None for key in range(4)] == [True, False, True, True]
    assert found.size == 2000 + 2000 + 4000 + 3 * OVERHEAD


def test_what_is_too_large_is_not_kept_and_takes_no_room() -> None:
    found = cache(2000, 2000)
    found.put(2, Value(10_000))
    assert (len(found), found.get(2)) == (2, None)


def test_a_value_that_outgrew_the_cache_leaves_no_old_one() -> None:
    found = cache(2000)
    found.put(0, Value(10_000))
    assert (len(found), found.size) == (0, 0)


def test_a_value_is_replaced() -> None:
    found = cache(2000)
    found.put(0, Value(100))
    assert (found.get(0), found.size) == (Value(100), 100 + OVERHEAD)


def test_discarding_and_counting() -> None:
    found = cache(1)
    found.discard(0)
    found.discard(0)
    assert (found.get(0), found.size, found.hits, found.misses) == (None, 0, 0, 1)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6000), st.booleans()), max_size=60))
def test_the_bound_holds_and_the_size_is_what_is_there(steps: list[tuple[int, int, bool]]) -> None:
    found = cache()
    for key, weight, drop in steps:
        if drop:
            found.discard(key)
        else:
            found.put(key, Value(weight))
        there = [value for key in range(10) if (value := found.get(key))]
        assert found.size == sum(value.weight + OVERHEAD for value in there) <= 10_000


class Work:
    """Work that ends when it is told to, and counts how it went."""

    def __init__(self) -> None:
        self.flights: Flights[str, str] = Flights()
        self.started = self.cancelled = 0
        self.go = asyncio.Event()
        self.failure: Exception | None = None

    async def run(self) -> str:
        self.started += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure:
            raise self.failure
        return f"result {self.started}"

    def join(self, key: str = "key") -> "asyncio.Task[str]":
        return asyncio.ensure_future(self.flights.join(key, self.run))


async def turns() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_equal_work_is_done_once() -> None:
    work = Work()
    waiting = [work.join() for _ in range(5)]
    await turns()
    waiting.append(work.join())
    work.go.set()
    assert set(await asyncio.gather(*waiting)) == {"result 1"}
    assert await work.join() == "result 2"


async def test_other_work_is_its_own() -> None:
    work = Work()
    work.go.set()
    assert len(set(await asyncio.gather(work.join("a"), work.join("b")))) == 2


async def test_one_who_leaves_does_not_take_the_work_along() -> None:
    work = Work()
    leaving, staying = work.join(), work.join()
    await turns()
    leaving.cancel()
    await turns()
    assert work.cancelled == 0
    work.go.set()
    assert await staying == "result 1"
    assert leaving.cancelled()


async def test_the_last_to_leave_stops_the_work_and_the_next_begins_anew() -> None:
    work = Work()
    leaving = work.join()
    await turns()
    leaving.cancel()
    late = work.join()  # before the cancelled work has noticed
    await turns()
    assert (work.started, work.cancelled) == (2, 1)
    work.go.set()
    assert await late == "result 2"


async def test_all_who_leave_stop_the_work() -> None:
    work = Work()
    tasks = [work.join(), work.join()]
    await turns()
    for task in tasks:
        task.cancel()
    await turns()
    assert (work.started, work.cancelled) == (1, 1)


async def test_a_failure_reaches_everybody_and_is_not_remembered() -> None:
    work = Work()
    work.failure = OSError("broke")
    tasks = [work.join(), work.join()]
    work.go.set()
    for task in tasks:
        with pytest.raises(OSError, match="broke"):
            await task
    work.failure = None
    assert await work.join() == "result 2"


async def test_a_failure_nobody_waits_for_is_no_lost_exception() -> None:
    work = Work()
    work.failure = OSError("broke")
    leaving, staying = work.join(), work.join()
    await turns()
    leaving.cancel()
    work.go.set()
    with pytest.raises(OSError, match="broke"):
        await staying
    assert leaving.cancelled() or leaving.exception()
