"""Bodies and answers of ``/api/v1/revocations`` and ``/api/v1/drm/revoke``. Times are seconds since the epoch."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from relay.gate.targets import TargetType
from relay.state.events import Action, Revocation, Text

MAX_AHEAD_S = 10 * 366 * 86_400
"""How far ahead a revocation may begin or end; the memory it takes is given back in the end."""
Id = Annotated[str, Meta(min_length=1, max_length=128)]
Limit = Annotated[int, Meta(ge=0, lt=2**53)]
Moment = float | str
Count = Annotated[int, Meta(ge=0)]


class Item(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One element of a body. Times are seconds since the epoch, or ISO 8601 with an offset.

    ``max_version`` and ``before`` are the limits of their types by a plain name.
    """

    type: TargetType
    value: Text = ""
    issuer: Text = ""
    viewer: Text = ""
    limit: Limit | None = None
    max_version: Limit | None = None
    before: Moment | None = None
    action: Action = Action.REVOKE
    reason: Text = ""
    detail: Text = ""
    effective_at: Moment | None = None
    expires_at: Moment | None = None
    duration_s: Annotated[float, Meta(gt=0, le=MAX_AHEAD_S)] | None = None


class RevokeBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Exactly one of the ids. ``issuer`` narrows an account or device to one token issuer; without it, at all."""

    session_id: Id | None = None
    account_id: Id | None = None
    device_id: Id | None = None
    watermark_id: Id | None = None
    issuer: Text = ""
    reason: Text = ""


class NamedTarget(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an order is about. ``limit`` is there for the types that have one."""

    type: TargetType
    value: str
    issuer: str = ""
    viewer: str = ""
    limit: Limit | UnsetType = UNSET


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order as it was recorded, by the node that took it; no ``effective_at`` means at once."""

    id: str
    node: str
    seq: int
    target: NamedTarget
    action: Action
    reason: str
    detail: str
    actor: str
    created_at: float
    expires_at: float
    sources: tuple[str, ...]
    effective_at: float = 0.0


def record_of(event: Revocation) -> Record:
    """A record as the API shows it."""
    limited = event.type in (TargetType.SESSION_VERSION, TargetType.ISSUED_BEFORE)
    return Record(
        id=event.id,
        node=event.origin,
        seq=event.seq,
        target=NamedTarget(
            type=event.type,
            value=event.value,
            issuer=event.issuer,
            viewer=event.viewer,
            limit=event.limit if limited else UNSET,
        ),
        action=event.action,
        reason=event.reason,
        detail=event.detail,
        actor=event.actor,
        created_at=event.created_at,
        expires_at=event.expires_at,
        sources=event.sources,
        effective_at=event.effective_at,
    )


class RecordPage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Records, newest first. ``revoked`` is said of one target: whether it is now."""

    revocations: list[Record]
    next: str | None
    revoked: bool | UnsetType = UNSET


class NodeOutcome(Struct, frozen=True, kw_only=True):
    """What is known of one node; ``applied_ms`` is from acceptance to its report."""

    node: str
    state: Literal["applied", "pending", "unreachable"]
    applied_ms: float | None
    sessions_cut: Count
    responses_cut: Count


class Done(Struct, frozen=True, kw_only=True):
    """What became of a call. ``id`` and ``seq`` are those of its last record; ``complete``: all asked for reported."""

    id: str
    seq: int
    accepted_at: float
    targets: Count
    complete: bool
    applied_ms: float
    sessions_cut: Count
    responses_cut: Count
    nodes: list[NodeOutcome]


class ShortDone(Struct, frozen=True, kw_only=True):
    """What became of an order in the short form."""

    id: str
    target: NamedTarget
    accepted_at: float
    expires_at: float
    sessions_cut: Count
    responses_cut: Count
    applied_ms: float
    nodes: list[NodeOutcome]


class Previewed(Struct, frozen=True, kw_only=True):
    """What an order would stop on the node that was asked."""

    node: str
    sessions: Count
    responses: Count
