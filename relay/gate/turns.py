"""Forgetting what has gone, a little with each that comes, so that nothing ever stops to sweep. Pure."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Turns(Generic[_Item]):
    """Items in turn, at most ``limit``. For each that is added, two are looked at: so what has gone goes in the end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[_Item] = deque()

    def __len__(self) -> int:
        """How many items there are."""
        return len(self._items)

    def add(self, item: _Item, gone: Callable[[_Item], bool]) -> list[_Item]:
        """Add an item; the ones to forget: two at most that have gone, or that must go for want of room."""
        items = self._items
        items.append(item)
        forgotten = []
        for _ in range(min(2, len(items))):
            oldest = items.popleft()
            if gone(oldest) or len(items) >= self._limit:
                forgotten.append(oldest)
            else:
                items.append(oldest)
        return forgotten
