"""Response bodies: whole ones, and ones that are still growing while viewers read them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from relay.errors import OriginTooLargeError


@dataclass(frozen=True, slots=True)
class Whole:
    """A complete body with its strong entity tag (RFC 9110 §8.8.3); an empty one for what is never stored."""

    data: bytes
    etag: str
    content_type: str

    @property
    def weight(self) -> int:
        """Bytes kept alive."""
        return len(self.data)

    @property
    def media_type(self) -> str:
        """The content type without parameters, which an origin may have added."""
        return self.content_type.partition(";")[0].strip()


ABANDON_AFTER_S = 0.5
"""How long a growing body goes on without a reader."""


class Growing:
    """A body that arrives piece by piece; every reader gets all of it, from the start.

    ``limit`` bounds what it holds. Pieces are kept once, however many read them. When the last reader
    leaves before the end, ``on_abandoned`` is called: nobody needs the rest.
    """

    def __init__(self, content_type: str, limit: int, on_abandoned: Callable[[], object]) -> None:
        self.content_type = content_type
        self._on_abandoned = on_abandoned
        self._readers = 0
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self._done = False
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()

    def add(self, piece: bytes) -> None:
        """Append a piece. Raises :class:`OriginTooLargeError` past the limit."""
        self._size += len(piece)
        if self._size > self._limit:
            raise OriginTooLargeError(f"segment grew past {self._limit} bytes")
        self._pieces.append(piece)
        self._wake()

    def finish(self) -> bytes:
        """Mark the body complete and return it whole."""
        self._done = True
        self._wake()
        return b"".join(self._pieces)

    def fail(self, failure: BaseException) -> None:
        """End every reader with ``failure``."""
        self._failure = failure
        self._wake()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The pieces in order, waiting for those to come. Raises what the body failed with."""
        at = 0
        self._readers += 1
        try:
            while True:
                changed = self._changed
                while at < len(self._pieces):
                    yield self._pieces[at]
                    at += 1
                if self._failure is not None:
                    raise self._failure
                if self._done:
                    return
                await changed.wait()
        finally:
            self._readers -= 1
            if not self._readers and not self._done:
                # Not at once: whoever was just given this body has not begun to read it.
                asyncio.get_running_loop().call_later(ABANDON_AFTER_S, self._check_abandoned)

    def _check_abandoned(self) -> None:
        if not self._readers and not self._done:
            self._on_abandoned()

    def _wake(self) -> None:
        # A fresh event for each change: readers hold the old one and look again when it is set.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


Body = Whole | Growing
