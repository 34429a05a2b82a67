"""The replica: this node's copy of the shared state, and the only way to change it.

An event is applied here first, then written to the journal and sent to the other nodes side by side. What survives
what:

- *Acknowledged* means in the journal of the node that took it. That survives the process and, with the disk, the
  machine; the log's server may lose everything without losing one of them (:mod:`relay.state.repair`).
- Before that an event is in force on this node alone. It may have reached others although this node dies before it is
  written, and then lives on there, for every node journals all that it applies. For the same reason numbers are never
  used again: every start of a node is a new *incarnation* with numbers of its own.
- What a node announces (its extent) is what it has *applied*. If it dies before its journal has that, it announces
  less when it comes back, and is given the rest again.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import structlog

from relay.errors import JournalError, RequestError
from relay.model import Cut
from relay.state.clock import HybridClock
from relay.state.commit import GroupCommit
from relay.state.drafts import Drafted
from relay.state.events import (
    MAX_BATCH,
    DocumentPut,
    Event,
    Revocation,
    SaltDrawn,
    decode_event,
    encode_event,
)
from relay.state.journal import Journal
from relay.state.log import SharedLog
from relay.state.messages import Message, Report, messages_of
from relay.state.repair import Repair
from relay.state.reports import NodeReport, Question, Questions, Wait, enough
from relay.state.state import State
from relay.state.tasks import end_tasks
from relay.state.upkeep import Upkeep
from relay.state.vector import Vector
from relay.telemetry.metrics import LOG_DROPPED, REVOCATION_APPLY

E = TypeVar("E", Revocation, DocumentPut)
__all__ = ["NodeReport", "NodeView", "OnApplied", "Replica", "Wait", "enough", "new_incarnation"]

SLICE = 4
"""Events applied before the event loop may turn: a fifth of a millisecond."""
GATHER_S = 0.005
"""Between two messages of single events: under load more of them then go in one, and each message costs every node
half a millisecond. What comes alone never waits."""
_JOURNAL_PATIENCE_S = 0.25
_log = structlog.get_logger()
_FLUSH_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class NodeView:
    """Another node as operators see it: how long ago it was heard of, and how many events it had not applied then."""

    node: str
    live: bool
    seen_s: float
    lag_events: int


OnApplied = Callable[[Sequence[Event], str], Cut]
"""Called with events just applied, revocations among them, and the path they came by: "local", "stream" or
"antientropy". Cuts."""


def new_incarnation() -> str:
    """A name for one run of a node: 16 hex digits."""
    return secrets.token_hex(8)


class Replica:
    """The state of one node. ``clock`` gives seconds since the epoch; ``name`` is what operators call the node.

    ``log`` is this node's end of the shared log, made for the incarnation ``origin``; without one this node is all
    there is. ``snapshot`` is the file that lets it start without reading its whole journal.
    """

    def __init__(
        self,
        state: State,
        journal: Journal,
        clock: Callable[[], float],
        name: str,
        origin: str,
        log: SharedLog | None = None,
        snapshot: Path | None = None,
    ) -> None:
        self.state = state
        self.name = name
        self.origin = origin
        self.on_applied: list[OnApplied] = []
        self.background: list[Callable[[], Coroutine[Any, Any, None]]] = []
        """What runs from :meth:`start` to :meth:`close` beside the replica's own work."""
        self._commit = GroupCommit(journal)
        self._clock = clock
        self._stamps = HybridClock()
        self._vector = Vector()
        # Salts may be drawn in a thread: a number must never be given twice.
        self._numbers = count(1)
        self._log = log
        self._repair = Repair(name, origin, log, self._commit, self._vector) if log else None
        self._upkeep = Upkeep(state, self._vector, journal, snapshot, clock)
        self._questions = Questions(origin)
        self._gathered: list[Event] = []
        self._gathered_at = -inf
        self._loaded = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Load what this node knew, then begin to follow the log. Returns before this node has caught up.

        Raises :class:`relay.errors.ConfigError` for a journal that cannot be read.
        """
        await asyncio.to_thread(self._upkeep.load)
        former = await asyncio.to_thread(self._upkeep.succeed, self.origin)
        self._stamps.observe(self.state.latest, self._clock())
        self._loaded = True
        loops = [self._upkeep.keep()]
        if self._log is not None and self._repair is not None:
            loops += [self._log.follow(self._receive, self._hear), self._log.send(), self._repair.keep(former)]
        loops += [work() for work in self.background]
        self._tasks = [asyncio.ensure_future(loop) for loop in loops]

    async def close(self) -> None:
        """Leave the other nodes and write what is owed. The journal stays open."""
        if self._log is not None:
            self._send_gathered()
            await self._log.flush(_FLUSH_PATIENCE_S)
        await end_tasks(self._tasks)
        if self._log is not None:
            await self._log.leave()
        await self._commit.close()

    @property
    def ready(self) -> bool:
        """Whether this node has every event that others had when it started."""
        return self._loaded and (self._repair is None or self._repair.ready)

    @property
    def shared(self) -> bool:
        """Whether there may be other nodes."""
        return self._log is not None

    async def claim(self, name: str, value: bytes) -> bytes:
        """The value of ``name`` for all nodes: ``value``, unless another was first. Raises
        :class:`relay.state.log.LogError`."""
        return await self._log.claim(name, value) if self._log else value

    def age(self, now: float) -> float:
        """Seconds since when events taken elsewhere may be missing here. 0 without a log; infinite until ready.

        ``now`` is not used: a wall clock set back must not make stale state look fresh.
        """
        return self._repair.age() if self._repair else 0.0

    def is_sure(self) -> bool:
        """Whether what is not known here is known nowhere: this node is up to date, and nobody else has gone quiet.

        Whoever has taken something and waited five seconds for a node in vain may rely on
        that node not being sure by then.
        """
        return self._repair is None or self._repair.is_sure()

    def stamp(self, drafts: Sequence[Drafted[E]]) -> list[E]:
        """Give drafts their numbers, and their place after everything seen so far.

        Raises :class:`relay.errors.RequestError` where one could not be read back from a journal.
        """
        for draft in drafts:
            # Before any has a number: a number that is not used is a gap that never closes.
            _check(draft.numbered(self.origin, 1, 0))
        now = self._clock()
        return [draft.numbered(self.origin, self.next_seq(), self._stamps.stamp(now)) for draft in drafts]

    def next_seq(self) -> int:
        """The number of this node's next event. It must be applied and published, too: a gap would never close."""
        return next(self._numbers)

    def apply(self, events: Sequence[Event]) -> Cut:
        """Put this node's own events in force here, at once: a revoked viewer must not enjoy what a disk takes.

        The event loop stands still meanwhile: some :data:`SLICE` at a time.
        """
        self._commit.owe(events)
        return self._fold(events, "local")

    async def persist(self, events: Sequence[Event]) -> None:
        """Make events durable. Only then may they be acknowledged. Raises :class:`JournalError`."""
        if events:
            await self._commit.write(events)

    async def publish(self, events: Sequence[Event], ask: bool = False) -> None:
        """Send events to the other nodes, asking for reports if so wanted. Does not wait until they are sent."""
        if self._log is None or not events:
            return
        if not ask and len(events) < MAX_BATCH:
            self._gather(events)
            return
        if ask:
            self._questions.ask(events)
        for message in messages_of(events, self.origin, ask):
            self._log.publish(message)
            await asyncio.sleep(0)

    async def settle(self, events: Sequence[Event], ask: bool = False) -> None:
        """Tell the others of events in force here, and make them durable. Raises :class:`JournalError`."""
        # The others need not wait for this node's disk, and a disk that fails must not keep it secret.
        try:
            await self.publish(events, ask)
        finally:
            await self.persist(events)

    async def reports(self, first: Event, wait: Wait, timeout_s: float, started: float) -> list[NodeReport]:
        """What the other nodes made of events that were published with ``ask``, of which ``first`` was the first.

        Returns when that is :func:`enough`, when nobody is left to wait for, or after ``timeout_s``. ``started`` is
        the ``time.perf_counter`` of acceptance.
        """
        question = self._questions.about(first)
        if question is None or self._repair is None:
            return []
        found = self._reported(question, self._repair, started)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not enough(found, wait) and any(report.state == "pending" for report in found):
                    await question.changed.wait()
                    question.changed.clear()
                    found = self._reported(question, self._repair, started)
        # Once more: somebody who was waited for may have left meanwhile.
        found = self._reported(question, self._repair, started)
        if enough(found, wait):
            # Otherwise it stays open for a while: the caller may ask again later.
            self._questions.close(first)
        return found

    def members(self) -> list[NodeView]:
        """The other nodes, for operators."""
        if self._repair is None:
            return []
        members, mine = self._repair.members, self._vector.extent
        known = [(heartbeat, True) for heartbeat in members.live()] + [(beat, False) for beat in members.missed()]
        return [
            NodeView(
                heartbeat.name,
                live,
                members.now - heartbeat.at,
                sum(last - first + 1 for _, first, last in mine.beyond(heartbeat.extent)),
            )
            for heartbeat, live in known
        ]

    def _reported(self, question: Question, repair: Repair, started: float) -> list[NodeReport]:
        found = [
            question.report_of(heartbeat.name, heartbeat.incarnation, started) for heartbeat in repair.members.live()
        ]
        found += [NodeReport(heartbeat.name, "unreachable") for heartbeat in repair.members.missed()]
        if not found and not repair.in_touch():
            # Who else there is cannot be known, so nobody may take this node for all there is.
            found.append(NodeReport("shared log", "unreachable"))
        return found

    def _gather(self, events: Sequence[Event]) -> None:
        if not self._gathered:
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time(), self._gathered_at + GATHER_S), self._send_gathered)
        self._gathered += events

    def _send_gathered(self) -> None:
        events, self._gathered = self._gathered, []
        self._gathered_at = asyncio.get_running_loop().time()
        if self._log is not None:
            for message in messages_of(events, self.origin, ask=False):
                self._log.publish(message)

    def _fold(self, events: Sequence[Event], path: str) -> Cut:
        # While a node catches up nothing expires, lest an order goes before an older one has come that it overrides.
        now = self._clock() if self.ready else 0.0
        for event in events:
            self.state.apply(event, now)
            self._vector.add(event.origin, event.seq, event.seq)
        cut = Cut()
        if all(isinstance(event, SaltDrawn) for event in events):
            # A salt, which may be drawn in a thread: whoever listens belongs to the event loop.
            return cut
        for listener in self.on_applied:
            try:
                cut += listener(events, path)
            except Exception:
                # What is applied will not come again, so the other listeners must hear of it now.
                _log.exception("listener_failed")
        applied_at = self._clock()
        self._stamps.observe(self.state.latest, applied_at)
        if self.ready:
            histogram = REVOCATION_APPLY.labels(path)
            for event in events:
                if isinstance(event, Revocation):
                    histogram.observe(max(0.0, applied_at - event.created_at))
        return cut

    async def _receive(self, message: Message) -> None:
        by_author = message.sender != self.origin and all(origin == message.sender for origin, _, _ in message.spans)
        if not by_author and self._repair is not None:
            self._repair.note_offered(message.spans)
        cut = Cut()
        if not self._vector.covers(message.spans):
            try:
                events = message.events()
            except ValueError:
                LOG_DROPPED.labels("unreadable").inc()
                return
            new = [event for event in events if not self._vector.has(event.origin, event.seq)]
            self._commit.owe(new)
            try:
                for at in range(0, len(new), SLICE):
                    cut += self._fold(new[at : at + SLICE], "stream" if by_author else "antientropy")
                    await asyncio.sleep(0)
            finally:
                await self._keep(new)
            for span in message.spans:
                self._vector.add(*span)
        if message.ask and message.sender != self.origin and self._log is not None:
            self._log.report(message.sender, Report(self.name, self.origin, message.spans, cut.sessions, cut.responses))

    async def _keep(self, events: Sequence[Event]) -> None:
        if not self._commit.crowded:
            self._commit.write_later(events)
            return
        # So much comes at once only to a node that catches up: it may go at the pace of its disk, but not wait for
        # one that hangs.
        with suppress(JournalError, TimeoutError):
            await asyncio.wait_for(self._commit.write(events), _JOURNAL_PATIENCE_S)

    def _hear(self, report: Report) -> None:
        self._questions.hear(report, time.perf_counter())


def _check(event: Event) -> None:
    """Raises :class:`RequestError` for an event that would not be taken back: values are checked only as they are read.

    What a journal holds and cannot give back would keep its node from starting.
    """
    try:
        decode_event(encode_event(event))
    except (ValueError, OverflowError) as err:
        what, _, where = str(err).partition(" - at `$.")
        named = where.partition("`")[0]
        raise RequestError(f"{named}: {what}" if named else f"not to be written: {type(err).__name__}") from None
