"""What is put down about calls: the audit log, and the answers to calls that clients may repeat.

Both are written a moment after the answer, many at a time: the revocation itself is durable by then, and names who
ordered it and why, so a second wait for the disk would protect little.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from itertools import count
from typing import Any

import msgspec
import structlog
from aiohttp import web

from relay.background import in_background
from relay.control.errors import IdempotencyConflictError
from relay.errors import JournalError
from relay.node import Node
from relay.state.journal import Answer, AuditEntry
from relay.telemetry.metrics import FAILED

MAX_OWED = 10_000
"""Entries that wait for a disk that does not take them; past them the oldest are lost, and that is logged."""
GROUP_S = 0.1
RETRY_S = 1.0
REMEMBERED_S = 24 * 3600
_log = structlog.get_logger()


class Notes:
    """The write-behind of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._entries: dict[int, AuditEntry] = {}
        self._numbers = count()
        self._answers: dict[str, Answer] = {}
        self._filled = asyncio.Event()
        self._writing = asyncio.Lock()

    def audit(self, who: str, what: str, effect: Mapping[str, Any]) -> None:
        """Put down that someone did something, and log it, but not whom it names. ``effect`` never holds a secret."""
        _log.info("control_action", who=who, what=what, id=effect.get("id"))
        if len(self._entries) >= MAX_OWED:
            FAILED.labels("audit_lost").inc()
            _log.error("audit_lost", what=self._entries.pop(next(iter(self._entries))).what)
        entry = AuditEntry(self._node.clock(), who, what, msgspec.json.encode(effect).decode())
        self._entries[next(self._numbers)] = entry
        self._filled.set()

    def keep(self, key: str, request: bytes, body: bytes) -> None:
        """Remember what was answered to the call that carried an idempotency key."""
        while len(self._answers) >= MAX_OWED:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = Answer(request, body, self._node.clock())
        self._filled.set()

    async def answer(self, key: str, request: bytes) -> bytes | None:
        """What was answered before. Raises :class:`IdempotencyConflictError` if that was another call."""
        found = self._answers.get(key) or await asyncio.to_thread(self._node.journal.answer, key)
        if found is None or found.at < self._node.clock() - REMEMBERED_S:
            return None
        if found.request != request:
            raise IdempotencyConflictError("this Idempotency-Key was used for another call; make a new one")
        return found.body

    async def audited(self, after: int, limit: int) -> list[AuditEntry]:
        """A page of the audit log, oldest first. Raises :class:`JournalError`."""
        await self.write()
        return await asyncio.to_thread(self._node.journal.audit, after, limit)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(GROUP_S)
            self._filled.clear()
            try:
                # Shielded: what is being written when this ends must not be written once more.
                await asyncio.shield(self.write())
            except JournalError as err:
                _log.error("notes_unwritable", entries=len(self._entries), error=str(err))
                self._filled.set()
                await asyncio.sleep(RETRY_S)

    async def write(self) -> None:
        """Write what waits. Raises :class:`JournalError`."""
        async with self._writing:
            entries, answers = dict(self._entries), dict(self._answers)
            if entries:
                await asyncio.to_thread(self._node.journal.add_audit, entries.values())
                for number in entries:
                    self._entries.pop(number, None)
            if answers:
                await asyncio.to_thread(self._node.journal.keep_answers, answers)
                for key, answer in answers.items():
                    if self._answers.get(key) is answer:
                        del self._answers[key]


NOTES = web.AppKey("notes", Notes)


async def keep_notes(app: web.Application) -> AsyncIterator[None]:
    """Write notes while the application lives, and what is left at its end."""
    notes = app[NOTES]
    async with in_background(notes.run()):
        yield
    try:
        await notes.write()
    except JournalError as err:
        _log.error("notes_unwritable", error=str(err))
