"""Asking all nodes who was served what. Each keeps its own, so that a million sessions weigh on nobody's memory.

What is asked is put into a stream of the shared log's server, which every node looks at once a second; each answers by
pages into a list of that inquiry, and waits while the asker has not read them. All of it is sealed, and goes by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from keys.errors import SealError
from keys.seal import Sealer
from relay.errors import JournalError
from relay.watermark.serving.servings import ServedRow, Servings

LOOK_EVERY_S = 1.0
QUIET_S = 10.0
"""A node that says nothing for so long is missing from the answer."""
KEPT_S = 120
MAX_ASKS = 64
MAX_UNREAD = 32
"""Pages that nodes put down before the asker has read some: a few megabytes."""
TIMEOUT_S = 2.0
_log = structlog.get_logger()
T = TypeVar("T")


class Ask(Struct, frozen=True, array_like=True):
    """Who may have been served positions ``first`` to ``last`` of an asset? By the node ``asker``."""

    id: str
    asker: str
    asset: str
    first: int
    last: int


class Page(Struct, frozen=True, array_like=True):
    """Some of what a node knows, of the inquiry ``id``; ``final`` if it knows no more."""

    id: str
    node: str
    rows: list[ServedRow]
    final: bool


_encoder = msgspec.msgpack.Encoder()
_asks = msgspec.msgpack.Decoder(Ask)
_pages = msgspec.msgpack.Decoder(Page)


class Inquiry(Protocol):
    """An inquiry under way: its pages, and in the end the nodes that are ``missing`` from them."""

    missing: list[str]

    def pages(self) -> AsyncIterator[list[ServedRow]]:
        """What is known, some at a time. Raises :class:`relay.errors.JournalError` for what is kept here."""


class Inquiries:
    """Asks and answers for one node. ``others`` gives the names of the other live nodes."""

    def __init__(
        self,
        servings: Servings,
        node: str,
        others: Callable[[], list[str]],
        bus: "Bus | None",
        entropy: Callable[[int], bytes],
    ) -> None:
        self._servings = servings
        self._node = node
        self._others = others
        self._bus = bus
        self._entropy = entropy

    def ask(self, asset: str, first: int, last: int) -> "Inquiry":
        """Begin an inquiry of all nodes."""
        ask = Ask(self._entropy(16).hex(), self._node, asset, first, last)
        return _Asked(ask, self._servings, self._others(), self._bus)

    async def keep_answering(self) -> None:
        """Answer what other nodes ask, until cancelled. Returns at once where there are none."""
        if self._bus is None:
            return
        bus, place = self._bus, ""
        async with asyncio.TaskGroup() as answers:
            while True:
                try:
                    place, asks = await bus.asked(place)
                    for ask in asks:
                        if ask.asker != self._node:
                            answers.create_task(self._answer(bus, ask))
                except (RedisError, OSError, TimeoutError):
                    pass  # the state's own log says that the server is away
                await asyncio.sleep(LOOK_EVERY_S)

    async def _answer(self, bus: "Bus", ask: Ask) -> None:
        try:
            async for rows in self._servings.candidates(ask.asset, ask.first, ask.last):
                if not await bus.tell(Page(ask.id, self._node, rows, False)):
                    return
            await bus.tell(Page(ask.id, self._node, [], True))
        except (RedisError, OSError, TimeoutError, JournalError) as err:
            _log.warning("served_ranges_untold", error=type(err).__name__)


class _Asked:
    """See :class:`Inquiry`."""

    def __init__(self, ask: Ask, servings: Servings, others: list[str], bus: "Bus | None") -> None:
        self.missing = others
        self._ask = ask
        self._servings = servings
        self._bus = bus

    async def pages(self) -> AsyncIterator[list[ServedRow]]:
        bus, ask = self._bus, self._ask
        if bus is not None and self.missing:
            try:
                await bus.ask(ask)
            except (RedisError, OSError, TimeoutError):
                bus = None
        async for rows in self._servings.candidates(ask.asset, ask.first, ask.last):
            yield rows
        heard = monotonic()
        while bus is not None and self.missing and monotonic() - heard < QUIET_S:
            try:
                told = await bus.told(ask.id)
            except (RedisError, OSError, TimeoutError):
                return
            for page in told:
                heard = monotonic()
                if page.final and page.node in self.missing:
                    self.missing.remove(page.node)
                if page.rows:
                    yield page.rows
            if not told:
                await asyncio.sleep(0.05)


class Bus:
    """The stream of asks and the lists of answers. ``url`` is that of the server; ``namespace`` begins every key."""

    def __init__(self, url: str, password: str, namespace: str, sealer: Sealer) -> None:
        self._client = Redis.from_url(
            url,
            password=password or None,
            socket_connect_timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._asks = f"{namespace}:served:asks".encode()
        self._answers = f"{namespace}:served:answers:"
        self._sealer = sealer

    async def ask(self, ask: Ask) -> None:
        """Put an inquiry where every node will see it."""
        sealed = self._sealer.seal(_encoder.encode(ask), self._asks)
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.xadd(self._asks, {"ask": sealed}, maxlen=MAX_ASKS, approximate=False)
            pipe.expire(self._asks, KEPT_S)
            await pipe.execute()

    async def asked(self, place: str) -> tuple[str, list[Ask]]:
        """What was asked since ``place``, and the place to go on from; at first, from now on."""
        if not place:
            newest: Any = await self._client.xrevrange(self._asks, count=1)
            return (newest[0][0].decode() if newest else "0-0"), []
        found: Any = await self._client.xrange(self._asks, min=f"({place}")
        asks = []
        for entry, fields in found:
            place = entry.decode()
            opened = self._opened(fields.get(b"ask", b""), self._asks, _asks)
            if opened is not None:
                asks.append(opened)
        return place, asks

    async def tell(self, page: Page) -> bool:
        """Put a page down once there is room; False where nobody has read any for too long."""
        key = f"{self._answers}{page.id}".encode()
        sealed, until = self._sealer.seal(_encoder.encode(page), key), monotonic() + QUIET_S
        while await self._client.llen(key) >= MAX_UNREAD:
            if monotonic() > until:
                return False
            await asyncio.sleep(0.1)
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.rpush(key, sealed)
            pipe.expire(key, KEPT_S)
            await pipe.execute()
        return True

    async def told(self, inquiry: str) -> list[Page]:
        """The pages put down since the last time. What no node wrote for this inquiry is left out."""
        key = f"{self._answers}{inquiry}".encode()
        found: Any = await self._client.lpop(key, MAX_UNREAD)
        pages = (self._opened(sealed, key, _pages) for sealed in found or ())
        return [page for page in pages if page is not None and page.id == inquiry]

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    def _opened(self, sealed: bytes, key: bytes, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
        try:
            return decoder.decode(self._sealer.open(sealed.decode("ascii"), key))
        except (SealError, ValueError):
            return None
