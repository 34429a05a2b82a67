"""What of the events of a node its webhooks are told, and in which words. Pure."""

from dataclasses import dataclass
from typing import Any

from policies.model import Change, Rekeying, RotationChange, ScenesChange
from policies.text import read_change
from relay.api.revocations import record_of
from relay.codes import CODES
from relay.plans import KIND as PLAN
from relay.sessions.records import Refused
from relay.state.events import Action, DocumentPut, Event, Revocation
from relay.webhooks.message import CloudEvent
from relay.webhooks.settings import EventType

_OF_PURCHASES = {"purchase": EventType.PURCHASE_RECORDED, "return": EventType.PURCHASE_RETURNED}
"""By kind of document."""
_OUR_OWN = ("probe", "widened")
"""Reasons of revocations that nobody ordered."""
_ENDED = ("concurrency_limit", "ended")
"""Reasons of revocations of a session that are the end of one playback and nothing more."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event as webhooks hear of it. ``stream`` is the one that it concerns; empty: none in particular."""

    event: CloudEvent
    type: EventType
    stream: str
    at: float


def told_of(event: Event, source: str) -> Told | None:
    """What there is to tell of an event of the journal, if anything."""
    match event:
        case Revocation():
            return _of_revocation(event, source)
        case DocumentPut() if event.kind == PLAN:
            return _of_plan(event, source)
        case DocumentPut() if event.body and event.kind in _OF_PURCHASES:
            data = {"name": event.name, "actor": event.actor}
            subject = f"purchase/{event.name}"
            return _told(event.id, _OF_PURCHASES[event.kind], source, event.created_at, data, subject=subject)
    return None


def told_of_refusal(refused: Refused, number: int, source: str, origin: str) -> Told:
    """What there is to tell of a licence that was refused, the ``number``-th of a node's incarnation."""
    session, reason = refused.session, refused.reason
    data = {
        "session_id": session.sid,
        "account_id": session.account,
        "device_id": session.device,
        "stream_id": refused.stream,
        "reason": reason,
        "number": CODES[reason].number,
    }
    name = f"{origin}-denied-{number}"
    return _told(name, EventType.LICENCE_DENIED, source, refused.at, data, refused.stream, f"session/{session.sid}")


def _of_revocation(event: Revocation, source: str) -> Told | None:
    if event.reason in _OUR_OWN:
        return None
    kind = EventType.REVOCATION_CREATED
    if event.action is Action.RESTORE:
        kind = EventType.REVOCATION_RESTORED
    elif event.type == "session" and event.reason in _ENDED:
        kind = EventType.SESSION_ENDED
    stream = event.value if event.type == "stream" else ""
    subject = f"{event.type}/{event.value}"
    return _told(event.id, kind, source, event.created_at, record_of(event), stream, subject)


def _of_plan(event: DocumentPut, source: str) -> Told:
    stream, _, name = event.name.partition("/")
    data: dict[str, Any] = {"stream_id": stream, "change_id": name, "actor": event.actor, "removed": not event.body}
    try:
        change = read_change(name, event.order, event.body) if event.body else None
    except ValueError:
        # Written by a newer version of the relay, perhaps: that it was is told.
        change = None
    kind, said = _said(change)
    return _told(event.id, kind, source, event.created_at, data | said, stream, f"stream/{stream}")


def _said(change: Change | None) -> tuple[EventType, dict[str, Any]]:
    match change:
        case Rekeying():
            return EventType.ROTATION_EMERGENCY, {"epoch": change.epoch, "spread_s": change.spread_ms / 1000}
        case RotationChange():
            said = {"interval_s": change.interval_ms / 1000, "pre_delivery_s": change.pre_delivery_ms / 1000}
            return EventType.ROTATION_CHANGED, said
        case ScenesChange():
            return EventType.POLICY_CHANGED, {"scenes": [scene.label for scene in change.scenes]}
    return EventType.POLICY_CHANGED, {}


def _told(name: str, kind: EventType, source: str, at: float, data: Any, stream: str = "", subject: str = "") -> Told:
    return Told(CloudEvent.of(kind, name, source, at, data, subject), kind, stream, at)
