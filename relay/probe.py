"""The promise, watched in production: a synthetic session is revoked again and again, and each step timed."""

import asyncio
import time
from secrets import token_hex

import structlog

from relay.errors import RelayError
from relay.facts import Facts
from relay.gate.gate import Visitor
from relay.gate.targets import Target, TargetType
from relay.model import Session
from relay.node import Node
from relay.sessions.open_responses import OpenResponse
from relay.sessions.revocations import Order, Outcome
from relay.state.replica import Wait
from relay.telemetry.metrics import PROBE, PROBE_FAILED, PROBE_SUCCESS

SOURCE = "probe"
LIFETIME_S = 120.0
"""How long a probe's record is kept: long enough to be seen by every node, short enough to weigh nothing."""
TIMEOUT_S = 10.0
STEPS = ("refused", "cut", "everywhere")
_log = structlog.get_logger()


class _Response:
    """A synthetic viewer's open response. Times are of ``time.perf_counter``."""

    def __init__(self, node: Node) -> None:
        now = node.clock()
        session = Session(f"probe-{token_hex(8)}", SOURCE, SOURCE, expires_at=int(now + LIFETIME_S))
        facts = Facts("GET", "/")
        self.visitor = Visitor.of(session, next(iter(node.streams)))
        self.entry = OpenResponse(self.visitor, lambda: facts, self._cut)
        self.refused_at: float | None = None
        self.cut_at: float | None = None
        self._node = node

    def _cut(self) -> None:
        self.cut_at = time.perf_counter()
        self.ask()

    def ask(self) -> None:
        """Note whether the gate refuses the viewer by now."""
        node = self._node
        if self.refused_at is None and node.gate.is_revoked(self.visitor, self.entry.facts, node.clock()):
            self.refused_at = time.perf_counter()


class Probe:
    """Revokes a synthetic session of this node every ``every_s`` seconds, the way an operator would."""

    def __init__(self, node: Node, every_s: float) -> None:
        self._node = node
        self._every_s = every_s

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.probe()
            except RelayError as err:
                _log.error("probe_failed", code=err.code)
                PROBE_FAILED.labels("accepted").inc()

    async def probe(self) -> dict[str, float]:
        """Probe once. Returns the seconds to each step that was reached."""
        node = self._node
        response = _Response(node)
        response.ask()
        if response.refused_at is not None:
            raise ProbeError("the synthetic session was refused before it was revoked")
        order = Order(
            Target(TargetType.SESSION, response.visitor.session.sid),
            reason=SOURCE,
            expires_at=node.clock() + LIFETIME_S,
            sources=(SOURCE,),
        )
        node.open_responses.add(response.entry)
        started = time.perf_counter()
        try:
            outcome = await node.revocations.submit([order], SOURCE, Wait.ALL, TIMEOUT_S)
        finally:
            node.open_responses.discard(response.entry)
        response.ask()
        reached = _steps(response, outcome, started)
        self._tell(reached)
        return reached

    def _tell(self, reached: dict[str, float]) -> None:
        for step, seconds in reached.items():
            PROBE.labels(step).observe(seconds)
        missed = [step for step in STEPS if step not in reached]
        for step in missed:
            PROBE_FAILED.labels(step).inc()
        if missed:
            _log.error("probe_failed", missed=missed)
        else:
            PROBE_SUCCESS.set(self._node.clock())


class ProbeError(RelayError):
    """A probe that could not even begin."""

    code = "probe_failed"


def _steps(response: _Response, outcome: Outcome, started: float) -> dict[str, float]:
    reached = {}
    if response.refused_at is not None:
        reached["refused"] = response.refused_at - started
    if response.cut_at is not None:
        reached["cut"] = response.cut_at - started
    if outcome.complete:
        reached["everywhere"] = max((report.applied_ms or 0.0) for report in outcome.nodes) / 1000
    return reached
