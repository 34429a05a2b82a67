"""A timing wheel: one timer for any number of things that are due some time."""

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

TICK_S = 0.05
"""How finely time is cut. Nothing is due early, and late by one tick at most."""


class Wheel(Generic[T]):
    """Items under the tick they are due at: eight bytes an item, where a heap takes a hundred. Times in seconds."""

    def __init__(self) -> None:
        self._due: dict[int, list[T]] = {}
        self._turned = 0

    def add(self, item: T, at: float) -> int:
        """Put an item on the wheel; the tick that :meth:`turn` will give with it."""
        tick = max(int(at / TICK_S) + 1, self._turned + 1)
        self._due.setdefault(tick, []).append(item)
        return tick

    def turn(self, now: float) -> Iterator[tuple[int, T]]:
        """Take off what is due, each item with its tick."""
        until = int(now / TICK_S)
        # Most turns find one tick or none; after a long pause there are fewer ticks with items than ticks.
        for tick in sorted(tick for tick in self._due if tick <= until):
            self._turned = max(self._turned, tick)
            for item in self._due.pop(tick):
                yield tick, item
        self._turned = max(self._turned, until)
