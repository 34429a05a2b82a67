"""The control events: every change of what the relay knows is one of these.

Each is a frozen value with a permanent name; the journal keeps them as JSON, so a field may be added
with a default but never renamed or given another meaning.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from relay.gate.revocation import TargetType

Text = Annotated[str, Meta(min_length=1, max_length=512)]


class Revoked(Struct, frozen=True, tag="revoked", forbid_unknown_fields=True, kw_only=True):
    """A target is stopped from ``at`` until ``expires_at`` (seconds since the epoch)."""

    id: Text
    target: TargetType
    value: Text
    issuer: str = ""
    reason: str = ""
    actor: str = ""
    at: float
    expires_at: float


class SaltDrawn(Struct, frozen=True, tag="salt-drawn", forbid_unknown_fields=True, kw_only=True):
    """The random salt of one crypto period of a stream; drawn once, before anything uses it."""

    stream: Text
    period: int
    salt: bytes


Event = Revoked | SaltDrawn

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """An event as its journal line."""
    return msgspec.json.encode(event)


def decode_event(line: bytes) -> Event:
    """The event in a journal line. Raises ValueError."""
    return _decoder.decode(line)
