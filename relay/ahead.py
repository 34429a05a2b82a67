"""What a stream keeps between the release of a key and its first use: that key sealed for sessions that asked."""

from collections.abc import Hashable

MAX_SEALED = 4096
"""Sessions whose sealed keys are kept for their next request, about 700 bytes each. Sealing anew takes 20 µs."""


class Ahead:
    """Sealed next keys of one stream. Before ``quiet_until`` (node clock, s) no key is known to be released ahead."""

    def __init__(self) -> None:
        self.quiet_until = 0.0
        self._sealed: dict[Hashable, str] = {}

    def get(self, key: Hashable) -> str | None:
        """What was sealed for a session and period."""
        return self._sealed.get(key)

    def put(self, key: Hashable, sealed: str) -> None:
        """Keep what was sealed, at the expense of the oldest."""
        if len(self._sealed) >= MAX_SEALED:
            del self._sealed[next(iter(self._sealed))]
        self._sealed[key] = sealed

    def rest(self, until: float) -> None:
        """Nothing is released ahead; look again at ``until``."""
        self.quiet_until = until
        self._sealed.clear()
