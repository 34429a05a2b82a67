"""The way to the shared log fails, in every manner that networks and servers know."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.faults.course import Learns, go_through
from tests.faults.site import BOUND_S, REPAIRED_S, Site
from tests.proxy import Mode
from tests.valkey import Data

A, B, C = range(3)
AT_ONCE, BY_AGE, IN_THE_END = Learns


def all_ways(site: Site, mode: Mode, *nodes: int) -> Callable[[], Awaitable[None]]:
    """What puts the proxies of some nodes into a mode."""

    async def change() -> None:
        for at in nodes:
            site.proxies[at].mode = mode

    return change


async def test_nothing_is_wrong(site: Site) -> None:
    async with site.pirate() as pirate:
        done = await site.revoke(pirate)
        await asyncio.sleep(BOUND_S + 0.5)
        pirate.got_nothing_after(done.at + BOUND_S)
        await pirate.wait_refused(1.0)


async def test_bus_down(site: Site) -> None:
    async def down() -> None:
        await asyncio.to_thread(site.valkey.kill)

    async def up() -> None:
        await asyncio.to_thread(site.valkey.start)

    await go_through(site, down, up, {A: (AT_ONCE, BY_AGE, BY_AGE)})


async def test_bus_hangs(site: Site) -> None:
    begin, end = all_ways(site, Mode.BLACKHOLE, A, B, C), all_ways(site, Mode.PASS, A, B, C)
    await go_through(site, begin, end, {B: (BY_AGE, AT_ONCE, BY_AGE)})


async def test_bus_slow_by_a_second(site: Site) -> None:
    async def delay(by_s: float) -> None:
        for proxy in site.proxies:
            proxy.delay_s = by_s

    await go_through(site, lambda: delay(1.0), lambda: delay(0.0), {A: (AT_ONCE, BY_AGE, BY_AGE)})


async def test_bus_drops_half(site: Site) -> None:
    async def drop() -> None:
        while True:
            await all_ways(site, Mode.DROP_HALF, A, B, C)()
            await asyncio.sleep(0.4)

    dropping: list[asyncio.Task[None]] = []

    async def begin() -> None:
        dropping.append(asyncio.create_task(drop()))
        await asyncio.sleep(0.1)

    async def end() -> None:
        dropping[0].cancel()
        with suppress(asyncio.CancelledError):
            await dropping[0]
        await all_ways(site, Mode.PASS, A, B, C)()

    await go_through(site, begin, end, {A: (AT_ONCE, BY_AGE, BY_AGE), C: (BY_AGE, BY_AGE, AT_ONCE)})


async def test_partition_both_ways(site: Site) -> None:
    begin, end = all_ways(site, Mode.BLACKHOLE, C), all_ways(site, Mode.PASS, C)
    await go_through(site, begin, end, {A: (AT_ONCE, AT_ONCE, BY_AGE), C: (IN_THE_END, IN_THE_END, AT_ONCE)})


async def test_partition_with_refused_connections(site: Site) -> None:
    begin, end = all_ways(site, Mode.REFUSE, C), all_ways(site, Mode.PASS, C)
    await go_through(site, begin, end, {A: (AT_ONCE, AT_ONCE, BY_AGE), C: (IN_THE_END, IN_THE_END, AT_ONCE)})


async def test_partition_one_way_requests_lost(site: Site) -> None:
    begin, end = all_ways(site, Mode.DROP_REQUESTS, C), all_ways(site, Mode.PASS, C)
    await go_through(site, begin, end, {A: (AT_ONCE, AT_ONCE, BY_AGE), C: (IN_THE_END, IN_THE_END, AT_ONCE)})


async def test_partition_one_way_answers_lost(site: Site) -> None:
    begin, end = all_ways(site, Mode.DROP_ANSWERS, C), all_ways(site, Mode.PASS, C)
    await go_through(site, begin, end, {A: (AT_ONCE, AT_ONCE, BY_AGE), C: (AT_ONCE, AT_ONCE, AT_ONCE)})


async def test_failover_that_lost_the_last_writes(site: Site) -> None:
    async def fail_over() -> None:
        """C is cut off; what it does not hear of the new server does not know either."""
        await asyncio.to_thread(site.valkey.checkpoint)
        site.proxies[C].mode = Mode.BLACKHOLE

    async def end() -> None:
        await site.lose_the_log(Data.CHECKPOINT)
        site.proxies[C].mode = Mode.PASS

    await go_through(site, fail_over, end, {A: (AT_ONCE, AT_ONCE, BY_AGE)}, REPAIRED_S)
