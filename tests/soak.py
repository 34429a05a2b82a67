"""``make soak``: three nodes for a day, under everything that viewers and operators do; memory must stay flat.

Every minute viewers come, play and go, some of them are revoked and others restored, thousands of sessions who are
nobody's are revoked for a while, nodes read their configuration again; every few minutes one dies by SIGKILL. A line
a minute says what happened, and what each node holds: resident memory and open descriptors.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

from tests.faults.site import BOUND_S, Site, running_site
from tests.faults.viewer import Viewer
from tests.relay_process import RelayProcess

MB = 1_000_000
MINUTE_S = 60.0
STALE_AFTER_S = 5.0
RESIDENTS, PIRATES = 2, 2
BULK, BULK_LASTS_S = 2000, 120
KILL_EVERY = 5
"""Minutes. Nodes b and c in turn: node a lives from start to end."""
WARM_UP = 10
"""Minutes that a process has to fill its caches, before what it holds is taken for its usual."""
MORE_BYTES, MORE_DESCRIPTORS = 64 * MB, 64
"""What a process may hold beyond its usual."""
FAULT_REASONS = {"state_stale"}
"""Why a node that has just started may refuse an innocent viewer."""
_numbers = count(1)


@dataclass
class Watched:
    """What one process of a node held, minute by minute."""

    pid: int
    resident: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def look(self, node: RelayProcess) -> None:
        """Note what it holds now."""
        self.resident.append(node.resident_bytes())
        self.descriptors.append(sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir()))

    def growth(self, warm_up: int) -> tuple[int, int]:
        """By how many bytes and descriptors it now holds more than the most that it held while warming up."""
        return (
            self.resident[-1] - max(self.resident[:warm_up]),
            self.descriptors[-1] - max(self.descriptors[:warm_up]),
        )


@dataclass
class Tally:
    """What was done since the start."""

    viewers: int = 0
    revoked: int = 0
    restored: int = 0
    reloads: int = 0
    kills: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{done} {what}" for what, done in asdict(self).items())


class Soak:
    """One run on a site."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self.site = site
        self.tally = Tally()
        self._chance = chance
        self._watched: dict[int, Watched] = {}

    async def minute(self, killed: int | None) -> None:
        """A minute of everything; ``killed`` is the node that dies in the midst of it. Raises AssertionError."""
        ends = time.monotonic() + MINUTE_S
        async with AsyncExitStack() as stack:
            residents = [await self.site.resident() for _ in range(RESIDENTS)]
            for viewer in residents:
                await stack.enter_async_context(viewer.taking())
            self.tally.viewers += RESIDENTS
            await self._bulk()
            while time.monotonic() < ends - 0.5 * MINUTE_S:
                await self._pirates()
                await self._reload()
            if killed is not None:
                await self._kill(killed)
            await asyncio.sleep(max(0.0, ends - time.monotonic()))
            for viewer in residents:
                _served(viewer, killed)

    def look(self, warm_up: int) -> tuple[str, list[str]]:
        """What the nodes hold, as text, and what is wrong with that."""
        held, wrong = [], []
        for node in self.site.nodes:
            watched = self._watched.setdefault(node.process.pid, Watched(node.process.pid))
            watched.look(node)
            name, resident, descriptors = node.folder.name, watched.resident[-1], watched.descriptors[-1]
            more_bytes, more_descriptors = watched.growth(warm_up)
            held.append(f"{name} {resident / MB:.1f} MB {descriptors} fds")
            if more_bytes > MORE_BYTES or more_descriptors > MORE_DESCRIPTORS:
                wrong.append(f"node {name} grew by {more_bytes / MB:.1f} MB and {more_descriptors} descriptors")
        return "   ".join(held), wrong

    async def _bulk(self) -> None:
        """Thousands of revocations, which expire."""
        items = [
            {"type": "session", "value": f"nobody-{next(_numbers)}", "duration_s": BULK_LASTS_S} for _ in range(BULK)
        ]
        done = await self.site.order_all(self._any(), items)
        assert done.status == 200, done
        self.tally.revoked += BULK

    async def _pirates(self) -> None:
        """Viewers whom every node serves are cut off, for good or until they are restored."""
        async with AsyncExitStack() as stack:
            pirates = [await stack.enter_async_context(self.site.pirate()) for _ in range(PIRATES)]
            self.tally.viewers += PIRATES
            for viewer in pirates:
                done = await self.site.revoke(viewer, self._any(), duration_s=10 * MINUTE_S)
                assert done.status == 200, done
                await asyncio.sleep(BOUND_S)
                await viewer.wait_refused(BOUND_S)
                viewer.got_nothing_after(done.at + BOUND_S)
                self.tally.revoked += 1
        viewer = pirates[0]
        done = await self.site.revoke(viewer, self._any(), "?wait=all&timeout_ms=5000", action="restore")
        assert done.status == 200, done
        assert await viewer.verdicts() == ["served"] * len(self.site.nodes)
        self.tally.restored += 1
        # Nobody is asked about for ever.
        self.site.revoked.clear()

    async def _reload(self) -> None:
        """A setting changes on one node."""
        at = self._any()
        file = self.site.nodes[at].folder / "relay.toml"
        head, sep, tail = file.read_text().partition("[streams.live]\n")
        assert sep
        _, known, rest = tail.partition("# soak\n")
        minutes = self._chance.randrange(60, 120)
        text = f'{head}{sep}window = "{minutes}m"\n# soak\n{rest if known else tail}'
        file.with_suffix(".new").write_text(text)
        file.with_suffix(".new").rename(file)
        await self.site.reload(at)
        self.tally.reloads += 1

    async def _kill(self, at: int) -> None:
        """A node dies while a revocation is on its way, and comes back knowing it."""
        async with self.site.pirate() as pirate:
            done = await self.site.revoke(pirate, at, duration_s=10 * MINUTE_S)
            assert done.status == 200, done
            await self.site.kill(at)
            await self.site.start_again(at)
            await self.site.ready(at)
            await pirate.wait_refused(2 * BOUND_S)
            pirate.got_nothing_after(done.at + BOUND_S)
        self.tally.revoked += 1
        self.tally.kills += 1
        await self.site.serves_the_innocent()

    def _any(self) -> int:
        return self._chance.randrange(len(self.site.nodes))


