"""Replicas of several nodes in one process, on a real server, with clocks and disks that fail as a test says."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from keys.seal import Sealer
from relay.errors import JournalError
from relay.gate.targets import Target, TargetType
from relay.model import Cut
from relay.state.drafts import Draft
from relay.state.events import Action, Event, Revocation
from relay.state.journal import Journal
from relay.state.log import LogSettings, SharedLog
from relay.state.messages import Envelope
from relay.state.replica import Replica, new_incarnation
from relay.state.state import State
from relay.state.tasks import end_tasks
from tests.valkey import Valkey

ENVELOPE = Envelope(Sealer([b"k" * 32]))
LATER = 4_000_000_000.0


class SlowJournal(Journal):
    """A journal whose disk takes as long as the test says, or is full."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self.disk = threading.Event()
        self.disk.set()
        self.full = False
        self.transactions = 0

    def append(self, events: Sequence[Event]) -> None:
        self.disk.wait(timeout=5)  # a test that failed in between must not hang
        if self.full:
            raise JournalError("full")
        self.transactions += 1
        super().append(events)


class Node:
    """One replica with its journal; ``skew_s`` is how wrong its clock is."""

    def __init__(self, name: str, path: Path | str, url: str = "", skew_s: float = 0.0) -> None:
        self.name = name
        self.journal = SlowJournal(path)
        origin = new_incarnation()
        log = SharedLog(LogSettings(url, io_timeout_s=0.6), ENVELOPE, origin) if url else None
        self.log = log
        self.replica = Replica(State(), self.journal, lambda: time.time() + skew_s, name, origin, log)
        self.applied: list[tuple[str, str]] = []
        self.replica.on_applied.append(self._note)

    def _note(self, events: Sequence[Event], path: str) -> Cut:
        self.applied += [(event.value, path) for event in events if isinstance(event, Revocation)]
        return Cut(len(events), 2 * len(events))

    def draft(self, *sids: str, action: Action = Action.REVOKE) -> list[Revocation]:
        drafts = [
            Draft(action=action, type=TargetType.SESSION, value=sid, created_at=time.time(), expires_at=LATER)
            for sid in sids
        ]
        return self.replica.stamp(drafts)

    async def submit(self, *sids: str, action: Action = Action.REVOKE, ask: bool = False) -> list[Revocation]:
        """What every control call does: apply, then make durable and publish side by side."""
        events = self.draft(*sids, action=action)
        self.replica.apply(events)
        await asyncio.gather(self.replica.persist(events), self.replica.publish(events, ask))
        return events

    def revokes(self, *sids: str) -> bool:
        standings = [self.replica.state.revocations.get(Target(TargetType.SESSION, sid)) for sid in sids]
        return all(standing is not None and standing.revoked for standing in standings)

    async def crash(self) -> None:
        """Stop as kill -9 does, as far as a test in one process can: nothing is flushed, nobody is told."""
        await end_tasks(self.replica._tasks)
        if self.log is not None:
            await self.log._hang_up()
        commit = self.replica._commit
        if commit._task is not None:
            commit._task.cancel()
            await asyncio.wait([commit._task])
        commit._thread.shutdown()
        self.journal.close()


async def until(condition: Callable[[], object], timeout_s: float = 8.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.01)


class Cluster:
    """Nodes on one server, by name; journals keep their place over restarts."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.nodes: dict[str, Node] = {}

    async def start(self, name: str, url: str = "", skew_s: float = 0.0, ready: bool = True) -> Node:
        node = Node(name, self.folder / f"{name}.sqlite", url or self.url, skew_s)
        await node.replica.start()
        self.nodes[name] = node
        if ready:
            await until(lambda: node.replica.ready)
        return node

    async def crash(self, name: str) -> None:
        await self.nodes.pop(name).crash()

    async def stop(self, name: str) -> None:
        node = self.nodes.pop(name)
        await node.replica.close()
        node.journal.close()

    async def all_know_each_other(self) -> None:
        count = len(self.nodes) - 1
        await until(lambda: all(len(n.replica.members()) >= count for n in self.nodes.values()))

    async def all_revoke(self, *sids: str, timeout_s: float = 8.0) -> None:
        await until(lambda: all(node.revokes(*sids) for node in self.nodes.values()), timeout_s)


@asynccontextmanager
async def cluster_on(server: Valkey, folder: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(folder, server.url)
    try:
        yield cluster
    finally:
        for name in list(cluster.nodes):
            await cluster.stop(name)


@asynccontextmanager
async def alone(path: Path | str) -> AsyncIterator[Node]:
    node = Node("alone", path)
    await node.replica.start()
    try:
        yield node
    finally:
        await node.replica.close()
        node.journal.close()
