"""Which events a node has: per origin, all up to a number and some beyond a gap. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

MAX_BEYOND = 100_000
"""Numbers remembered beyond gaps. Forgetting one costs no more than applying its event twice, which changes nothing."""

Span = tuple[str, int, int]
"""Origin, first and last number, both included."""


class Extent(NamedTuple):
    """What nodes tell each other of what they have.

    ``whole`` is by origin the number up to which nothing is missing, ``tops`` the highest number of those origins of
    which something is: a gap that nobody can fill must not hide what lies beyond it.
    """

    whole: dict[str, int]
    tops: dict[str, int]

    def beyond(self, other: "Extent") -> list[Span]:
        """What this extent has and ``other`` has not, as far as can be told."""
        if self == other:
            return []
        theirs, reach = other.whole, other.whole | other.tops
        return [
            (origin, theirs.get(origin, 0) + 1, last)
            for origin, last in (self.whole | self.tops).items()
            if last > reach.get(origin, 0) or self.whole.get(origin, 0) > theirs.get(origin, 0)
        ]


class Vector:
    """The events applied here."""

    def __init__(self, whole: Mapping[str, int] | None = None) -> None:
        self._whole = dict(whole or {})
        self._beyond: dict[str, set[int]] = {}
        self._room = MAX_BEYOND

    @property
    def extent(self) -> Extent:
        """What to tell other nodes. A copy."""
        return Extent(self._whole.copy(), {origin: max(seqs) for origin, seqs in self._beyond.items()})

    def whole_of(self, origin: str) -> int:
        """The number up to which nothing of an origin is missing."""
        return self._whole.get(origin, 0)

    def has(self, origin: str, seq: int) -> bool:
        """Whether an event was seen."""
        return seq <= self._whole.get(origin, 0) or seq in self._beyond.get(origin, ())

    def covers(self, spans: Iterable[Span]) -> bool:
        """Whether nothing in the spans is new."""
        return all(last <= self._whole.get(origin, 0) for origin, _, last in spans)

    def add(self, origin: str, first: int, last: int) -> None:
        """Take note of every event from ``first`` to ``last``."""
        whole = self._whole.get(origin, 0)
        if first > whole + 1:
            self._keep_beyond(origin, first, last)
        elif last > whole:
            self._whole[origin] = last
            if origin in self._beyond:
                self._close_gaps(origin)

    def _keep_beyond(self, origin: str, first: int, last: int) -> None:
        if last - first < self._room:
            seen = self._beyond.setdefault(origin, set())
            before = len(seen)
            seen.update(range(first, last + 1))
            self._room -= len(seen) - before

    def _close_gaps(self, origin: str) -> None:
        seen = self._beyond[origin]
        whole = self._whole[origin]
        while whole + 1 in seen:
            whole += 1
        self._whole[origin] = whole
        left = {seq for seq in seen if seq > whole}
        self._room += len(seen) - len(left)
        if left:
            self._beyond[origin] = left
        else:
            del self._beyond[origin]
