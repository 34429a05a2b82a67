"""A hybrid logical clock: stamps that order changes made on different nodes, whose clocks disagree."""

from typing import Final

COUNTER_BITS: Final = 16
MAX_LEAD_MS: Final = 3_600_000
MAX_STAMP: Final = 2**63 - 1


class HybridClock:
    """Gives stamps of 48 bits of milliseconds since the epoch and 16 of a counter, each higher than the last.

    After :meth:`observe` of another node's stamp they are higher than that, too: who restores what he sees revoked
    stands above that revocation, though his clock be minutes behind.
    """

    def __init__(self) -> None:
        self._last = 0

    def stamp(self, now: float) -> int:
        """The next stamp; ``now`` in seconds since the epoch."""
        # When the counter runs over, a stamp borrows from the next millisecond.
        self._last = min(max(_stamp_at(now), self._last + 1), MAX_STAMP)
        return self._last

    def observe(self, order: int, now: float) -> None:
        """Take note of a stamp that came from elsewhere, or from the journal.

        One more than an hour ahead moves the clock by that hour and no more. No node in working order sends such a
        one; followed, it would push every clock of the cluster ahead for good, in the end to where no later
        stamp exists. The record that carries it stands all the same until wall clocks have caught up.
        """
        self._last = max(self._last, min(order, _stamp_at(now) + (MAX_LEAD_MS << COUNTER_BITS)))


def _stamp_at(now: float) -> int:
    return max(0, int(now * 1000)) << COUNTER_BITS
