"""Keeping a node's files in shape: a fresh snapshot now and then, and a journal without what nobody needs."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from relay.errors import JournalError
from relay.state.journal import Journal
from relay.state.snapshot import SnapshotError, load_snapshot, save_snapshot
from relay.state.state import State
from relay.state.vector import Vector

_INCARNATION = "incarnation"
COMPACT_S = 60.0
SNAPSHOT_S = 600.0
_STEP_PAUSE_S = 0.05
"""Between two steps of compaction: the journal is free for revocations meanwhile."""
_log = structlog.get_logger()


class Upkeep:
    """The files of one node. ``snapshot`` is where snapshots go, None for a node that keeps nothing."""

    def __init__(
        self, state: State, vector: Vector, journal: Journal, snapshot: Path | None, clock: Callable[[], float]
    ) -> None:
        self._state = state
        self._vector = vector
        self._journal = journal
        self._snapshot = snapshot
        self._clock = clock
        self._saved: dict[str, int] = {}

    def load(self) -> None:
        """Fold in all that this node knew: the snapshot, then what the journal has beyond it.

        Raises :class:`relay.errors.ConfigError` for a journal that cannot be read.
        """
        began = time.monotonic()
        if self._snapshot is not None and self._snapshot.exists():
            try:
                self._saved = load_snapshot(self._snapshot, self._state)
            except SnapshotError as err:
                _log.warning("snapshot_unusable", error=str(err))
        # Only what the journal holds may be announced: what is in the snapshot alone could not be offered again.
        for origin, whole in self._journal.vector().items():
            self._vector.add(origin, 1, whole)
        replayed = 0
        for event in self._journal.replay(self._saved):
            self._state.apply(event, 0.0)
            self._vector.add(event.origin, event.seq, event.seq)
            replayed += 1
        seconds = round(time.monotonic() - began, 3)
        _log.info("state_loaded", revocations=len(self._state.revocations), replayed=replayed, seconds=seconds)

    def succeed(self, incarnation: str) -> str:
        """Put down that these files are now this incarnation's. Returns whose they were; empty if nobody's."""
        former = ""
        try:
            former = (self._journal.meta(_INCARNATION) or b"").decode()
            self._journal.set_meta(_INCARNATION, incarnation.encode())
        except JournalError as err:
            # The next incarnation will then not know of this one, and wait until it has been silent for long enough.
            _log.error("succession_unwritten", error=str(err))
        return former

    async def keep(self) -> None:
        """Compact every minute and take a snapshot every ten. Never returns."""
        snapshot_at = time.monotonic() + SNAPSHOT_S
        while True:
            await asyncio.sleep(COMPACT_S)
            try:
                await self.compact()
                if time.monotonic() >= snapshot_at:
                    snapshot_at = time.monotonic() + SNAPSHOT_S
                    await self.save()
            except JournalError as err:
                _log.error("upkeep_failed", error=str(err))

    async def compact(self) -> None:
        """Drop what nobody needs any more. Raises :class:`JournalError`."""
        self._state.documents.forget(self._clock())
        more = True
        while more:
            more = await asyncio.to_thread(self._journal.compact, self._clock())
            await asyncio.sleep(_STEP_PAUSE_S)

    async def save(self) -> None:
        """Take a snapshot, if anything has changed. Raises :class:`JournalError`."""
        vector = self._vector.extent.whole
        if self._snapshot is not None and vector != self._saved:
            await save_snapshot(self._snapshot, self._state, vector)
            self._saved = vector
