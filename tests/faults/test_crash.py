"""A node dies, or its disk does, at the worst moments of a revocation."""

import asyncio
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import aiohttp
import pytest

from tests.faults.site import BOUND_S, REPAIRED_S, Site, until
from tests.proxy import Mode
from tests.relay_process import RelayProcess
from tests.valkey import Data

A, B, C = range(3)
WAL = "journal.sqlite-wal"


@contextmanager
def disk_full(node: RelayProcess) -> Iterator[None]:
    """No file of a node can grow while the block runs, its log neither."""
    pid = node.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        if node.process.poll() is None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


async def test_killed_after_journal_before_publish(site: Site) -> None:
    """What one node alone knew, and had acknowledged, all learn when it comes back."""
    async with site.pirate() as pirate:
        site.proxies[C].mode = Mode.BLACKHOLE
        done = await site.revoke(pirate, C)
        assert done.status == 200
        await site.kill(C)
        assert await pirate.verdicts(A, B) == ["served", "served"]
        site.proxies[C].mode = Mode.PASS
        await site.start_again(C)
        await site.ready(C)
        back = time.monotonic()
        await pirate.wait_refused(2 * REPAIRED_S)
        pirate.got_nothing_after(back + REPAIRED_S, back + REPAIRED_S, done.at + BOUND_S)
    # And nobody waits for its former self to report.
    assert (await site.revoke(pirate, A, "?wait=all")).status == 200
    await site.serves_the_innocent()


@pytest.mark.parametrize("log", [Data.KEPT, Data.LOST], ids=["log-has-it", "only-peers-have-it"])
async def test_published_but_never_journalled(site: Site, log: Data) -> None:
    """A revocation that was not acknowledged has got around, and stays; with its author's death, too."""
    async with site.pirate() as pirate:
        with disk_full(site.nodes[A]):
            done = await site.revoke(pirate, A)
            assert (done.status, done.body["code"]) == (503, "state_unwritable")
            await asyncio.sleep(BOUND_S)
            await site.kill(A)
        await site.lose_the_log(log)
        await site.start_again(A)
        await site.ready(A)
        await pirate.wait_refused(BOUND_S)
        pirate.got_nothing_after(done.at + BOUND_S)
        await asyncio.sleep(0.5)
        records = [await site.records(pirate.sid, at) for at in (A, B, C)]
        assert [(page["revoked"], len(page["revocations"])) for page in records] == [(True, 1)] * 3
    await site.serves_the_innocent()


async def test_disk_full(site: Site) -> None:
    """No promise is made, but the viewer stays out; what is owed is written when there is room again."""
    async with site.pirate() as pirate, site.pirate() as other:
        with disk_full(site.nodes[A]):
            refused = await site.revoke(pirate, A)
            assert (refused.status, refused.body["code"]) == (503, "state_unwritable")
            elsewhere = await site.revoke(other, B)
            assert elsewhere.status == 200
            await asyncio.sleep(BOUND_S)
            await pirate.wait_refused(BOUND_S)
            await other.wait_refused(BOUND_S)
            await site.serves_the_innocent()
        async with site.pirate() as third:
            done = await site.revoke(third, A)
            assert done.status == 200
            await third.wait_refused(BOUND_S)
        pirate.got_nothing_after(refused.at + BOUND_S)
        other.got_nothing_after(elsewhere.at + BOUND_S)
        await asyncio.sleep(BOUND_S)
    await site.kill(A)
    await site.start_again(A)
    for viewer in (pirate, other, third):
        assert (await site.records(viewer.sid, A))["revoked"]
    await site.refuses_all_revoked()


@pytest.mark.parametrize(
    ("left", "log"),
    [(0.0, Data.LOST), (0.5, Data.KEPT), (0.999, Data.KEPT)],
    ids=["nothing-left-nor-in-the-log", "half-left", "last-bytes-torn"],
)
async def test_torn_journal_tail(site: Site, left: float, log: Data) -> None:
    """What the disk lost of it, the log or the other nodes still have."""
    async with site.pirate() as pirate:
        done = await site.revoke(pirate, A, "?wait=all&timeout_ms=5000")
        assert done.status == 200
        await asyncio.sleep(0.5)
        await site.kill(A)
        wal = site.nodes[A].folder / "state" / WAL
        size = wal.stat().st_size
        assert size > 0
        with wal.open("r+b") as file:
            file.truncate(int(size * left))
        await site.lose_the_log(log)
        await site.start_again(A)
        await site.ready(A)
        await pirate.wait_refused(BOUND_S)
        pirate.got_nothing_after(done.at + BOUND_S)
    await site.refuses_all_revoked()
    await site.serves_the_innocent()


async def test_killed_amid_a_burst_of_revocations(site: Site) -> None:
    """Of all that were being taken, those that were answered stay."""
    acknowledged: list[str] = []
    viewers = [await site.enter() for _ in range(3)]

    async def revoke(client: aiohttp.ClientSession, sid: str) -> None:
        headers = {"Authorization": f"Bearer {site.nodes[B].api_key}"}
        url = f"{site.nodes[B].control}/api/v1/drm/revoke"
        with suppress(aiohttp.ClientError):
            async with client.post(url, json={"session_id": sid}, headers=headers) as answer:
                if answer.status == 200:
                    acknowledged.append(sid)

    async with aiohttp.ClientSession() as client:
        sids = [f"burst-{number}" for number in range(400)]
        sids[100:100] = [viewer.sid for viewer in viewers]
        calls = [asyncio.create_task(revoke(client, sid)) for sid in sids]
        await until(lambda: len(acknowledged) >= 150)
        await site.kill(B)
        await asyncio.gather(*calls)
    await site.lose_the_log()
    await site.start_again(B)
    await site.ready(B)
    known = [(await site.records(sid, B))["revoked"] for sid in acknowledged]
    assert 150 <= len(acknowledged) < len(sids)
    assert all(known)
    site.revoked += [viewer for viewer in viewers if viewer.sid in acknowledged]
    await site.refuses_all_revoked()


async def test_started_while_the_log_is_out_of_reach(site: Site) -> None:
    """It knows that it does not know: nobody is served before it has caught up."""
    async with site.pirate() as pirate:
        await site.kill(C)
        site.proxies[C].mode = Mode.BLACKHOLE
        done = await site.revoke(pirate, A)
        assert done.status == 200
        await site.start_again(C)
        asked_from = time.monotonic()
        await asyncio.sleep(1.0)
        assert await pirate.verdicts(C) == ["state_stale"]
        pirate.got_nothing_after(done.at + BOUND_S, done.at + BOUND_S, asked_from)
        site.proxies[C].mode = Mode.PASS
        await site.ready(C)
        await pirate.wait_refused(BOUND_S)
        pirate.got_nothing_after(done.at + BOUND_S, done.at + BOUND_S, asked_from)
    await site.serves_the_innocent()


async def test_nothing_that_was_acknowledged_is_lost_with_the_log_and_all_nodes_at_once(site: Site) -> None:
    """That of all tests so far."""
    viewer = await site.enter()
    assert (await site.revoke(viewer)).status == 200
    await site.kill(A, B, C)
    await site.lose_the_log()
    await site.start_again(A, B, C)
    await site.refuses_all_revoked()
    await site.serves_the_innocent()
