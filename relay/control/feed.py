"""``GET /api/v1/revocations/stream``: every record as it becomes durable here, as server-sent events (HTML §9.2).

A client reads from the journal at its own pace, so nothing is queued for it and nothing is lost: it comes back with
``Last-Event-ID`` and goes on where it left off, or is told that what lay between is gone.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec
from aiohttp import web

from relay.api.revocations import record_of
from relay.background import in_background
from relay.control.errors import BusyError
from relay.errors import RelayError
from relay.model import Cut
from relay.node import NODE, Node
from relay.operation import Header, Media, Operation
from relay.roles import READERS
from relay.state.clock import COUNTER_BITS
from relay.state.events import Event, Revocation
from relay.state.journal import Journal
from relay.telemetry.metrics import FEEDS

MAX_FEEDS = 64
PAGE = 256
HEARTBEAT_S = 15.0
MAX_STALL_S = 10.0
"""A client that takes nothing for so long is disconnected."""
RETRY_MS = 1000
REWIND_ORDER = 10_000 << COUNTER_BITS
"""Ten seconds, as the order of events counts them: how differently two nodes may have heard of the same events."""
_LOOK_S, _LONGEST_LOOK_S, _GIVE_UP_S = 0.005, 0.25, 5.0


class Tail:
    """The end of the journal, for everyone who waits there.

    Events are heard of when they are applied, and written a moment later: that moment is spent here, once for all.
    """

    def __init__(self, node: Node) -> None:
        self.closed = False
        self.open = 0
        self._node = node
        self._applied = asyncio.Event()
        self._grown = asyncio.Event()
        self.position = 0

    def hear(self, _: Sequence[Event], __: str) -> Cut:
        """Take note that events were applied; for :attr:`relay.state.replica.Replica.on_applied`."""
        self._applied.set()
        return Cut()

    async def run(self) -> None:
        """Follow the journal until cancelled."""
        while True:
            await self._applied.wait()
            self._applied.clear()
            pause, spent = _LOOK_S, 0.0
            while self.open and spent < _GIVE_UP_S:
                await asyncio.sleep(pause)
                spent, pause = spent + pause, min(2 * pause, _LONGEST_LOOK_S)
                with suppress(RelayError):
                    position = await asyncio.to_thread(lambda: self._node.journal.position)
                    if position > self.position:
                        self.position = position
                        self._wake()
                        break

    async def beyond(self, position: int, timeout_s: float) -> None:
        """Return once the journal goes beyond a position, or after a time."""
        grown = self._grown
        if self.position <= position and not self.closed:
            with suppress(TimeoutError):
                await asyncio.wait_for(grown.wait(), timeout_s)

    def close(self) -> None:
        """Send everyone away."""
        self.closed = True
        self._wake()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Room for one client. Raises :class:`BusyError`."""
        if self.open >= MAX_FEEDS:
            raise BusyError(f"{MAX_FEEDS} feeds are open; close one", 10.0)
        self.open += 1
        FEEDS.set(self.open)
        try:
            yield
        finally:
            self.open -= 1
            FEEDS.set(self.open)

    def _wake(self) -> None:
        # A fresh event for each change: whoever waits holds the old one.
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()


TAIL = web.AppKey("tail", Tail)


async def keep_tail(app: web.Application) -> AsyncIterator[None]:
    """Follow the journal while the application lives."""
    tail, heard = app[TAIL], app[NODE].replica.on_applied
    heard.append(tail.hear)
    async with in_background(tail.run()):
        yield
    heard.remove(tail.hear)


async def close_feeds(app: web.Application) -> None:
    """End the feeds, for they would outlast any patience."""
    app[TAIL].close()


async def get_stream(request: web.Request) -> web.StreamResponse:
    """The feed; a client that comes without ``Last-Event-ID`` begins with what happens from now on."""
    node, tail = request.app[NODE], request.app[TAIL]
    last = request.headers.get("Last-Event-ID", "")
    with tail.place():
        position, known = await _begin(node, last)
        response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        await response.prepare(request)
        await _write(response, f"retry: {RETRY_MS}\n\n".encode())
        if not known:
            await _write(response, b"event: gap\ndata: {}\n\n")
        with suppress(TimeoutError):
            await _follow(response, node, tail, position)
        # A stalled client's bytes would never leave; the connection ends here in any case.
        response.force_close()
    return response


async def _begin(node: Node, last: str) -> tuple[int, bool]:
    journal = node.journal
    found = await asyncio.to_thread(journal.find, last) if last else None
    if found is None:
        return await asyncio.to_thread(lambda: journal.position), not last
    if node.replica.members() and isinstance(found.event, Revocation):
        return await asyncio.to_thread(_rewound, journal, found.position, found.event), True
    return found.position, True


def _rewound(journal: Journal, position: int, last: Revocation) -> int:
    # The client may come from another node, where events that are new to it arrived earlier than here: what is about
    # as old as the last one it saw is sent again rather than missed.
    since = last.order - REWIND_ORDER
    around = [
        row.position
        for row in journal.newest(PAGE, position)
        if isinstance(row.event, Revocation) and row.event.order >= since
    ]
    return min(around, default=position) - 1


async def _follow(response: web.StreamResponse, node: Node, tail: Tail, position: int) -> None:
    while not tail.closed:
        page = await asyncio.to_thread(node.journal.after, position, PAGE)
        records = [row.event for row in page if isinstance(row.event, Revocation)]
        if page:
            position = page[-1].position
        if records:
            await _write(response, b"".join(map(_message, records)))
        elif not page:
            await tail.beyond(position, HEARTBEAT_S)
            if tail.position <= position:
                await _write(response, b":\n\n")


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(MAX_STALL_S):
        await response.write(data)


def _message(event: Revocation) -> bytes:
    data = msgspec.json.encode(record_of(event))
    return b"id: %s\nevent: revocation\ndata: %s\n\n" % (event.id.encode(), data)


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/v1/revocations/stream",
        handler=get_stream,
        tag="Revocations",
        roles=READERS,
        headers=(Header("Last-Event-ID", "The id of the last record seen: the feed goes on after it."),),
        answers={200: Media.of("text/event-stream")},
        errors=(BusyError,),
        streams=True,
    ),
)
