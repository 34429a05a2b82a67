"""Telling every part of a node that something has changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Broadcast(Generic[T]):
    """Hands what is sent to everyone who listens at that moment, in the order they came."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], None]] = []

    @contextmanager
    def listening(self, hear: Callable[[T], None]) -> Iterator[None]:
        """Have ``hear`` called with whatever is sent while the block runs. It must not raise, nor take long."""
        self._listeners.append(hear)
        try:
            yield
        finally:
            self._listeners.remove(hear)

    def send(self, what: T) -> None:
        """Tell everyone."""
        for hear in list(self._listeners):
            hear(what)
