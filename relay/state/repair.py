"""Calling the roll: whether this node has what others have, and offering them again what they lack.

One rule repairs all that can be missing anywhere: whoever sees that a live node has for a while lacked what it has
itself offers that again, from its journal. It covers writes that the server lost, messages trimmed from the stream, a
node that died between its journal and the log, and a node that is new.
"""

import asyncio
import random
import time
from math import inf

import structlog
from redis.exceptions import RedisError

from relay.errors import JournalError
from relay.state.commit import GroupCommit
from relay.state.log import SharedLog
from relay.state.members import Members
from relay.state.messages import messages_of, offers_of
from relay.state.vector import Extent, Span, Vector
from relay.telemetry.metrics import LOG_AGE, LOG_LAG, LOG_OFFERED

ROLL_S, STARTING_ROLL_S = 1.0, 0.1
AWAITED_ROLLS = 3
OFFERED_EVENTS = 32_768
"""At most this many are offered again at one roll call: five million reach a new node in some three minutes."""
SURE_S = 1.0
"""Reads that find nothing are a quarter of a second apart."""
OFFERED_FOR_S = 5.0
"""How long what was offered has to get around before it is offered once more."""
_log = structlog.get_logger()


class Repair:
    """Watches over what a node and the others have.

    ``ready`` is false until this node has every event that live nodes had when it first heard of them. Whenever it
    reaches the log again it has to catch up in the same way before its state counts as fresh: what others took while
    they could not reach it either, or what a server that took over has lost, is in no stream yet.
    """

    def __init__(self, name: str, incarnation: str, log: SharedLog, commit: GroupCommit, vector: Vector) -> None:
        self.ready = False
        self.members = Members(incarnation)
        self._name = name
        self._incarnation = incarnation
        self._log = log
        self._commit = commit
        self._vector = vector
        self._goals: dict[str, Extent | None] | None = None
        self._started, self._started_at = 0.0, 0.0
        self._lost = False
        self._offered: dict[str, tuple[int, float]] = {}
        self._behind_since: float | None = None
        self._caught_up = False
        self._connection = 0
        self._apart_since = -inf

    def age(self) -> float:
        """Seconds since when events taken elsewhere may be missing here; infinite before this node is ready."""
        if not self.ready:
            return inf
        since = self._log.synced_at
        if not self._caught_up or self._log.connections != self._connection:
            since = min(since, self._apart_since)
        if self._behind_since is not None:
            since = min(since, self._behind_since)
        return time.monotonic() - since

    def is_sure(self) -> bool:
        """Whether all that was answered for elsewhere is known here, as far as can be told."""
        return self.age() <= SURE_S and self.members.all_heard(self._vector.extent)

    def in_touch(self) -> bool:
        """Whether the log can be reached, as far as this node knows."""
        return self._log.connected and self._goals is not None

    def note_offered(self, spans: list[Span]) -> None:
        """Another node has just offered these: no need to do so too."""
        for origin, _, last in spans:
            self._offered[origin] = last, time.monotonic()

    async def keep(self, former: str = "") -> None:
        """Call the roll every second. Never returns. ``former`` is the incarnation of this node that was before."""
        gone: list[str] = []
        while True:
            began = time.monotonic()
            mine = self._vector.extent
            try:
                roll = await self._log.call_roll(self._name, mine, gone, former)
            except (RedisError, OSError):
                pass  # the reading loop tells of it
            else:
                gone, former = self.members.see(roll.heartbeats, roll.now, mine), ""
                self._lost |= roll.lost
                if self._log.connections != self._connection:
                    self._connection, self._caught_up, self._goals = self._log.connections, False, None
                self._compare(began)
                try:
                    await self._offer()
                except JournalError as err:
                    _log.error("shared_log_offer_failed", error=str(err))
            LOG_AGE.set(self.age())
            pause = ROLL_S if self._caught_up else STARTING_ROLL_S
            await asyncio.sleep(max(0.0, began + pause - time.monotonic()))

    def _compare(self, called_at: float) -> None:
        mine = self._vector.extent
        if not self._caught_up:
            self._catch_up(mine, called_at)
        if self._caught_up:
            self._apart_since = self._log.synced_at
        lag, since = self.members.lacking(mine)
        LOG_LAG.set(lag)
        self._behind_since = time.monotonic() - since if lag else None

    def _catch_up(self, mine: Extent, called_at: float) -> None:
        live = {heartbeat.incarnation: heartbeat for heartbeat in self.members.live()}
        if self._goals is None:
            self._goals = dict.fromkeys(live)
            self._started, self._started_at = called_at, self.members.now
        waited = time.monotonic() - self._started > AWAITED_ROLLS * ROLL_S
        if self._lost:
            # The server has forgotten who was there: they are about to come back on the roll.
            self._goals = dict.fromkeys(live) | self._goals
        for incarnation, heartbeat in live.items():
            # What they had when this node started is in what they say after that. One that says nothing may be dead.
            if self._goals.get(incarnation, heartbeat.extent) is None and (heartbeat.at >= self._started_at or waited):
                self._goals[incarnation] = heartbeat.extent
        goals = [goal for incarnation, goal in self._goals.items() if incarnation in live]
        known = not self._lost or waited
        synced = known and self._log.synced_at >= self._started
        if synced and not any(goal is None or goal.beyond(mine) for goal in goals):
            self.ready = self._caught_up = True
            _log.info("shared_log_caught_up", nodes=len(live) + 1)

    async def _offer(self) -> None:
        if not self._commit.complete or self._log.offering:
            return
        room = OFFERED_EVENTS
        for span in self.members.to_offer(random.random):
            room -= await self._offer_span(span, room)
            if room <= 0:
                break

    async def _offer_span(self, span: Span, room: int) -> int:
        origin, first, last = span
        offered, at = self._offered.get(origin, (0, 0.0))
        if time.monotonic() - at < OFFERED_FOR_S:
            first = max(first, offered + 1)
        last = min(last, first + room - 1)
        if first > last:
            return 0
        self._offered[origin] = last, time.monotonic()
        # What nobody needs any more is no longer in the journal. Up to here nothing is missing, so the span says
        # that the rest has come to an end; beyond a gap only the events that are there can be vouched for.
        whole = min(last, self._vector.whole_of(origin))
        events = await self._commit.read((origin, first, last))
        known = [event for event in events if event.seq <= whole]
        if first <= whole:
            for message in offers_of(known, (origin, first, whole), self._incarnation):
                self._log.offer(message)
                await asyncio.sleep(0)
        for message in messages_of(events[len(known) :], self._incarnation, ask=False):
            self._log.offer(message)
            await asyncio.sleep(0)
        LOG_OFFERED.inc(len(events))
        _log.info("shared_log_offered", origin=origin, first=first, last=last, events=len(events))
        return last - first + 1
