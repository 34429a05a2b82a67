"""What nodes tell each other through the shared log: events, heartbeats, reports and claims. Pure.

Everything is sealed under a key that only nodes have: whoever holds the log's server can withhold what they say,
but neither read accounts nor forge a restore.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from keys.errors import SealError
from keys.seal import Sealer
from relay.state.events import MAX_BATCH, MAX_EVENT_BYTES, Event, decode_batch, encode_batch
from relay.state.vector import Extent, Span

MAX_MESSAGE_BYTES = 2 * MAX_BATCH * MAX_EVENT_BYTES
MAX_SPANS = 1024

Incarnation = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
Number = Annotated[int, Meta(ge=0, lt=2**53)]
_Spans = Annotated[list[tuple[Incarnation, Number, Number]], Meta(max_length=MAX_SPANS)]


class Message(Struct, frozen=True, array_like=True):
    """Events of the log, encoded in ``body``, and the spans of numbers they complete.

    A span holds all its events that still matter: a node that offers old events again leaves out those which have
    expired everywhere. ``ask`` asks every node to report to the sender.
    """

    sender: Incarnation
    ask: bool
    spans: _Spans
    body: bytes

    def events(self) -> list[Event]:
        """The events. Raises ValueError for anything else or too many."""
        events = decode_batch(self.body)
        if len(events) > MAX_BATCH:
            raise ValueError("more events than a message may hold")
        return events


class Heartbeat(Struct, frozen=True, array_like=True):
    """What a node says of itself every second. ``at`` is the time of the log's server, the one clock all share.

    ``left`` is its last word: it has stopped in good order, or its successor says that it is no more.
    """

    name: Annotated[str, Meta(max_length=128)]
    incarnation: Incarnation
    at: float
    whole: dict[Incarnation, Number]
    tops: dict[Incarnation, Number]
    left: bool = False

    @property
    def extent(self) -> Extent:
        """The events it has."""
        return Extent(self.whole, self.tops)


class Report(Struct, frozen=True, array_like=True):
    """That a node has applied the events of a message, and what that cut."""

    name: Annotated[str, Meta(max_length=128)]
    incarnation: Incarnation
    spans: _Spans
    sessions: Number
    responses: Number


class Claim(Struct, frozen=True, array_like=True):
    """A value that the first node to draw one has drawn for all."""

    name: Annotated[str, Meta(max_length=256)]
    value: Annotated[bytes, Meta(max_length=256)]


_Told = TypeVar("_Told", Message, Heartbeat, Report, Claim)
_encoder = msgspec.msgpack.Encoder()


class Envelope:
    """Seals and opens what nodes tell each other."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, told: Message | Heartbeat | Report | Claim) -> bytes:
        """The sealed form."""
        return self._sealer.seal(_encoder.encode(told), type(told).__name__.encode()).encode()

    def open(self, data: bytes, kind: type[_Told]) -> _Told:
        """What was sealed as ``kind``. Raises ValueError for anything that no node of this deployment said."""
        if len(data) > MAX_MESSAGE_BYTES:
            raise ValueError("larger than any message")
        try:
            plain = self._sealer.open(data.decode("ascii"), kind.__name__.encode())
        except SealError as err:
            raise ValueError(str(err)) from None
        return msgspec.msgpack.decode(plain, type=kind)


def spans_of(events: Sequence[Event]) -> list[Span]:
    """The runs of consecutive numbers in ``events``, which are in order."""
    spans: list[Span] = []
    for event in events:
        if spans and spans[-1][0] == event.origin and spans[-1][2] + 1 == event.seq:
            spans[-1] = (event.origin, spans[-1][1], event.seq)
        else:
            spans.append((event.origin, event.seq, event.seq))
    return spans


def messages_of(events: Sequence[Event], sender: str, ask: bool) -> Iterator[Message]:
    """Events as messages of at most :data:`MAX_BATCH`."""
    for at in range(0, len(events), MAX_BATCH):
        batch = events[at : at + MAX_BATCH]
        yield Message(sender, ask, spans_of(batch), encode_batch(batch))


def offers_of(events: Sequence[Event], span: Span, sender: str) -> Iterator[Message]:
    """Messages that complete a whole span with ``events``, which are all of it that still matter, in order."""
    origin, first, last = span
    for at in range(0, max(len(events), 1), MAX_BATCH):
        batch = events[at : at + MAX_BATCH]
        until = batch[-1].seq if at + MAX_BATCH < len(events) else last
        yield Message(sender, False, [(origin, first, until)], encode_batch(batch))
        first = until + 1
