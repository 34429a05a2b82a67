"""The log delivers what it likes, as often as it likes, in any order: all nodes come to the same."""

import asyncio
import random
import shutil
import time
from typing import Any

from redis.asyncio import Redis

from keys.material import RootKey
from keys.ring import KeyRing
from keys.seal import Sealer
from relay.gate.targets import TargetType
from relay.state.events import Action, Event, Revocation, encode_batch
from relay.state.messages import Envelope, Message
from tests.faults.site import Site
from tests.faults.viewer import Viewer

A, B, C = range(3)
ALL = "?wait=all&timeout_ms=5000"
STREAM = "segmentgate:events"
ORDERS = (["revoke"], ["revoke", "restore"], ["revoke", "restore", "revoke"], ["restore"])


async def make_history(site: Site) -> dict[Viewer, str]:
    """Sessions that were revoked and restored on all nodes in turn, and what to say of each in the end."""
    wanted = {}
    for number, orders in enumerate(ORDERS):
        viewer = await site.enter()
        for step, action in enumerate(orders):
            assert (await site.revoke(viewer, (number + step) % 3, ALL, action=action)).status == 200
        wanted[viewer] = "revoked" if orders[-1] == "revoke" else "served"
    return wanted


async def add(site: Site, entries: list[bytes]) -> None:
    """Add messages to the log."""
    async with Redis.from_url(site.valkey.url) as log:
        for entry in entries:
            await log.xadd(STREAM, {"m": entry})


async def deliver(site: Site, entries: list[bytes]) -> None:
    """Add messages to the log, and wait until all nodes have read them."""
    await add(site, entries)
    marker = await site.enter()
    assert (await site.revoke(marker, A, ALL)).status == 200


async def messages(site: Site) -> list[bytes]:
    """Everything in the log."""
    async with Redis.from_url(site.valkey.url) as log:
        entries: Any = await log.xrange(STREAM)
    return [fields[b"m"] for _, fields in entries]


async def verdicts(viewers: dict[Viewer, str]) -> dict[Viewer, set[str]]:
    found = await asyncio.gather(*(viewer.verdicts() for viewer in viewers))
    return {viewer: set(said) for viewer, said in zip(viewers, found, strict=True)}


async def test_duplicated_and_reordered_delivery(site: Site) -> None:
    wanted = await make_history(site)
    known = await messages(site)
    again = known * 2
    random.Random(7).shuffle(again)
    await deliver(site, again)
    assert await verdicts(wanted) == {viewer: {said} for viewer, said in wanted.items()}


async def test_a_new_node_reads_a_log_that_is_out_of_order(site: Site) -> None:
    wanted = await make_history(site)
    backwards = (await messages(site))[::-1]
    await asyncio.to_thread(site.nodes[C].stop)
    shutil.rmtree(site.nodes[C].folder / "state")
    async with Redis.from_url(site.valkey.url) as log:
        await log.delete(STREAM)
    await add(site, backwards)
    await site.start_again(C)
    await site.ready()
    assert await verdicts(wanted) == {viewer: {said} for viewer, said in wanted.items()}


async def test_what_no_node_wrote_is_passed_over(site: Site) -> None:
    wanted = await make_history(site)
    known = await messages(site)
    forged = [b"", b"\x00" * 40, *(entry[:-1] + bytes([entry[-1] ^ 1]) for entry in known[-5:]), known[-1][:20]]
    await deliver(site, forged + known[-5:])
    assert await verdicts(wanted) == {viewer: {said} for viewer, said in wanted.items()}


async def test_of_two_with_the_same_stamp_the_revocation_stands(site: Site) -> None:
    """Whichever of them comes first."""
    root = bytes.fromhex((site.nodes[A].folder / "root.key").read_text())
    envelope = Envelope(Sealer(KeyRing([RootKey(1, root)]).service_keys("shared log")))
    first, second = await site.enter(), await site.enter()
    stamp = int(time.time() * 1000) << 16

    def message(viewer: Viewer, origin: str, action: Action) -> bytes:
        event: Event = Revocation(
            origin=origin, seq=1, order=stamp, action=action, type=TargetType.SESSION, value=viewer.sid,
            created_at=0.0, expires_at=4e9,
        )  # fmt: skip
        return envelope.seal(Message(origin, False, [(origin, 1, 1)], encode_batch([event])))

    revoke, restore = Action.REVOKE, Action.RESTORE
    entries = [
        message(first, "1" * 16, revoke), message(first, "2" * 16, restore),
        message(second, "3" * 16, restore), message(second, "4" * 16, revoke),
    ]  # fmt: skip
    await deliver(site, entries)
    assert await first.verdicts() == await second.verdicts() == ["revoked"] * 3
