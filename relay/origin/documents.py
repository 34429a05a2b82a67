"""The origin's manifests as last fetched: one copy and one fetch, however many classes of viewers read it."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from relay.origin.cache import ByteCache, Flights
from relay.origin.client import Fetched, Origin
from relay.sources import OriginScope, Source

MAX_AGE_S = 0.5
"""Within this a document serves every class; after it the origin is asked whether it changed."""
HELD_PATIENCE_S = 60.0
"""A held playlist reload may take up to three target durations (rfc8216bis §6.2.5.2)."""


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest of the origin and when it was last known to be current.

    ``seen_at`` is in seconds since the epoch, ``checked_at`` on the monotonic clock: a clock that is set
    back must not keep old manifests alive.
    """

    fetched: Fetched
    seen_at: float
    checked_at: float

    @property
    def weight(self) -> int:
        """Bytes kept alive."""
        return len(self.fetched.data)


_Key = tuple[OriginScope, Source, str]


class Documents:
    """Fetches manifests, conditionally where it has them. ``limit`` bounds each, ``memory`` all."""

    def __init__(self, origin: Origin, clock: Callable[[], float], memory: int, limit: int) -> None:
        self._origin = origin
        self._clock = clock
        self._limit = limit
        self._cache: ByteCache[_Key, Document] = ByteCache(memory)
        self._flights: Flights[_Key, Document] = Flights()

    async def get(self, scope: OriginScope, source: Source, hold: str = "") -> Document:
        """A document at most :data:`MAX_AGE_S` old; ``hold`` is the query of a held low-latency reload.

        Raises the :class:`relay.errors.OriginError` family.
        """
        key = (scope, source, hold)
        kept = self._cache.get(key)
        if kept and monotonic() - kept.checked_at <= MAX_AGE_S:
            return kept
        return await self._flights.join(key, lambda: self._refresh(key, kept))

    async def _refresh(self, key: _Key, kept: Document | None) -> Document:
        scope, source, hold = key
        asked_at = self._clock()
        fetched = await self._origin.get_if_changed(
            scope,
            source,
            self._limit,
            kept.fetched.validator if kept else "",
            extra_query=hold,
            patience=HELD_PATIENCE_S if hold else None,
        )
        # A held reload is current when it is answered, any other when it is asked for.
        seen_at = self._clock() if hold else asked_at
        if fetched is None and kept is not None:
            document = Document(kept.fetched, seen_at, monotonic())
        else:
            assert fetched is not None, "the origin client answers 'unchanged' only to a validator"
            document = Document(fetched, seen_at, monotonic())
        self._cache.put(key, document)
        return document
