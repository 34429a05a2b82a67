"""Random salts of crypto periods: drawn when a period is first named, durable before anything is sent."""

import asyncio
import threading
from collections.abc import Callable

from relay.state.events import Event, SaltDrawn
from relay.state.replica import Replica

SALT_BYTES = 32


class Salts:
    """Gives the salt of a period, drawing it on first use with ``entropy`` (``os.urandom``)."""

    def __init__(self, replica: Replica, entropy: Callable[[int], bytes]) -> None:
        self._replica = replica
        self._entropy = entropy
        self._unwritten: list[Event] = []
        self._drawing = threading.Lock()
        self._writing = asyncio.Lock()

    def of(self, stream: str, period: int | None) -> bytes | None:
        """The salt of a period; stable keys have none."""
        if period is None:
            return None
        # Large manifests are rewritten in a thread, and two draws for one period must not both be used.
        with self._drawing:
            found = self._replica.state.salt(stream, period)
            if found is None:
                found = self._entropy(SALT_BYTES)
                event = SaltDrawn(stream=stream, period=period, salt=found)
                self._replica.apply(event)
                self._unwritten.append(event)
            return found

    async def settle(self) -> None:
        """Wait until every salt drawn so far is durable. To be awaited before sending what used one."""
        if self._unwritten or self._writing.locked():
            async with self._writing:
                # Struck off once durable: a full disk or a viewer who leaves must not make it look written.
                while self._unwritten:
                    writing = self._unwritten[:]
                    await self._replica.persist(*writing)
                    del self._unwritten[: len(writing)]
