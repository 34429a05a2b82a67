"""Changing documents that all nodes know: in force here at once, durable and told to the others when answered."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.state.documents import Documents
from relay.state.drafts import DocumentDraft
from relay.state.events import DocumentPut
from relay.state.replica import NodeReport, Replica, Wait, enough


@dataclass(frozen=True, slots=True)
class Put:
    """What became of a change. ``nodes`` tells of every node that was waited for, this one first.

    ``complete``: all that were asked for have reported.
    """

    events: tuple[DocumentPut, ...]
    nodes: tuple[NodeReport, ...]
    complete: bool


class Registry:
    """The documents of one node. ``clock`` gives seconds since the epoch."""

    def __init__(self, replica: Replica, clock: Callable[[], float]) -> None:
        self._replica = replica
        self._clock = clock

    @property
    def documents(self) -> Documents:
        """What stands."""
        return self._replica.state.documents

    def draft(self, kind: str, name: str, body: bytes, actor: str = "", expires_at: float = 0.0) -> DocumentDraft:
        """A change that is about to be made; an empty ``body`` removes the document."""
        return DocumentDraft(
            kind=kind, name=name, body=body, actor=actor, created_at=self._clock(), expires_at=expires_at
        )

    async def put(self, drafts: Sequence[DocumentDraft], wait: Wait = Wait.LOCAL, timeout_s: float = 0.0) -> Put:
        """Make changes, all in one transaction of the journal, and wait for the other nodes if so asked.

        In force here before anything else has its turn, so what was checked right before still holds. Goes on to the
        end even if the caller goes away. Raises :class:`relay.errors.RequestError` for a change that could not be read
        back, :class:`relay.errors.JournalError` for one that holds but was not promised to last.
        """
        started = time.perf_counter()
        events = self._replica.stamp(drafts)
        self._replica.apply(events)
        here = NodeReport(self._replica.name, "applied", (time.perf_counter() - started) * 1000)
        return await asyncio.shield(asyncio.ensure_future(self._settle(events, here, wait, timeout_s, started)))

    async def _settle(
        self, events: Sequence[DocumentPut], here: NodeReport, wait: Wait, timeout_s: float, started: float
    ) -> Put:
        await self._replica.settle(events, ask=wait is not Wait.LOCAL)
        others = [] if wait is Wait.LOCAL else await self._replica.reports(events[0], wait, timeout_s, started)
        return Put(tuple(events), (here, *others), enough(others, wait))
