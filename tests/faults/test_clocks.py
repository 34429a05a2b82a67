"""Nodes whose clocks are five minutes apart either way: revoking needs no common time."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.faults.site import BOUND_S, Site, running_site

RIGHT, FAST, SLOW = range(3)
SKEW_S = 300.0
ALL = "?wait=all&timeout_ms=5000"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("clocks"), (0.0, SKEW_S, -SKEW_S)) as site:
        yield site


async def test_revoked_by_whatever_clock(site: Site) -> None:
    async with AsyncExitStack() as stack:
        pirates = [await stack.enter_async_context(site.pirate()) for _ in site.nodes]
        done = [await site.revoke(pirate, at, ALL) for at, pirate in enumerate(pirates)]
        assert [answer.status for answer in done] == [200, 200, 200]
        await asyncio.sleep(BOUND_S)
        for pirate, answer in zip(pirates, done, strict=True):
            await pirate.wait_refused(BOUND_S)
            pirate.got_nothing_after(answer.at + BOUND_S)


async def test_restored_by_a_slow_clock_after_being_revoked_by_a_fast_one(site: Site) -> None:
    viewer = await site.enter()
    for revoker, restorer in ((FAST, SLOW), (SLOW, FAST), (RIGHT, SLOW), (FAST, RIGHT)):
        assert (await site.revoke(viewer, revoker, ALL)).status == 200
        assert await viewer.verdicts() == ["revoked"] * 3
        assert (await site.revoke(viewer, restorer, ALL, action="restore")).status == 200
        assert await viewer.verdicts() == ["served"] * 3
    assert (await site.revoke(viewer, SLOW, ALL)).status == 200
    assert await viewer.verdicts() == ["revoked"] * 3


async def test_a_scheduled_revocation_comes_by_each_nodes_own_clock(site: Site) -> None:
    """So whoever schedules needs clocks that are right; on a fast one it comes early, never late."""
    async with site.pirate() as pirate:
        due_at = time.time() + 2.0
        done = await site.revoke(pirate, RIGHT, ALL, effective_at=due_at)
        due = time.monotonic() + due_at - time.time()
        assert done.status == 200
        await asyncio.sleep(due - time.monotonic() - 0.3)
        assert await pirate.verdicts() == ["served", "revoked", "served"]
        await asyncio.sleep(0.3 + BOUND_S)
        assert await pirate.verdicts() == ["revoked", "revoked", "served"]
        at_once = await site.revoke(pirate, FAST, ALL)
        await asyncio.sleep(BOUND_S)
        await pirate.wait_refused(BOUND_S)
        pirate.got_nothing_after(due + BOUND_S, done.at + BOUND_S, at_once.at + BOUND_S)


@pytest.mark.parametrize("at", [RIGHT, FAST, SLOW], ids=["by-the-right", "by-the-fast", "by-the-slow"])
async def test_a_revocation_expires_nowhere_before_the_session_it_stops(site: Site, at: int) -> None:
    viewer = await site.enter()
    done = await site.revoke(viewer, at, ALL)
    assert done.status == 200
    record = (await site.records(viewer.sid, at))["revocations"][0]
    # A day is how long a session lasts by default: here one that the fast node begins in a moment.
    assert record["expires_at"] > time.time() + 86_400 + SKEW_S


async def test_started_again_with_a_wrong_clock(site: Site) -> None:
    viewer = await site.enter()
    assert (await site.revoke(viewer, FAST, ALL)).status == 200
    await asyncio.sleep(0.5)
    await site.kill(FAST, SLOW)
    await site.start_again(FAST, SLOW)
    await site.ready()
    assert await viewer.verdicts() == ["revoked"] * 3
    await site.refuses_all_revoked()
    await site.serves_the_innocent()
