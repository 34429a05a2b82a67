"""Bodies and answers of ``/api/v1/blocks``."""

from typing import Annotated

from msgspec import Meta, Struct

from relay.api.revocations import MAX_AHEAD_S
from relay.state.events import Text


class BlockBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``duration_s``: how long; without it, ten years or until it is unblocked."""

    reason: Text = ""
    duration_s: Annotated[float, Meta(gt=0, le=MAX_AHEAD_S)] = MAX_AHEAD_S


class Block(Struct, frozen=True, kw_only=True):
    """Whether a user or device is blocked; times in seconds since the epoch."""

    id: str
    blocked: bool
    reason: str
    since: float
    until: float
    actor: str
