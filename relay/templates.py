"""From a DASH template and the value a player filled in to the one segment they name.

The source of a template holds a placeholder where the value goes: ``(number)`` or ``(time)``, or one padded
with zeros such as ``(number:05)``, which no path of the origin may hold by itself.
"""

import re
from collections.abc import Callable

from keys.periods import Clock, Schedule
from relay.errors import UrlError
from relay.sources import Source
from relay.urls import ClearRef, SegmentRef, SlotRef, TemplateRef

_PLACEHOLDER = re.compile(r"\((?:number|time)(?::0(\d{1,2}))?\)")


def placeholder(name: str, width: int | None) -> str:
    """What stands for a value, ``number`` or ``time``, that is padded to ``width`` digits if that is given."""
    return f"({name})" if width is None else f"({name}:0{width})"


def count_placeholders(text: str) -> int:
    """How many placeholders a path or query holds; more than were written means that the origin's own text does."""
    return len(_PLACEHOLDER.findall(text))


def resolve_template(
    ref: TemplateRef, value: int, schedule_of: Callable[[Clock], Schedule], generation_at: Callable[[int | None], int]
) -> SegmentRef | ClearRef:
    """The segment of a template's value, in the crypto period the manifest gave it.

    Raises :class:`UrlError` for a value that the manifest did not list for this URL, so that a viewer
    who changes it never gets a segment under another period's key.
    """
    source = Source(_fill(ref.source.path, value), _fill(ref.source.query, value), ref.source.base)
    if ref.track is None:
        return ClearRef(source)
    slot = _slot(ref, value, schedule_of, generation_at)
    return SegmentRef(source, slot, init=ref.init, init_range=ref.init_range)


def _fill(text: str, value: int) -> str:
    return _PLACEHOLDER.sub(lambda match: f"{value:0{match[1] or 1}d}", text)


def _slot(
    ref: TemplateRef, value: int, schedule_of: Callable[[Clock], Schedule], generation_at: Callable[[int | None], int]
) -> SlotRef:
    assert ref.track is not None
    computed = None
    if ref.clock:
        computed = schedule_of(ref.clock.clock).period_of(ref.clock.start_of(value)).start
        if not ref.spans:
            return SlotRef(ref.track, generation_at(computed), computed)
    for span in ref.spans:
        if value < span.first or (span.last is not None and value > span.last):
            continue
        # Where the clock counts, the span was written ahead of its segments: a change since may have begun another
        # period within it, or all keys anew. Its first value may straddle the period's start.
        if computed is not None and (
            (computed != span.period and value != span.first) or span.generation != generation_at(span.period)
        ):
            break
        return SlotRef(ref.track, span.generation, span.period)
    raise UrlError("the manifest lists no such segment in this crypto period")
