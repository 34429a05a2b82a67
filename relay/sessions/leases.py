"""Concurrent stream limits on a node: segment requests keep leases alive, here and, through a store, on all nodes.

What may hold a slot is decided in :mod:`relay.gate.limits` or, where nodes share a store, by its script. Requests
for segments wait for the store once: at a session's first on this node. Later renewals go out in the background, a
few per lease. While the store is out of reach each node goes on alone, by what it knows, and lets a configured
number of streams more in: its own sessions are not all there are, nor are those it knows of all still there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import structlog

from relay.config import LimitConfig
from relay.gate.limits import REST_LEASES, Admitted, Ask, Group, Lease, Occupied, Outcome, group_of
from relay.gate.turns import Turns
from relay.model import Guest, LimitScope, Session, StreamLimit
from relay.telemetry.metrics import LEASE_OUTAGES, LEASES_ALONE, LIMITED
from relay.verdict import Deny, Reason

MAX_WAIT_S = 0.25
MAX_LEASES = 200_000
PROBE_EVERY_S = 1.0
SEGMENTS_HELD = 2
"""Segments that a lease outlasts: a player asks for one each time that one has played."""
RENEWALS = 3
"""Renewals within the time of a lease, so that one may be lost or late."""
_MAX_TERMINATE = 128
_REFUSED = Deny(Reason.CONCURRENCY_LIMIT, "too many streams: another playback has taken this one's place")
_log = structlog.get_logger()

Stop = Callable[[Sequence[str]], Awaitable[object]]


class StoreAwayError(Exception):
    """The shared leases could not be asked in time."""


class Store(Protocol):
    """Leases shared by several nodes. Every call fails with :class:`StoreAwayError` or not at all."""

    def admit(self, group: bytes, ask: Ask, urgent: bool = False) -> "asyncio.Future[Outcome]":
        """Ask for a slot, or renew a lease; ``urgent`` if someone waits for it."""

    def end(self, group: bytes, sid: str, rest_s: float) -> "asyncio.Future[Outcome]":
        """Take a session's slot, and keep it from coming back by mere requests for ``rest_s``."""

    async def check(self) -> None:
        """Return if leases can be written."""

    async def close(self) -> None:
        """Let go of the store."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A session of which this node knows no lease: to be passed to :meth:`StreamLeases.resume`."""

    group: bytes
    ask: Ask


@dataclass(frozen=True, slots=True)
class _Rule:
    limit: StreamLimit | None
    lease_s: float
    extra: int


