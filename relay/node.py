"""A node: everything one relay process works with, wired once by :mod:`relay.app`."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from aiohttp import web

from relay.config import Config
from relay.delivery import Delivery
from relay.errors import UnknownStreamError
from relay.gate.gate import Gate
from relay.gate.revocation import Target
from relay.manifests import Manifests
from relay.open_responses import Cut, OpenResponses
from relay.state.events import Revoked
from relay.state.replica import Replica
from relay.state.salts import Salts
from relay.streams import Stream
from relay.telemetry.metrics import CUT, REVOCATION


@dataclass(frozen=True, slots=True)
class Revocation:
    """What a revocation did here. ``applied_ms`` is from acceptance to refused and cut."""

    event: Revoked
    cut: Cut
    applied_ms: float


@dataclass(frozen=True, slots=True)
class Node:
    """The parts of a running relay. ``clock`` gives seconds since the epoch."""

    config: Config
    gate: Gate
    streams: Mapping[str, Stream]
    manifests: Manifests
    delivery: Delivery
    replica: Replica
    salts: Salts
    clock: Callable[[], float]
    open_responses: OpenResponses = field(default_factory=OpenResponses)

    def stream(self, name: str) -> Stream:
        """A configured stream. Raises :class:`UnknownStreamError`."""
        try:
            return self.streams[name]
        except KeyError:
            raise UnknownStreamError("no such stream") from None

    async def revoke(self, target: Target, reason: str, actor: str) -> Revocation:
        """Refuse a target from now on and cut what it has open; durable when this returns."""
        started = time.perf_counter()
        now = self.clock()
        tokens = self.config.tokens
        event = Revoked(
            id=uuid4().hex,
            target=target.type,
            value=target.value,
            issuer=target.issuer,
            reason=reason,
            actor=actor,
            at=now,
            # No token or session of the target can outlive this.
            expires_at=now + (tokens.max_lifetime.seconds + tokens.session_lifetime.seconds + tokens.leeway.seconds),
        )
        self.replica.apply(event)
        try:
            cut = self.open_responses.cut(target.digest())
        finally:
            # Whatever happens: refused here must also mean written. Shielded, for the caller may hang up now.
            written = asyncio.ensure_future(self.replica.persist(event))
            elapsed = time.perf_counter() - started
            await asyncio.shield(written)
        CUT.inc(cut.responses)
        REVOCATION.observe(elapsed)
        return Revocation(event, cut, elapsed * 1000)


NODE = web.AppKey("node", Node)
