"""Revocations as this node takes them: orders in, refused and cut at once, durable and spread when answered."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from relay.config import Config
from relay.facts import Facts
from relay.gate.gate import Gate
from relay.gate.networks import NetworkIndex, parse_network
from relay.gate.presence import Live, Presence
from relay.gate.revocation import RevocationSet
from relay.gate.targets import Target, TargetType, targets_of
from relay.model import Cut, Session
from relay.sessions.open_responses import OpenResponse, OpenResponses
from relay.state.drafts import Draft
from relay.state.events import Action, Event, Revocation
from relay.state.replica import SLICE, NodeReport, Replica, Wait, enough
from relay.telemetry.metrics import CUT, REVOCATION_CUT

OLD_S = 1.0
"""State of this age is no longer as good as new."""
LOOK_EVERY_S = 0.25
"""How late, at worst, a scheduled revocation takes effect, or what flows from a node gone stale is cut."""
BREATH = 500
"""Sessions or responses that a preview looks at before the event loop may turn: a millisecond or two."""
FREED_AT_ONCE = 500
MAX_UNSETTLED = 100_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller wants done to a target. Times are seconds since the epoch.

    ``effective_at`` 0 is at once; ``expires_at`` None is when nothing the target covers can be alive any more.
    """

    target: Target
    action: Action = Action.REVOKE
    reason: str = ""
    detail: str = ""
    effective_at: float = 0.0
    expires_at: float | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of orders. ``applied_ms`` is from acceptance to refused and cut here.

    ``targets`` is how many there were, ``first`` and ``last`` are their records at either end. ``nodes`` tells of every
    node that was waited for, this one first; ``complete`` whether all that were asked for have reported.
    """

    targets: int
    first: Revocation
    last: Revocation
    accepted_at: float
    applied_ms: float
    cut: Cut
    nodes: tuple[NodeReport, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Preview:
    """What a revocation would cut on this node."""

    sessions: int
    responses: int


class Revocations:
    """The revocation service of a node. ``clock`` gives seconds since the epoch.

    ``mapped`` are the targets that go with another: the sessions of a watermark that their tokens do not name.
    """

    def __init__(
        self,
        config: Config,
        replica: Replica,
        gate: Callable[[], Gate],
        open_responses: OpenResponses,
        presence: Presence,
        clock: Callable[[], float],
        mapped: Callable[[Target, float], Sequence[Target]] = lambda target, now: (),
    ) -> None:
        tokens = config.tokens
        # No token or session of a target can outlive this; ten minutes for clocks that differ.
        self._lifetime = tokens.max_lifetime.seconds + tokens.session_lifetime.seconds + tokens.leeway.seconds + 600
        self._stale_after = config.state.stale_after.seconds
        self._replica = replica
        self._gate = gate
        self._open = open_responses
        self._presence = presence
        self._clock = clock
        self._mapped = mapped
        self._soon: set[asyncio.Task[Outcome]] = set()
        self._unsettled: deque[tuple[Target, Target]] = deque(maxlen=MAX_UNSETTLED)
        replica.on_applied.append(self.cut)

    @property
    def revoked(self) -> RevocationSet:
        """What is revoked now."""
        return self._replica.state.revocations

    def stands(self, target: Target) -> bool:
        """Whether a target is revoked now, not only from some later time on."""
        found, now = self.revoked.get(target), self._clock()
        return found is not None and found.revoked and found.effective_at <= now < found.expires_at

    def against(self, session: Session, stream: str) -> list[Target]:
        """The targets whose revocation stops a session on a stream now; a network's is not among them."""
        return [
            target
            for target in targets_of(session, stream)
            if self.stands(target) and (standing := self.revoked.get(target)) and standing.limit >= target.limit
        ]

    async def submit(
        self, orders: Sequence[Order], actor: str, wait: Wait = Wait.LOCAL, timeout_s: float = 2.0
    ) -> Outcome:
        """Refuse the targets from now on and cut what they have open; durable here when this returns.

        Goes on to the end even if the caller is cancelled. Raises :class:`relay.errors.JournalError`: then it holds
        here, but was not promised to last.
        """
        return await asyncio.shield(asyncio.ensure_future(self._submit(orders, actor, wait, timeout_s)))

    async def _submit(self, orders: Sequence[Order], actor: str, wait: Wait, timeout_s: float) -> Outcome:
        started, now = time.perf_counter(), self._clock()
        orders = self._with_mapped(orders, now)
        events: list[Revocation] = []
        cut = Cut()
        try:
            for at in range(0, len(orders), SLICE):
                if at:
                    await asyncio.sleep(0)
                stamped = self._replica.stamp([self._draft(order, actor, now) for order in orders[at : at + SLICE]])
                cut += self._replica.apply(stamped)
                events += stamped
        except Exception:
            # What is in force by now must be written and told like anything else.
            await self._replica.settle(events)
            raise
        applied_ms = (time.perf_counter() - started) * 1000
        await self._replica.settle(events, ask=wait is not Wait.LOCAL)
        here = NodeReport(self._replica.name, "applied", applied_ms, cut.sessions, cut.responses)
        count, first, last = len(events), events[0], events[-1]
        await let_go(events)
        others = [] if wait is Wait.LOCAL else await self._replica.reports(first, wait, timeout_s, started)
        return Outcome(count, first, last, now, applied_ms, cut, (here, *others), enough(others, wait))

    async def preview(self, target: Target) -> Preview:
        """How many live sessions and open responses of this node a revocation of ``target`` would stop.

        Raises ValueError for a network that is none.
        """
        network = NetworkIndex()
        if target.type is TargetType.NETWORK:
            network.add(target.digest(), parse_network(target.value))

        targets = [target, *self._mapped(target, self._clock())]

        def inside(place: Facts | Live) -> bool:
            return bool(network.containing(place.address, place.asn))

        def covered(session: Session, stream: str) -> bool:
            return any(one.covers(session, stream) for one in targets)

        sessions, responses = set(), 0
        async for entry in _breathing(self._open.found_by(targets)):
            session = entry.visitor.session
            if covered(session, entry.visitor.stream) or (network and inside(entry.facts())):
                sessions.add((session.issuer, session.sid))
                responses += 1
        async for live in _breathing(self._presence.live(self._clock())):
            if covered(live.session, live.stream) or (network and inside(live)):
                sessions.add((live.session.issuer, live.sid))
        return Preview(len(sessions), responses)

    async def keep_watch(self) -> None:
        """Cut what time alone stops: scheduled revocations that come into force, state that has gone stale.

        Runs until cancelled.
        """
        while True:
            now = self._clock()
            await asyncio.sleep(min(max(self.revoked.next_change - now, 0.01), LOOK_EVERY_S))
            now = self._clock()
            self.stop_mapped(())
            # While a node catches up, an expired restore must outlast the older revocation that has yet to come.
            due = now >= self.revoked.next_change
            came_due = bool(self.revoked.advance(now, sweep=self._replica.ready)) if due else False
            # A session may ask for fresher state than its stream does.
            stale = self._replica.age(now) > min(self._stale_after, OLD_S)
            if self._gate().lapsed(now) or came_due or stale:
                self.cut_refused()

    def cut_refused(self) -> None:
        """Stop everything open that the gate refuses by now, whatever the reason."""
        CUT.inc(self._open.cut_all(self._is_refused).responses)

    def cut_lessened(self, accounts: Sequence[Target]) -> Cut:
        """Stop what accounts have open that may now have less than before, or nothing; they come back for what is left.

        To be called before anything else asks the gate about them.
        """
        before = {entry: entry.visitor.ceiling for entry in self._open.found_by(accounts)}

        def has_less(entry: OpenResponse) -> bool:
            return self._is_refused(entry) or entry.visitor.ceiling.rank < before[entry].rank

        cut = self._open.cut(accounts, has_less)
        CUT.inc(cut.responses)
        return cut

    def cut(self, events: Sequence[Event], via: str) -> Cut:
        """Stop what events just applied have revoked; called by the replica for events from anywhere."""
        targets = [event.target for event in events if isinstance(event, Revocation) and event.action is Action.REVOKE]
        self._widen(via)
        with REVOCATION_CUT.time():
            cut = self._open.cut(targets, self._is_refused) if targets else Cut()
        CUT.inc(cut.responses)
        return cut

    def _widen(self, via: str) -> None:
        """Take back what another node's newer revocation let go of: made at the same time, it knew nothing of ours."""
        narrowed = self.revoked.take_narrowed()
        if via == "local" or not narrowed or not self._replica.ready:
            return
        orders = [
            Order(
                replace(target, limit=before.limit),
                reason="widened",
                effective_at=before.effective_at,
                expires_at=before.expires_at,
            )
            for target, before in narrowed
        ]
        self._submit_soon(orders)

    def stop_mapped(self, pairs: Iterable[tuple[Target, Target]]) -> None:
        """Revoke what goes with a target that is revoked already, each a pair of these, unless it is revoked itself.

        For what is mapped later than that, or at another node at the same time. While a node catches up it waits: what
        stands now may have been restored since.
        """
        self._unsettled.extend(pairs)
        if not self._replica.ready:
            return
        orders = [
            Order(other, reason="mapped", detail=f"{target.type}:{target.value}")
            for target, other in self._unsettled
            if self.stands(target) and not self.stands(other)
        ]
        self._unsettled.clear()
        if orders:
            self._submit_soon(orders)

    def _with_mapped(self, orders: Sequence[Order], now: float) -> Sequence[Order]:
        """The orders, before each revocation those of what goes with its target.

        A restore leaves the others alone: they may be revoked for another reason, too.
        """
        found: list[Order] = []
        for order in orders:
            if order.action is Action.REVOKE:
                detail = f"{order.target.type}:{order.target.value}"
                found += [replace(order, target=one, detail=detail) for one in self._mapped(order.target, now)]
            found.append(order)
        return found

    def _submit_soon(self, orders: Sequence[Order]) -> None:
        task = asyncio.ensure_future(self.submit(orders, self._replica.name))
        self._soon.add(task)
        task.add_done_callback(self._soon.discard)

    def _is_refused(self, entry: OpenResponse) -> bool:
        return self._gate().recheck(entry.visitor, entry.facts, self._clock()) is not None

    def _draft(self, order: Order, actor: str, now: float) -> Draft:
        target, effective_at = order.target, order.effective_at
        expires_at = now + self._lifetime if order.expires_at is None else order.expires_at
        limit = target.limit
        standing = self.revoked.get(target)
        if order.action is Action.REVOKE and standing is not None and standing.revoked and standing.expires_at > now:
            # The last record stands alone, and revoking again must never let go of what is revoked already.
            effective_at = min(effective_at, standing.effective_at)
            expires_at = max(expires_at, standing.expires_at)
            limit = max(limit, standing.limit)
        return Draft(
            action=order.action,
            type=target.type,
            value=target.value,
            issuer=target.issuer,
            viewer=target.viewer,
            limit=limit,
            reason=order.reason,
            detail=order.detail,
            actor=actor,
            created_at=now,
            effective_at=effective_at if effective_at > now else 0.0,
            expires_at=expires_at,
            sources=order.sources,
        )


async def let_go(items: list[Any]) -> None:
    """Empty a list of what nobody else holds, with turns of the event loop: ten thousand at once take 4 ms to free."""
    while items:
        del items[-FREED_AT_ONCE:]
        await asyncio.sleep(0)


async def _breathing(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, with a turn of the event loop now and then: there may be hundreds of thousands."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % BREATH == 0:
            await asyncio.sleep(0)
