"""The replica: this node's copy of the shared state, and the only way to change it.

On one machine the journal is the whole story. A shared log of several nodes belongs here, too: what it
brings is applied by the same :meth:`Replica.apply`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from relay.state.events import Event
from relay.state.journal import Journal
from relay.state.state import State


class Replica:
    """Applies events to the state and journals them.

    ``clock`` gives seconds since the epoch. Without a journal the state lives as long as the process.
    """

    def __init__(self, state: State, clock: Callable[[], float], journal: Journal | None = None) -> None:
        self.state = state
        self._clock = clock
        self._journal = journal
        # One thread keeps the journal's order and its disk waits off the event loop.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        if journal:
            for event in journal.replay():
                state.apply(event, clock())

    def apply(self, event: Event) -> None:
        """Apply an event here at once. A revoked viewer must not enjoy the time a disk takes."""
        self.state.apply(event, self._clock())

    async def persist(self, *events: Event) -> None:
        """Make events durable. Only then may their effect be acknowledged or relied on."""
        if self._journal:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._journal.append, *events)

    def close(self) -> None:
        """Finish pending writes and close the journal."""
        self._writer.shutdown()
        if self._journal:
            self._journal.close()
