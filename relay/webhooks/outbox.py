"""What a node tells its webhooks: the events that it made itself, from its journal, and how far each of them is.

Each node tells of its own, so that none is told twice; those of its former incarnations are its own, too. A webhook's
cursor is the journal's position up to which everything was taken. It is put down now and then: after a crash some
events come again, under the same ids.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from urllib.parse import quote

import msgspec
import structlog

from keys.encoding import encode_fields
from relay.background import in_background
from relay.errors import JournalError
from relay.gate.replay import SeenOnce
from relay.model import Cut
from relay.node import Node
from relay.sessions.records import Refused
from relay.state.events import Event
from relay.state.journal import Journal
from relay.telemetry.metrics import WEBHOOKS
from relay.verdict import Reason
from relay.webhooks.events import Told, told_of, told_of_refusal
from relay.webhooks.hook import Endpoint, Hook
from relay.webhooks.message import CloudEvent
from relay.webhooks.settings import TEST, EventType

PAGE = 256
LOOK_EVERY_S = 1.0
GATHER_S = 0.05
"""For the journal, which writes an event a moment after it was heard of."""
SAVE_EVERY_S = 1.0
RETRY_S = 5.0
MAX_PASSING = 256
"""Events that are in no journal and wait for a webhook; of more the oldest go."""
SAMPLED_S = 600.0
MAX_SAMPLED = 10_000
MAX_INCARNATIONS = 256
_ORIGINS = "webhook origins"
_log = structlog.get_logger()


class Sender:
    """One webhook and its place in the journal."""

    def __init__(self, hook: Hook, journal: Journal, origins: frozenset[str], source: str) -> None:
        self.hook = hook
        self.position = 0
        self.passing: deque[Told] = deque(maxlen=MAX_PASSING)
        self.woken = asyncio.Event()
        self.tested = asyncio.Lock()
        self._journal = journal
        self._origins = origins
        self._source = source
        self._saved = -1
        self._saved_at = 0.0

    @property
    def _cursor(self) -> str:
        return f"webhook {self.hook.endpoint.name}"

    async def start(self) -> None:
        """Find the place where it left off; one that is new begins with what happens from now on."""
        kept = await asyncio.to_thread(self._journal.meta, self._cursor)
        self.position = int(kept) if kept else await asyncio.to_thread(lambda: self._journal.position)
        await self.save()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                await self._send_all()
            except JournalError as err:
                _log.error("webhook_journal", webhook=self.hook.endpoint.name, error=str(err))
                await asyncio.sleep(RETRY_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.woken.wait(), LOOK_EVERY_S)
                await asyncio.sleep(GATHER_S)
            self.woken.clear()

    async def save(self) -> None:
        """Put the cursor down. Raises :class:`JournalError`."""
        position = self.position
        if position != self._saved:
            await asyncio.to_thread(self._journal.set_meta, self._cursor, b"%d" % position)
            self._saved, self._saved_at = position, asyncio.get_running_loop().time()

    async def close(self) -> None:
        """Put down how far it came."""
        with suppress(JournalError):
            await self.save()
        await self.hook.close()

    def offer(self, told: Told) -> None:
        """Take up an event that is in no journal."""
        if len(self.passing) == MAX_PASSING:
            WEBHOOKS.labels(self.hook.endpoint.name, "dropped").inc()
        self.passing.append(told)
        self.woken.set()

    async def _send_all(self) -> None:
        while page := await asyncio.to_thread(self._journal.after, self.position, PAGE):
            for stored in page:
                told = told_of(stored.event, self._source) if stored.event.origin in self._origins else None
                if told and self.hook.endpoint.wants(told.type, told.stream):
                    await self.hook.send(told.event, told.at)
                self.position = stored.position
                if asyncio.get_running_loop().time() - self._saved_at > SAVE_EVERY_S:
                    await self.save()
        await self.save()
        while self.passing:
            told = self.passing.popleft()
            await self.hook.send(told.event, told.at)


class Outbox:
    """The webhooks of a node."""

    def __init__(self, node: Node, endpoints: Sequence[Endpoint]) -> None:
        self.source = f"/nodes/{quote(node.replica.name)}"
        self.senders: dict[str, Sender] = {}
        self._node = node
        self._endpoints = endpoints
        self._sampled = SeenOnce(limit=MAX_SAMPLED)
        self._denied = 0

    async def run(self) -> None:
        """Tell every webhook until cancelled. Without any it is put down for later ones whose events these are."""
        senders = await self._begin()
        if not senders:
            return
        self.senders = {sender.hook.endpoint.name: sender for sender in senders}
        heard = self._node.replica.on_applied
        heard.append(self._hear)
        try:
            with self._node.records.refused.listening(self._hear_refusal):
                async with in_background(*(sender.run() for sender in senders)):
                    await asyncio.Event().wait()
        finally:
            heard.remove(self._hear)
            for sender in senders:
                await sender.close()

    def test_event(self, name: str) -> CloudEvent:
        """An event to try a webhook with."""
        return CloudEvent.of(TEST, name, self.source, self._node.clock(), {"node": self._node.replica.name})

    async def _begin(self) -> list[Sender]:
        node = self._node
        while True:
            try:
                origins = await self._own_origins()
                hooks = (Hook(endpoint, node.clock) for endpoint in self._endpoints)
                senders = [Sender(hook, node.journal, origins, self.source) for hook in hooks]
                for sender in senders:
                    await sender.start()
            except JournalError as err:
                _log.error("webhook_journal", error=str(err))
                await asyncio.sleep(RETRY_S)
            else:
                return senders

    async def _own_origins(self) -> frozenset[str]:
        journal, origin = self._node.journal, self._node.replica.origin
        kept = await asyncio.to_thread(journal.meta, _ORIGINS)
        known = msgspec.json.decode(kept, type=list[str]) if kept else []
        if origin not in known:
            known = [*known, origin][-MAX_INCARNATIONS:]
            await asyncio.to_thread(journal.set_meta, _ORIGINS, msgspec.json.encode(known))
        return frozenset(known)

    def _hear(self, _: Sequence[Event], __: str) -> Cut:
        for sender in self.senders.values():
            sender.woken.set()
        return Cut()

    def _hear_refusal(self, refused: Refused) -> None:
        if refused.reason is not Reason.REVOKED:
            return
        wanting = [
            sender
            for sender in self.senders.values()
            if sender.hook.endpoint.wants(EventType.LICENCE_DENIED, refused.stream)
        ]
        session = refused.session
        digest = blake2b(encode_fields(session.issuer.encode(), session.sid.encode()), digest_size=16).digest()
        if not wanting or not self._sampled.first_time(digest, refused.at + SAMPLED_S, refused.at):
            return
        self._denied += 1
        told = told_of_refusal(refused, self._denied, self.source, self._node.replica.origin)
        for sender in wanting:
            sender.offer(told)
