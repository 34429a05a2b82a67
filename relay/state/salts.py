"""Random salts of crypto periods: drawn once for all nodes, durable before anything made with them is sent."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import islice

from relay.errors import JournalError, KeyPendingError
from relay.state.events import Event, SaltDrawn
from relay.state.log import LogError
from relay.state.replica import Replica

SALT_BYTES = 32
AHEAD = 16
"""Periods whose salts are claimed before they are needed: for so many the shared log may be out of reach."""
MAX_WANTED = 4096
_RETRY_S = 0.5
_Slot = tuple[str, int]
Following = Callable[[int], Iterable[int]]
"""The periods of a stream that follow one, in order."""


class Salts:
    """Gives the salt of a period, drawn with ``entropy`` (``os.urandom``).

    On one node it is drawn on first use. Where there are others they must all use the same: it is claimed in the
    shared log, which takes a moment, and therefore ahead of need for streams of which is known what follows.
    """

    def __init__(self, replica: Replica, entropy: Callable[[int], bytes]) -> None:
        self._replica = replica
        self._entropy = entropy
        self._following: Mapping[str, Following] = {}
        self._looked_ahead: set[_Slot] = set()
        self._unwritten: list[Event] = []
        self._drawing = threading.Lock()
        self._writing = asyncio.Lock()
        self._wanted: dict[_Slot, None] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        if replica.shared:
            replica.background.append(self._keep_claiming)

    def configure(self, following: Mapping[str, Following]) -> None:
        """Replace what is known of the periods of streams whose keys have salt."""
        self._following = following
        self._looked_ahead = set()

    def of(self, stream: str, period: int | None) -> bytes | None:
        """The salt of a period; stable keys have none.

        Raises :class:`KeyPendingError` while it is being claimed: asking again soon is right.
        """
        if period is None:
            return None
        # Large manifests are rewritten in a thread, and two draws for one period must not both be used.
        with self._drawing:
            found = self._replica.state.salt(stream, period)
            if self._replica.shared:
                if found is None or (stream, period) not in self._looked_ahead:
                    self._want_ahead(stream, period)
                if found is None:
                    raise KeyPendingError("the salt of this period is being agreed on")
            elif found is None:
                found = self._entropy(SALT_BYTES)
                event = self._drawn(stream, period, found)
                self._replica.apply([event])
                self._unwritten.append(event)
            return found

    async def settle(self) -> None:
        """Wait until every salt drawn so far is durable. To be awaited before sending what used one."""
        if self._unwritten or self._writing.locked():
            async with self._writing:
                # Struck off once durable: a full disk or a viewer who leaves must not make it look written.
                while self._unwritten:
                    writing = self._unwritten[:]
                    await self._replica.persist(writing)
                    del self._unwritten[: len(writing)]

    def _drawn(self, stream: str, period: int, salt: bytes) -> SaltDrawn:
        number = self._replica.next_seq()
        return SaltDrawn(origin=self._replica.origin, seq=number, stream=stream, period=period, salt=salt)

    def _want_ahead(self, stream: str, period: int) -> None:
        if len(self._looked_ahead) >= MAX_WANTED:
            self._looked_ahead.clear()
        self._looked_ahead.add((stream, period))
        following = self._following.get(stream)
        periods = [period, *(islice(following(period), AHEAD - 1) if following else ())]
        wanted = [(stream, one) for one in periods if self._replica.state.salt(stream, one) is None]
        new = [slot for slot in wanted if slot not in self._wanted]
        self._wanted |= dict.fromkeys(new[: MAX_WANTED - len(self._wanted)])
        if new and self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _keep_claiming(self) -> None:
        self._loop = asyncio.get_running_loop()
        while True:
            if not self._wanted:
                await self._wake.wait()
            self._wake.clear()
            # Before this node has caught up, others may have drawn what it does not know of.
            if not self._replica.ready or not await self._claim_wanted():
                await asyncio.sleep(_RETRY_S)

    async def _claim_wanted(self) -> bool:
        for stream, period in list(self._wanted):
            if self._replica.state.salt(stream, period) is None:
                try:
                    salt = await self._replica.claim(f"salt:{stream}:{period}", self._entropy(SALT_BYTES))
                except LogError:
                    return False
                if self._replica.state.salt(stream, period) is None:
                    # Told also if another node drew it: that one may have died before it could tell.
                    event = self._drawn(stream, period, salt)
                    # On a full disk the claim itself and the other nodes keep it.
                    with suppress(JournalError):
                        await self._replica.persist([event])
                    self._replica.apply([event])
                    await self._replica.publish([event])
            with self._drawing:
                self._wanted.pop((stream, period), None)
        return True
