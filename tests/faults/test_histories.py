"""Histories of revocations, restores and requests under faults that come and go, checked afterwards.

Once a node has acknowledged a revocation for all nodes, none may allow what begins later, until a restore is called
for. Requests and calls are judged by when they began and ended on the one clock of the test.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

import aiohttp

from tests.faults.site import Site
from tests.faults.viewer import Viewer
from tests.proxy import Mode
from tests.valkey import Data

A, B, C = range(3)
SECONDS = 10.0
VIEWERS = 6
ALL = "?wait=all&timeout_ms=2500"


class Interval(NamedTuple):
    """When something began and ended."""

    began: float
    ended: float


@dataclass
class History:
    """What happened to one viewer: when he was allowed by which node, and what the operator did."""

    allowed: list[tuple[int, Interval]] = field(default_factory=list)
    revoked: list[Interval] = field(default_factory=list)
    """Calls that were acknowledged for all nodes."""
    restored: list[Interval] = field(default_factory=list)
    """Calls, whatever became of them."""
    last: str = ""
    """What the last call that was acknowledged by any node ordered; empty if a later one's fate is unknown."""

    def violations(self) -> list[str]:
        """What was allowed between the acknowledgement of a revocation and the next call to restore."""
        found = []
        for revocation in self.revoked:
            until = min((call.began for call in self.restored if call.began > revocation.began), default=inf)
            found += [
                f"node {at} at {request.began:.2f}: {request.began - revocation.ended:.3f} s after acknowledgement"
                for at, request in self.allowed
                if request.began > revocation.ended and request.ended < until
            ]
        return found


def test_the_checker_finds_what_is_wrong() -> None:
    history = History(revoked=[Interval(1, 2), Interval(6, 7)], restored=[Interval(4, 5)])
    fine = [Interval(0, 1), Interval(1.9, 3), Interval(3, 4.1), Interval(5, 6), Interval(6.5, 8)]
    history.allowed = [(A, request) for request in fine]
    assert history.violations() == []
    history.allowed = [(A, Interval(2.1, 2.2)), (B, Interval(7.1, 9))]
    assert len(history.violations()) == 2


async def watch(site: Site, viewer: Viewer, history: History, at: int) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as client:
        while True:
            began = time.monotonic()
            with suppress(aiohttp.ClientError, TimeoutError):
                if await viewer.verdict(client, at) == "served":
                    history.allowed.append((at, Interval(began, time.monotonic())))
            await asyncio.sleep(random.uniform(0.005, 0.03))


async def operate(site: Site, viewer: Viewer, history: History, until: float) -> None:
    """Revoke and restore in turn, each time through any node."""
    action = "revoke"
    while time.monotonic() < until:
        began, status = time.monotonic(), 0
        if action == "restore":
            history.restored.append(Interval(began, inf))
        with suppress(aiohttp.ClientError, TimeoutError):
            status = (await site.order(random.randrange(3), ALL, value=viewer.sid, action=action)).status
        history.last = action if status in (200, 202) else ""
        if action == "revoke" and status == 200:
            history.revoked.append(Interval(began, time.monotonic()))
        await asyncio.sleep(random.uniform(0.05, 0.3))
        if status == 200:
            action = "restore" if action == "revoke" else "revoke"


async def trouble(site: Site, chance: random.Random, until: float) -> list[str]:
    """One fault after another, with a breath in between. Returns what happened when."""
    happened = []

    async def cut_off() -> None:
        proxy = chance.choice(site.proxies)
        proxy.mode = chance.choice([Mode.BLACKHOLE, Mode.DROP_REQUESTS, Mode.DROP_ANSWERS, Mode.DROP_HALF, Mode.REFUSE])
        await asyncio.sleep(chance.uniform(0.3, 1.5))
        proxy.mode = Mode.PASS

    async def slow() -> None:
        proxy = chance.choice(site.proxies)
        proxy.delay_s = 0.3
        await asyncio.sleep(chance.uniform(0.3, 1.0))
        proxy.delay_s = 0.0

    async def fail_over() -> None:
        await asyncio.to_thread(site.valkey.checkpoint)
        await asyncio.sleep(chance.uniform(0.1, 0.5))
        await site.lose_the_log(chance.choice([Data.CHECKPOINT, Data.LOST]))

    async def crash() -> None:
        at = chance.randrange(3)
        await site.kill(at)
        await asyncio.sleep(chance.uniform(0, 0.3))
        await site.start_again(at)

    faults = [cut_off, slow, fail_over, crash]
    while time.monotonic() < until:
        chance.shuffle(faults)
        for fault in faults:
            began = time.monotonic()
            await fault()
            happened.append(f"{began:.2f} to {time.monotonic():.2f}: {fault.__name__}")
            await asyncio.sleep(chance.uniform(0.1, 0.4))
    return happened


async def run(site: Site, viewers: Sequence[Viewer], seed: int) -> tuple[list[History], list[str]]:
    histories = [History() for _ in viewers]
    until = time.monotonic() + SECONDS
    pairs = list(zip(viewers, histories, strict=True))
    watching = [asyncio.create_task(watch(site, *pair, at)) for pair in pairs for at in (A, B, C)]
    try:
        operating = [asyncio.create_task(operate(site, *pair, until)) for pair in pairs]
        happened = await trouble(site, random.Random(seed), until)
        await asyncio.gather(*operating)
        await asyncio.to_thread(site.mend)
        await asyncio.sleep(1.0)
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    return histories, happened


async def test_once_acknowledged_for_all_no_node_allows(site: Site) -> None:
    seed = random.randrange(10**6)
    viewers = [await site.enter() for _ in range(VIEWERS)]
    histories, happened = await run(site, viewers, seed)
    assert [history.violations() for history in histories] == [[] for _ in viewers], (seed, happened)
    # There was something to judge.
    assert sum(len(history.revoked) for history in histories) >= 3
    assert {at for history in histories for at, _ in history.allowed} == {A, B, C}
    wanted = {"revoke": ["revoked"] * 3, "restore": ["served"] * 3}
    deadline = time.monotonic() + 10
    for viewer, history in zip(viewers, histories, strict=True):
        while history.last and (found := await viewer.verdicts()) != wanted[history.last]:
            assert time.monotonic() < deadline, (history.last, found, seed, happened)
            await asyncio.sleep(0.1)
    await site.serves_the_innocent()
