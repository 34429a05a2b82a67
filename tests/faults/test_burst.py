"""Revocations by the ten thousand while viewers play: ``SEGMENTGATE_BURST`` says how many, up to a million."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.faults.site import BOUND_S, Site, running_site

A, B, C = range(3)
BURST = int(os.environ.get("SEGMENTGATE_BURST", "50000"))
BATCH = 10_000
INNOCENTS = 2
STALE_AFTER_S = 5.0
"""The default: a node may take longer than the other tests allow for before it has read a batch to its end."""
BASE_BYTES, ENTRY_BYTES = 64_000_000, 400
"""What a node may grow by: what any burst needs while it passes, and what each entry may keep."""
SPREAD_S = 30.0 + BURST / 2000
"""By when the last of them are in every journal."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """One of its own: others would carry this burden through all their restarts."""
    with running_site(tmp_path, stale_after_s=STALE_AFTER_S) as site:
        yield site


async def revoke_all(site: Site, at: int, sids: list[str]) -> float:
    """Revoke many sessions by one call to a node; when it was answered."""
    done = await site.order_all(at, [{"type": "session", "value": sid, "reason": "burst"} for sid in sids])
    assert (done.status, done.body["targets"]) == (200, len(sids)), done
    return done.at


async def recorded(site: Site, at: int) -> set[str]:
    """The values of all revocations that a node has journalled."""
    found: set[str] = set()
    cursor = ""
    while True:
        page = await site.get(at, f"?limit=1000&cursor={cursor}")
        assert page.status == 200, page
        found.update(record["target"]["value"] for record in page.body["revocations"])
        cursor = page.body["next"]
        if not cursor:
            return found


async def known(site: Site, at: int) -> int:
    """How many revocations are in force at a node."""
    count: int = (await site.get(at, "/meta")).body["revocations"]
    return count


async def test_a_burst_of_revocations_while_serving(site: Site) -> None:
    sids = [f"burst-{number}" for number in range(BURST)]
    before = [node.resident_bytes() for node in site.nodes]
    async with AsyncExitStack() as stack:
        innocents = [await site.resident() for _ in range(INNOCENTS)]
        for viewer in innocents:
            await stack.enter_async_context(viewer.taking())
        pirate = await stack.enter_async_context(site.pirate())
        sids[BURST // 2] = pirate.sid
        for first in range(0, BURST, BATCH):
            batch = sids[first : first + BATCH]
            answered = await revoke_all(site, B, batch)
            if pirate.sid in batch:
                cut = answered
        await asyncio.sleep(BOUND_S)
        await pirate.wait_refused(BOUND_S)
        pirate.got_nothing_after(cut + BOUND_S)
        await until_all_know(site, set(sids))
        for viewer in innocents:
            viewer.got_everything()
    grown = [node.resident_bytes() - was for node, was in zip(site.nodes, before, strict=True)]
    assert max(grown) < BASE_BYTES + BURST * ENTRY_BYTES, grown
    await site.kill(C)
    await site.start_again(C)
    await site.ready(C)
    assert await known(site, C) >= BURST
    assert await pirate.verdicts() == ["revoked"] * 3
    await site.serves_the_innocent()


async def until_all_know(site: Site, sids: set[str]) -> None:
    """Wait until every node has all of them in force, and in its journal."""
    deadline = time.monotonic() + SPREAD_S
    for at in range(len(site.nodes)):
        while await known(site, at) < len(sids) or not sids <= await recorded(site, at):
            assert time.monotonic() < deadline, f"node {at} lacks {len(sids - await recorded(site, at))}"
            await asyncio.sleep(0.5)
