"""The course of a fault that comes and goes while revocations are made, and what every node then owes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from enum import Enum

from tests.faults.site import BOUND_S, HEALED_S, STALE_AFTER_S, Site


class Learns(Enum):
    """How a node can come to refuse a revoked session during a fault."""

    AT_ONCE = "at once"
    """It took the revocation, or the way from the node that did is whole."""
    BY_AGE = "by age"
    """It cannot hear of it, but knows that it hears nothing."""
    IN_THE_END = "in the end"
    """It is in touch with the log, which cannot hear of it before the fault is over."""


async def go_through(
    site: Site,
    begin: Callable[[], Awaitable[object]],
    end: Callable[[], Awaitable[object]],
    revoked: Mapping[int, Sequence[Learns]],
    healed_s: float = HEALED_S,
) -> None:
    """Begin a fault, revoke, end it. ``revoked`` says where revocations are made, and how each node learns of it.

    ``healed_s`` is for how long after the end a node may still serve that could not hear of it. Each revocation is of
    a session that all nodes were serving everything. Asserts that no byte is served past the bounds, that all nodes
    refuse all of them in the end, and that they serve others again.
    """
    async with AsyncExitStack() as stack:
        pirates = {at: await stack.enter_async_context(site.pirate()) for at in revoked}
        await begin()
        begun = time.monotonic()
        bounds = {}
        for at, learns in revoked.items():
            done = await site.revoke(pirates[at], at)
            assert done.status == 200, done
            by_way = {Learns.AT_ONCE: done.at + BOUND_S, Learns.BY_AGE: begun + STALE_AFTER_S + BOUND_S}
            bounds[at] = [by_way.get(way) for way in learns]
        await asyncio.sleep(STALE_AFTER_S + BOUND_S + 0.3)
        never = time.monotonic()
        for at, pirate in pirates.items():
            pirate.got_nothing_after(*(never if bound is None else bound for bound in bounds[at]))
        await end()
        healed = time.monotonic()
        await asyncio.sleep(healed_s)
        for pirate in pirates.values():
            await pirate.wait_refused(BOUND_S)
        for at, pirate in pirates.items():
            knew = [way is Learns.AT_ONCE for way in revoked[at]]
            pirate.got_nothing_after(
                *(
                    bound if knows and bound else healed + healed_s
                    for bound, knows in zip(bounds[at], knew, strict=True)
                )
            )
    await site.serves_the_innocent()
