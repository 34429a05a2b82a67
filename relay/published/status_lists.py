"""Status lists that issuers publish (draft-ietf-oauth-status-list), as documents to refresh."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar

from prometheus_client import Gauge

from relay.gate.dialects.claims import Terms
from relay.gate.dialects.keys import KeySet
from relay.gate.status_list import MAX_BYTES, TYPE, StatusLists, read_status_list
from relay.telemetry.metrics import STATUS_LIST_AGE

MIN_REFRESH_S = 1.0
"""However short a list's life."""
_OF_LIFE = 0.8
"""The share of a list's life after which the next one is fetched: early enough for all jitter."""


@dataclass(frozen=True, slots=True)
class PinnedList:
    """A status list of one issuer, whose ``keys`` sign it, and where in ``lists`` it goes: under its URL.

    It is asked for every ``every_s`` seconds, or sooner where its own ``ttl`` or ``exp`` says so. ``clock`` gives
    seconds since the epoch.
    """

    kind: ClassVar[str] = "status_list"
    accept: ClassVar[str] = f"application/{TYPE}"
    max_bytes: ClassVar[int] = MAX_BYTES
    age_metric: ClassVar[Gauge] = STATUS_LIST_AGE

    lists: StatusLists
    url: str = field(repr=False)
    terms: Terms
    keys: KeySet
    every_s: float = 60.0
    keep_s: float = 86_400.0
    clock: Callable[[], float] = time.time

    @property
    def refresh_s(self) -> float:
        """How long to wait before the next refresh."""
        held = self.lists.get(self.url)
        ttl, life = (held.ttl, held.expires_at - self.clock()) if held else (inf, inf)
        return max(MIN_REFRESH_S, min(self.every_s, ttl, life * _OF_LIFE))

    def take(self, body: bytes) -> bool:
        """Put a list in place of the one before; whether it says anything else. Raises ValueError."""
        held, new = self.lists.get(self.url), read_status_list(body, self.url, self.terms, self.keys, self.clock())
        self.lists.put(self.url, new)
        return held is None or (held.bits, held.statuses) != (new.bits, new.statuses)

    def lapse(self) -> None:
        """Hold no list any more."""
        self.lists.put(self.url, None)
