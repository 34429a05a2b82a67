"""Answers that tell how a node is."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from relay.gate.targets import TargetType

Count = Annotated[int, Meta(ge=0)]


class Health(Struct, frozen=True):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether a node may be sent viewers, and how old what it knows is, in seconds; null: it has heard nothing yet."""

    status: Literal["ready", "stale", "starting"]
    log_age_s: float | None


class Limits(Struct, frozen=True, kw_only=True):
    """How much one call may ask."""

    items: Count
    body_bytes: Count
    timeout_ms: Count


class Member(Struct, frozen=True, kw_only=True):
    """Another node as this one sees it."""

    node: str
    live: bool
    seen_s: float
    lag_events: Count


class NodeStatus(Struct, frozen=True, kw_only=True):
    """What is revoked, and how far this node and the others are. ``log_age_s`` is as in :class:`Readiness`."""

    node: str
    incarnation: str
    ready: bool
    log_age_s: float | None
    revocations: Count
    by_type: dict[TargetType, int]
    restored: Count
    open_responses: Count
    limits: Limits
    nodes: list[Member]
