"""The control events: every change of what the relay knows is one of these.

Each is a frozen value with a permanent name, numbered by the node that made it: (``origin``, ``seq``) names an
event for ever, and is how nodes tell which they lack. A field may be added with a default but never renamed or
given another meaning.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from relay.gate.targets import Target, TargetType

Text = Annotated[str, Meta(max_length=512)]
MAX_EVENT_BYTES = 16 * 1024
MAX_DOCUMENT_BYTES = 12 * 1024
REMEMBERED_S = 30 * 86_400.0
"""How long it is remembered that a document was removed."""
MAX_BATCH = 256
"""Events in one message of the shared log."""


class Action(StrEnum):
    """What an event does to its target."""

    REVOKE = "revoke"
    RESTORE = "restore"


class _Event(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="event", omit_defaults=True, gc=False
):
    """``origin`` is the incarnation of the node that made it: 16 hex digits, new at each start."""

    origin: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    seq: Annotated[int, Meta(ge=1, lt=2**53)]

    @property
    def id(self) -> str:
        """The event's public name."""
        return f"{self.origin}-{self.seq}"


class Revocation(_Event, frozen=True, tag="revocation", kw_only=True):
    """A target is revoked, or restored. Times are seconds since the epoch.

    ``order`` is the hybrid logical clock's stamp (48 bits of ms, 16 of a counter): per target the highest one
    stands, and of two alike a revocation. ``effective_at`` 0 means at once, whatever a node's clock says.
    """

    order: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    action: Action
    type: TargetType
    value: Text
    issuer: Text = ""
    viewer: Text = ""
    limit: Annotated[int, Meta(ge=0, lt=2**53)] = 0
    reason: Text = ""
    detail: Text = ""
    actor: Text = ""
    created_at: float
    effective_at: float = 0.0
    expires_at: float
    sources: tuple[Text, ...] = ()

    @property
    def target(self) -> Target:
        """What the event is about."""
        return Target(self.type, self.value, self.issuer, self.viewer, self.limit)


class SaltDrawn(_Event, frozen=True, tag="salt-drawn", kw_only=True):
    """The random salt of one crypto period of a stream; drawn once, before anything uses it."""

    stream: Text
    period: int
    salt: Annotated[bytes, Meta(min_length=1, max_length=64)]


class DocumentPut(_Event, frozen=True, tag="document", kw_only=True):
    """A document of a kind has this text now, or is gone where ``body`` is empty.

    ``order`` is as for revocations: of one document the highest stands, and of two alike the greater text. Times are
    seconds since the epoch; ``expires_at`` 0 is never.
    """

    order: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    kind: Annotated[str, Meta(max_length=32)]
    name: Annotated[str, Meta(max_length=256)]
    body: Annotated[bytes, Meta(max_length=MAX_DOCUMENT_BYTES)]
    actor: Text = ""
    created_at: float
    expires_at: float = 0.0

    @property
    def gone_at(self) -> float:
        """From when on nothing need be known of this any more; 0: never.

        What was removed is kept in mind for a while, lest something older that comes late brings it back.
        """
        return self.expires_at if self.body else self.created_at + REMEMBERED_S


Event = Revocation | SaltDrawn | DocumentPut

_encoder = msgspec.msgpack.Encoder()
_one: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
_many: msgspec.msgpack.Decoder[list[Event]] = msgspec.msgpack.Decoder(list[Event])


def encode_event(event: Event) -> bytes:
    """An event as the journal keeps it."""
    return _encoder.encode(event)


def decode_event(data: bytes) -> Event:
    """The event in a journal row. Raises ValueError."""
    return _one.decode(data)


def encode_batch(events: Sequence[Event]) -> bytes:
    """Up to :data:`MAX_BATCH` events as one message of the shared log."""
    return _encoder.encode(events)


def decode_batch(data: bytes) -> list[Event]:
    """The events of a message. Raises ValueError for anything else or too much."""
    if len(data) > MAX_BATCH * MAX_EVENT_BYTES:
        raise ValueError("a message larger than any batch")
    return _many.decode(data)
