"""Streams' policies as documents that all nodes know: each change of a stream is one."""

from collections.abc import Container, Iterable

import structlog

from policies.model import Change, UnreadableChange
from policies.text import read_change
from relay.state.documents import Documents
from relay.state.events import DocumentPut, Event

KIND = "plan"
_log = structlog.get_logger()


def name_of(stream: str, change: str) -> str:
    """The document's name of a stream's change."""
    return f"{stream}/{change}"


def changes_by_stream(
    documents: Documents, now: float, streams: Container[str] | None = None
) -> dict[str, tuple[Change, ...]]:
    """All changes of policy that still matter, in order, by stream; only those of ``streams``, if given.

    A stream with one that cannot be read is not served: a scene that nobody here knows of may be a strict one.

    To read all of a large deployment's takes a second.
    """
    found: dict[str, list[Change]] = {}
    for name, document in documents.of(KIND, now):
        stream, _, change = name.partition("/")
        if streams is not None and stream not in streams:
            continue
        try:
            read = read_change(change, document.order, document.body)
        except ValueError as err:
            _log.error("plan_unreadable", stream=stream, change=change, error=str(err))
            read = UnreadableChange(change, document.order, {})
        found.setdefault(stream, []).append(read)
    return {name: tuple(sorted(changes, key=_place)) for name, changes in found.items()}


def streams_in(events: Iterable[Event]) -> set[str]:
    """The streams whose policy events have changed."""
    return {event.name.partition("/")[0] for event in events if isinstance(event, DocumentPut) and event.kind == KIND}


def _place(change: Change) -> tuple[int, str]:
    return change.order, change.id