def _served(viewer: Viewer, killed: int | None) -> None:
    """Assert that every node served an innocent viewer all through, but for the one that was killed."""
    if killed is None:
        viewer.got_everything()
        return
    for at, taken in enumerate(viewer.taken):
        reasons = {why for _, why in taken.refused.values()}
        assert reasons <= (FAULT_REASONS if at == killed else set()), (at, taken)
        assert at == killed or not taken.broken, (at, taken)


async def soak(site: Site, minutes: int, warm_up: int, chance: random.Random) -> int:
    """Run; gives the status of the program."""
    run, begun = Soak(site, chance), time.monotonic()
    for number in range(1, minutes + 1):
        killed = 1 + number // KILL_EVERY % 2 if number % KILL_EVERY == KILL_EVERY // 2 else None
        await run.minute(killed)
        held, wrong = run.look(warm_up)
        print(f"{(time.monotonic() - begun) / 60:7.1f} min   {held}   {run.tally}", flush=True)  # noqa: T201 - progress
        if wrong:
            print("; ".join(wrong), flush=True)  # noqa: T201 - the result
            return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak for the time that the command line says. 1 where a process grew; an exception says what else went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=24 * 60)
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="minutes, from the start of each process")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="to go another way, or the same")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)  # noqa: T201 - to run it again
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        running_site(Path(folder), stale_after_s=STALE_AFTER_S) as site,
    ):
        return asyncio.run(soak(site, options.minutes, options.warm_up, random.Random(options.seed)))


if __name__ == "__main__":
    sys.exit(main())
