"""Answers of ``/api/v1/webhooks``. Times are seconds since the epoch."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
HookName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]


class WebhookState(Struct, frozen=True, kw_only=True):
    """How one webhook is on the node that was asked.

    ``host`` is all that is told of its URL. ``failures`` are those in a row. ``behind`` is how many events of the
    journal it has yet to come by, also of those that it is not told of; ``lag_s`` for how long the next one is owed.
    A ``disabled`` one is called no more until a test of it succeeds or the relay starts again.
    """

    name: str
    host: str
    events: list[str]
    streams: list[str]
    state: Literal["active", "failing", "disabled"]
    failures: Count
    behind: Count
    lag_s: float
    last_success: float | None
    last_failure: float | None
    last_error: str | None


class WebhookList(Struct, frozen=True, kw_only=True):
    """All webhooks."""

    webhooks: list[WebhookState]


class WebhookTest(Struct, frozen=True, kw_only=True):
    """What became of a test event. ``status`` is what the receiver answered, null if it did not."""

    id: str
    delivered: bool
    status: int | None
    error: str | None
    duration_ms: float