class StreamLeases:
    """The leases of the sessions that this node serves.

    ``stop`` ends sessions for good, on every node; ``cut`` breaks off what a session has open here. ``clock`` gives
    seconds since the epoch. Needs a running event loop.
    """

    def __init__(
        self,
        limits: Mapping[str, LimitConfig],
        stop: Stop,
        cut: Callable[[str], object],
        clock: Callable[[], float],
        store: Store | None = None,
    ) -> None:
        self._rules: dict[str, _Rule] = {}
        self._stop = stop
        self._cut = cut
        self._clock = clock
        self._store = store
        self._alone = store is None
        # By issuer, too: nothing keeps two platforms from giving one session id each.
        self._latest: dict[tuple[str, str], Lease] = {}
        self._issuers: set[str] = set()
        self._groups: dict[bytes, Group] = {}
        self._turns: Turns[Lease] = Turns(MAX_LEASES)
        self._tasks: set[asyncio.Task[None]] = set()
        self.configure(limits)

    def __len__(self) -> int:
        """How many sessions have a lease, or had until lately."""
        return len(self._latest)

    def configure(self, limits: Mapping[str, LimitConfig]) -> None:
        """Replace the streams' limits. Leases that are held stay."""
        self._rules = {
            name: _Rule(limit.stream_limit(), max(1.0, limit.lease.seconds), limit.extra)
            for name, limit in limits.items()
        }

    async def enter(self, visitor: Guest, terminate: str, now: float, segment_s: float = 0.0) -> Occupied | None:
        """Take a slot for a session that begins, or say who holds them all.

        ``segment_s`` is how long a segment plays, 0 if unknown: a lease lasts two of them at least. ``terminate``
        names a session to end first, as one of :class:`Occupied` was named.
        """
        wanted = terminate if terminate.isprintable() and len(terminate) <= _MAX_TERMINATE else ""
        ask = self._ask_of(visitor, segment_s, entering=True, terminate=wanted)
        if ask is None:
            return None
        key = group_of(visitor.session, visitor.stream, ask.limit.scope)
        outcome = await self._decide(key, ask, now)
        self._settle(key, ask, outcome, now)
        return outcome if isinstance(outcome, Occupied) else None

    def beat(self, visitor: Guest, now: float, segment_s: float = 0.0) -> Deny | Pending | None:
        """Renew a session's lease for a segment request, or refuse it. At its first here it must be resumed."""
        lease = self._latest.get(_name_of(visitor.session))
        if lease is not None and now < lease.renew_at and lease.stream == visitor.stream:
            return _REFUSED if lease.ended else None
        ask = self._ask_of(visitor, segment_s)
        if ask is None:
            return None
        key = group_of(visitor.session, visitor.stream, ask.limit.scope)
        if self._alone:
            return self._settle(key, ask, self._decide_here(key, ask, now), now)
        group = self._groups.get(key)
        lease = group.get(ask.sid) if group else None
        if lease is None or now >= lease.until:
            return Pending(key, ask)
        lease.stream = ask.stream
        self._latest[_name_of(visitor.session)] = lease
        if now >= lease.renew_at:
            self._renew(lease, now)
        return None

    async def resume(self, pending: Pending, now: float) -> Deny | None:
        """Take up a lease that another node may know of, or refuse it."""
        return self._settle(pending.group, pending.ask, await self._decide(pending.group, pending.ask, now), now)

    def refused(self, visitor: Guest, now: float) -> Deny | None:
        """Whether a session had to give way: for requests that are no beat, such as for licences and manifests."""
        lease = self._latest.get(_name_of(visitor.session))
        if lease is None or not lease.ended or now >= lease.renew_at:
            return None
        same = lease.stream == visitor.stream or lease.limit.scope is LimitScope.ACCOUNT
        return _REFUSED if same else None

    def knows(self, sid: str) -> bool:
        """Whether a session has a slot here, or had one not long ago; whoever issued it."""
        return bool(self._leases_of(sid))

    def release(self, sid: str) -> None:
        """Free the slot of a session that was ended otherwise, such as by a revocation; whoever issued it."""
        for lease in self._leases_of(sid):
            if lease.ended:
                continue
            rest_s = REST_LEASES * lease.lease_s
            if self._store is not None and not self._alone:
                # Should this fail, the lease ends by itself.
                self._store.end(lease.group.key, sid, rest_s).add_done_callback(_look_at)
            self._refuse(lease, rest_s)

    def forgive(self, sid: str) -> None:
        """Let a session come back that had to give way: it was restored, and may ask for a slot like anyone."""
        for lease in self._leases_of(sid):
            if not lease.ended:
                continue
            del self._latest[lease.group.issuer, sid]
            lease.group.resting.pop(sid, None)
            if self._store is not None and not self._alone:
                self._store.end(lease.group.key, sid, 0.0).add_done_callback(_look_at)

    async def close(self) -> None:
        """Stop what runs in the background."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._store is not None:
            await self._store.close()

    def _ask_of(self, visitor: Guest, segment_s: float, entering: bool = False, terminate: str = "") -> Ask | None:
        session, stream = visitor.session, visitor.stream
        rule = self._rules.get(stream)
        if rule is None:
            return None
        limit = session.limit or rule.limit
        if limit is None:
            return None
        lease_s = max(rule.lease_s, SEGMENTS_HELD * segment_s)
        return Ask(session.sid, session.device, stream, limit, lease_s, entering, terminate, issuer=session.issuer)

    async def _decide(self, key: bytes, ask: Ask, now: float) -> Outcome:
        if self._store is not None and not self._alone:
            try:
                return await asyncio.wait_for(self._store.admit(key, ask, urgent=True), MAX_WAIT_S)
            except (StoreAwayError, TimeoutError) as err:
                self._go_alone(err)
        return self._decide_here(key, ask, now)

    def _decide_here(self, key: bytes, ask: Ask, now: float) -> Outcome:
        group = self._group(key, ask.issuer)
        if self._store is None:
            return group.admit(ask, now)
        known = group.get(ask.sid)
        rule = self._rules.get(ask.stream)
        most = ask.limit.most + (rule.extra if rule else 0)
        outcome = group.admit(replace(ask, limit=replace(ask.limit, most=most)), now)
        if known is None and isinstance(outcome, Admitted):
            LEASES_ALONE.inc()
        return outcome

    def _settle(self, key: bytes, ask: Ask, outcome: Outcome, now: float) -> Deny | None:
        """Do here what was decided."""
        if not isinstance(outcome, Admitted):
            LIMITED.labels("occupied" if isinstance(outcome, Occupied) else "ended").inc()
            # Who enters is told, and no worse off; who plays on must stop.
            if not ask.entering:
                lease = Lease(
                    ask.sid, ask.device, ask.stream, ask.limit, ask.lease_s, now, now, self._group(key, ask.issuer)
                )
                self._refuse(lease, ask.lease_s)
            return _REFUSED
        lease = self._group(key, ask.issuer).hold(ask, outcome.since, now)
        if not lease.renew_at:
            self._keep(lease, now)
        lease.renew_at = now + ask.lease_s / RENEWALS
        self._latest[ask.issuer, ask.sid] = lease
        for effect, sids in (("stopped", outcome.stopped), ("replaced", outcome.replaced)):
            LIMITED.labels(effect).inc(len(sids))
            for sid in sids:
                other = self._latest.get((ask.issuer, sid))
                if other is not None and not other.ended:
                    self._refuse(other, REST_LEASES * ask.lease_s)
        if outcome.stopped:
            self._run(self._stop_all(outcome.stopped))
        return None

    def _refuse(self, lease: Lease, rest_s: float) -> None:
        now = self._clock()
        lease.group.end(lease.sid, now + rest_s)
        # Asked about again before the rest is over: it may have entered anew at another node.
        again = now + lease.lease_s / RENEWALS
        ended = replace(lease, until=now + rest_s, renew_at=again, ended=True)
        self._latest[lease.group.issuer, lease.sid] = ended
        self._keep(ended, now)
        # Not before the request that found this out has its answer: it is among what gets cut.
        asyncio.get_running_loop().call_soon(self._cut, lease.sid)

    def _renew(self, lease: Lease, now: float) -> None:
        assert self._store is not None
        lease.renew_at = now + lease.lease_s / RENEWALS
        ask = Ask(
            lease.sid, lease.device, lease.stream, lease.limit, lease.lease_s,
            since=lease.since, issuer=lease.group.issuer,
        )  # fmt: skip
        self._store.admit(lease.group.key, ask).add_done_callback(partial(self._renewed, lease, ask))

    def _renewed(self, lease: Lease, ask: Ask, answer: "asyncio.Future[Outcome]") -> None:
        if answer.cancelled():
            return
        failure = answer.exception()
        if failure is not None:
            self._go_alone(failure)
        elif lease.group.get(lease.sid) is lease:
            self._settle(lease.group.key, ask, answer.result(), self._clock())

    def _go_alone(self, failure: BaseException) -> None:
        if not self._alone:
            self._alone = True
            LEASE_OUTAGES.inc()
            _log.warning("leases_alone", failure=str(failure) or type(failure).__name__)
            self._run(self._rejoin())

    async def _rejoin(self) -> None:
        assert self._store is not None
        while self._alone:
            await asyncio.sleep(PROBE_EVERY_S)
            try:
                await asyncio.wait_for(self._store.check(), MAX_WAIT_S)
            except (StoreAwayError, TimeoutError):
                continue
            self._alone = False
        _log.info("leases_shared_again")
        now = self._clock()
        # At once, not as their segments come: a server that has forgotten them must not give their slots away.
        for lease in list(self._latest.values()):
            if not lease.ended and lease.until > now:
                self._renew(lease, now)

    def _group(self, key: bytes, issuer: str) -> Group:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, issuer)
            # As many as there are platforms.
            self._issuers.add(issuer)
        return group

    def _leases_of(self, sid: str) -> list[Lease]:
        found = (self._latest.get((issuer, sid)) for issuer in self._issuers)
        return [lease for lease in found if lease is not None]

    def _keep(self, lease: Lease, now: float) -> None:
        for gone in self._turns.add(lease, lambda each: each.until <= now):
            name = gone.group.issuer, gone.sid
            if self._latest.get(name) is gone:
                del self._latest[name]
            group = gone.group
            if group.get(gone.sid) is gone:
                group.drop(gone.sid)
            group.expire(now)
            if group.empty and self._groups.get(group.key) is group:
                del self._groups[group.key]

    async def _stop_all(self, sids: Sequence[str]) -> None:
        try:
            await self._stop(sids)
        except Exception:
            # They rest, and so are refused for a while; but nothing lasting says so.
            _log.exception("stop_failed", sessions=[sid[:8] for sid in sids])

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _name_of(session: Session) -> tuple[str, str]:
    return session.issuer, session.sid


def _look_at(answer: "asyncio.Future[Outcome]") -> None:
    # A failure that nobody looks at is reported as a bug.
    if not answer.cancelled():
        answer.exception()
