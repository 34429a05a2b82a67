"""The replica: this node's copy of the shared state, and the only way to change it.

On one machine the journal is the whole story. A shared log of several nodes belongs here, too: what it
brings goes through the same :meth:`Replica.submit`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from relay.state.events import Event
from relay.state.journal import Journal
from relay.state.state import State

Listener = Callable[[Event], None]


class Replica:
    """Applies events to the state, journals them, and tells listeners.

    ``clock`` gives seconds since the epoch. Without a journal the state lives as long as the process.
    """

    def __init__(self, state: State, clock: Callable[[], float], journal: Journal | None = None) -> None:
        self.state = state
        self._clock = clock
        self._journal = journal
        self._listeners: list[Listener] = []
        # One thread keeps the journal's order and its disk waits off the event loop.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        if journal:
            for event in journal.replay():
                state.apply(event, clock())

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener`` after each event has been applied."""
        self._listeners.append(listener)

    async def submit(self, event: Event) -> None:
        """Apply an event here at once, then make it durable; returns when both are done.

        Applied first, because a revoked viewer must not enjoy the time a disk takes; acknowledged last.
        """
        self.apply(event)
        await self.persist(event)

    def apply(self, event: Event) -> None:
        """Apply an event and tell the listeners, without waiting for the disk."""
        self.state.apply(event, self._clock())
        for listener in self._listeners:
            listener(event)

    async def persist(self, *events: Event) -> None:
        """Make events durable."""
        if self._journal:
            loop = asyncio.get_running_loop()
            for event in events:
                await loop.run_in_executor(self._writer, self._journal.append, event)

    def close(self) -> None:
        """Finish pending writes and close the journal."""
        self._writer.shutdown()
        if self._journal:
            self._journal.close()
