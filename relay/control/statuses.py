"""Calls that were answered before every node had reported: what became of them, for ten minutes."""

from dataclasses import dataclass, replace

from aiohttp import web

from relay.control.errors import NotFoundError
from relay.sessions.revocations import Outcome
from relay.state.replica import Replica, Wait, enough

KEPT_S = 600.0
MAX_KEPT = 256


@dataclass(slots=True)
class _Pending:
    outcome: Outcome
    wait: Wait
    started: float
    until: float


class Statuses:
    """The unfinished calls of this node, by the id they were answered with."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._pending: dict[str, _Pending] = {}

    def keep(self, outcome: Outcome, wait: Wait, started: float, now: float) -> str:
        """Remember a call that began at ``started`` (``time.perf_counter``). Returns the id to ask for."""
        for name in [name for name, pending in self._pending.items() if pending.until <= now]:
            del self._pending[name]
        while len(self._pending) >= MAX_KEPT:
            del self._pending[next(iter(self._pending))]
        # The first event names the question to the other nodes, the last one the call.
        name = outcome.last.id
        self._pending[name] = _Pending(outcome, wait, started, now + KEPT_S)
        return name

    async def ask(self, name: str, now: float) -> Outcome:
        """What is known of a call by now. Raises :class:`NotFoundError`."""
        pending = self._pending.get(name)
        if pending is None or pending.until <= now:
            raise NotFoundError("no unfinished call of this id is known here")
        outcome = pending.outcome
        if not outcome.complete:
            others = await self._replica.reports(outcome.first, pending.wait, 0.0, pending.started)
            if others:
                outcome = replace(outcome, nodes=(outcome.nodes[0], *others), complete=enough(others, pending.wait))
                pending.outcome = outcome
        return outcome


STATUSES = web.AppKey("statuses", Statuses)
