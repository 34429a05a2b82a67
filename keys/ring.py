"""The root key ring: which generation derives a period, and every key asked of it.

The one object that holds root secrets. Old generations stay until the last stream time that needs
them has left every window; the newest signs passes and URLs.
"""

from collections.abc import Iterable
from functools import lru_cache

from keys.errors import KeyRingError
from keys.material import ContentKey, RootKey
from keys.model import MAX_ROOT_GENERATION, KeySignal, KeySlot, Scheme, TrackType, generation_of, root_of
from keys.schedule import derive_content_key, derive_kid, derive_service_key

MIN_SECRET_BYTES = 32
_CACHED_KEYS = 4096


class KeyRing:
    """Root keys by generation.

    Raises :class:`KeyRingError` for an empty ring, a repeated or negative generation, or a short secret.
    """

    def __init__(self, roots: Iterable[RootKey]) -> None:
        self._roots = sorted(roots, key=lambda root: root.generation)
        if not self._roots:
            raise KeyRingError("key ring: needs at least one root key")
        for root in self._roots:
            if not 0 <= root.generation <= MAX_ROOT_GENERATION:
                raise KeyRingError(f"key ring: generation {root.generation} is not from 0 to {MAX_ROOT_GENERATION}")
            if len(root.secret) < MIN_SECRET_BYTES:
                raise KeyRingError(f"key ring: generation {root.generation} is shorter than {MIN_SECRET_BYTES} bytes")
        self._by_generation = {root.generation: root for root in self._roots}
        if len(self._by_generation) != len(self._roots):
            raise KeyRingError("key ring: two root keys share a generation")
        # Derivation costs tens of microseconds and the segment path asks for the same few slots.
        self._derive = lru_cache(maxsize=_CACHED_KEYS)(self._derive_uncached)
        self.kid = lru_cache(maxsize=_CACHED_KEYS)(self._derive_kid)
        """The key ID of a slot. Raises :class:`KeyRingError` when its generation is gone."""

    @property
    def generations(self) -> tuple[int, ...]:
        """All generations, oldest first."""
        return tuple(root.generation for root in self._roots)

    def generation_at(self, period: int | None, epoch: int = 0) -> int:
        """The generation of a period's keys: by the newest root active at its start, so it never changes within one.

        ``epoch`` is how often all keys of the stream had been replaced before. Stable keys stay with the oldest root,
        or every player's init would change under it.
        """
        if period is None:
            return self._roots[0].generation
        active = [root.generation for root in self._roots if root.active_from <= period]
        return generation_of(active[-1] if active else self._roots[0].generation, epoch)

    def slot(self, stream: str, track: TrackType, scheme: Scheme, period: int | None, epoch: int = 0) -> KeySlot:
        """The slot of a period under the generation in force at its start."""
        return KeySlot(stream, track, scheme, self.generation_at(period, epoch), period)

    def content_key(self, slot: KeySlot, salt: bytes | None = None) -> ContentKey:
        """The material of a slot. Raises :class:`KeyRingError` when its generation is gone."""
        return self._derive(slot, salt)

    def _derive_kid(self, slot: KeySlot) -> bytes:
        return derive_kid(self._root(slot.generation), slot)

    def signal(self, slot: KeySlot, salt: bytes | None = None) -> KeySignal:
        """The public face of a slot's key."""
        return self.content_key(slot, salt).signal()

    def service_keys(self, purpose: str) -> tuple[bytes, ...]:
        """The relay's own keys for a purpose, newest first: sign with the first, accept any."""
        return tuple(derive_service_key(root, purpose) for root in reversed(self._roots))

    def _derive_uncached(self, slot: KeySlot, salt: bytes | None) -> ContentKey:
        return derive_content_key(self._root(slot.generation), slot, salt)

    def _root(self, generation: int) -> RootKey:
        try:
            return self._by_generation[root_of(generation)]
        except KeyError:
            raise KeyRingError(f"key ring: no root key of generation {root_of(generation)}") from None
