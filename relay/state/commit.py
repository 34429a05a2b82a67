"""Group commit: what waits for the journal goes into few transactions, in one thread.

A disk makes some hundred transactions a second; so many events a second must not wait in line for one each.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import NamedTuple

import structlog

from relay.errors import JournalError
from relay.state.events import Event
from relay.state.journal import Journal
from relay.state.vector import Span
from relay.telemetry.metrics import JOURNAL_DROPPED, JOURNAL_OWED

GROUP_EVENTS, PART_EVENTS = 512, 256
"""In one transaction, and of one write in it: a larger batch leaves room for what others write meanwhile."""
MAX_OWED = 200_000
RETRY_S = 1.0
PACE_S = 0.005
"""Between two transactions: under load more then goes in one. What comes alone never waits."""
SETTLED_AT_ONCE = 8
"""Who is told that his events are written before the event loop may turn: each has an answer to write, and while a
disk is slow hundreds wait for one transaction. What is to be cut meanwhile must not wait for them."""
LINGER_S = 0.1
"""How long events that nobody waits for may wait for others: their author's journal has them, and each transaction
costs a write to the disk that those who do wait are waiting for."""
_log = structlog.get_logger()


class _Entry(NamedTuple):
    events: Sequence[Event]
    written: "asyncio.Future[None] | None"


class GroupCommit:
    """Writes events to a journal.

    Events in force here that are not written yet are *owed*, as are those that could not be written, to be tried again.
    ``complete`` is false once there were too many to keep: journal and memory then no longer hold every event that
    was applied, and this node can vouch for no span of them.
    """

    def __init__(self, journal: Journal) -> None:
        self.complete = True
        self._journal = journal
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        # What somebody waits for goes first.
        self._waiting: tuple[deque[_Entry], deque[_Entry]] = (deque(), deque())
        self._owed: dict[tuple[str, int], Event] = {}
        self._arrived = asyncio.Event()
        self._awaited = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None

    @property
    def crowded(self) -> bool:
        """Whether so much is owed that whoever brings more should wait."""
        return len(self._owed) > MAX_OWED // 4

    def owe(self, events: Sequence[Event]) -> None:
        """Hold events that are about to be applied here, until they are written: :meth:`read` must never miss one."""
        for event in events:
            if len(self._owed) < MAX_OWED:
                self._owed[event.origin, event.seq] = event
            elif self.complete:
                self.complete = False
                _log.error("journal_owed_too_much", events=MAX_OWED)
        JOURNAL_OWED.set(len(self._owed))

    async def write(self, events: Sequence[Event]) -> None:
        """Make events durable: one, or many each of which is owed by now.

        Raises :class:`JournalError`; then they are owed.
        """
        # Part by part: whoever has one event to write waits for one of these, not for ten thousand.
        for at in range(0, len(events), PART_EVENTS):
            part = events[at : at + PART_EVENTS]
            if at and not any((event.origin, event.seq) in self._owed for event in part):
                # Written with all that was owed, while the part before it was: this was closed, or had failed.
                continue
            written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._take(_Entry(part, written))
            # Shielded: who hangs up must not take along what others wait for in the same transaction.
            await asyncio.shield(written)

    def write_later(self, events: Sequence[Event]) -> None:
        """Make events durable some time soon."""
        self._take(_Entry(events, None))

    async def read(self, span: Span) -> list[Event]:
        """Every event of a span that was applied here and still matters, in order, written yet or not."""
        origin, first, last = span
        # Those owed first: one that is written meanwhile is then found twice, never missed.
        found = {seq: event for (of, seq), event in self._owed.items() if of == origin and first <= seq <= last}
        stored = await asyncio.get_running_loop().run_in_executor(self._thread, self._read, span)
        found |= {event.seq: event for event in stored}
        return [found[seq] for seq in sorted(found)]

    async def close(self) -> None:
        """Write what waits, once, and end the thread. The journal stays open."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._writing is not None:
            await self._writing
        await self._write_group([*chain(*self._waiting), _Entry(list(self._owed.values()), None)])
        self._thread.shutdown()

    def _take(self, entry: _Entry) -> None:
        self._waiting[entry.written is None].append(entry)
        self._arrived.set()
        if entry.written is not None:
            self._awaited.set()
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while any(self._waiting) or self._owed:
            if not any(self._waiting):
                # What is new does not wait for what failed.
                self._arrived.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._arrived.wait(), RETRY_S)
            if not self._waiting[0]:
                self._awaited.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._awaited.wait(), LINGER_S)
            # Shielded: who waits for what is being written when this is closed must hear of it.
            self._writing = asyncio.ensure_future(self._write_group(self._next_group()))
            await asyncio.shield(self._writing)
            await asyncio.sleep(PACE_S)

    def _next_group(self) -> list[_Entry]:
        group: list[_Entry] = []
        size = 0
        for waiting in self._waiting:
            while waiting and (not group or size + len(waiting[0].events) <= GROUP_EVENTS):
                group.append(waiting.popleft())
                size += len(group[-1].events)
        return group or [_Entry(list(self._owed.values())[:GROUP_EVENTS], None)]

    async def _write_group(self, group: list[_Entry]) -> None:
        events = [event for entry in group for event in entry.events]
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._journal.append, events)
        except (JournalError, MemoryError, RuntimeError) as err:
            # For want of a disk, of memory, of a thread: no fault of the events, so none of them may be given up.
            failure = err if isinstance(err, JournalError) else JournalError(f"journal: {type(err).__name__}")
            _log.error("journal_unwritable", events=len(events), error=str(failure))
            for entry in group:
                self.owe(entry.events)
                _settle(entry, failure)
        except Exception as err:
            # A bug, and its text may tell what was to be written.
            _log.error("bug", error=type(err).__name__, events=len(events))
            await self._write_apart(group, JournalError(f"an event that cannot be written: {type(err).__name__}"))
        else:
            self._pay(events)
            for number, entry in enumerate(group, start=1):
                _settle(entry, None)
                if number % SETTLED_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _write_apart(self, group: list[_Entry], err: JournalError) -> None:
        """Find the event that no journal takes, by halves: the others must not suffer for it."""
        if len(group) > 1:
            half = len(group) // 2
            for entries in (group[:half], group[half:]):
                await self._write_group(entries)
            return
        entry = group[0]
        if entry.written is not None:
            _settle(entry, err)
        elif len(entry.events) > 1:
            half = len(entry.events) // 2
            for events in (entry.events[:half], entry.events[half:]):
                await self._write_group([_Entry(events, None)])
        else:
            # Nor can it be told to other nodes, so none of them will ask for it.
            JOURNAL_DROPPED.inc(len(entry.events))
            self._pay(entry.events)

    def _pay(self, events: Iterable[Event]) -> None:
        for event in events:
            self._owed.pop((event.origin, event.seq), None)
        JOURNAL_OWED.set(len(self._owed))

    def _read(self, span: Span) -> list[Event]:
        return list(self._journal.of(*span))


def _settle(entry: _Entry, err: JournalError | None) -> None:
    if entry.written is not None and not entry.written.done():
        if err is None:
            entry.written.set_result(None)
        else:
            entry.written.set_exception(err)
