"""Streams' policies as documents that all nodes know: each change of a stream is one."""

from collections.abc import Iterable

import structlog

from policies.model import Change
from policies.text import read_change
from relay.state.documents import Documents
from relay.state.events import DocumentPut, Event

KIND = "plan"
_log = structlog.get_logger()


def name_of(stream: str, change: str) -> str:
    """The document's name of a stream's change."""
    return f"{stream}/{change}"


def changes_of(documents: Documents, stream: str, now: float) -> tuple[Change, ...]:
    """All changes of a stream's policy that still matter, in order."""
    return changes_by_stream(documents, now).get(stream, ())


def changes_by_stream(documents: Documents, now: float) -> dict[str, tuple[Change, ...]]:
    """The same of every stream."""
    found: dict[str, list[Change]] = {}
    for name, document in documents.of(KIND, now):
        stream, _, change = name.partition("/")
        try:
            found.setdefault(stream, []).append(read_change(change, document.order, document.body))
        except ValueError as err:
            # Written by a newer version of the relay, perhaps: the others still hold.
            _log.error("plan_unreadable", stream=stream, change=change, error=str(err))
    return {name: tuple(sorted(changes, key=_place)) for name, changes in found.items()}


def streams_in(events: Iterable[Event]) -> set[str]:
    """The streams whose policy events have changed."""
    return {event.name.partition("/")[0] for event in events if isinstance(event, DocumentPut) and event.kind == KIND}


def _place(change: Change) -> tuple[int, str]:
    return change.order, change.id
