"""Streams that join and leave DRM groups: the changes of their plans that this comes to. Pure."""

from dataclasses import replace

from keys.periods import RotationPolicy
from policies.model import RotationChange
from policies.text import GroupText, write_group, write_rotation
from relay.config import MAX_WINDOW_PERIODS
from relay.control.errors import ConflictError
from relay.control.planning import Standing
from relay.streams import Stream


def joining(stream: Stream, standing: Standing, name: str | None, text: GroupText | None) -> list[bytes]:
    """The changes by which a stream joins the group ``text`` or, with None, leaves the one that it is in.

    Raises :class:`ConflictError` where the stream cannot rotate as the group does.
    """
    bodies = [write_group(standing.since, name or "", text)]
    policy = rotation_in(stream, name, text)
    if policy != stream.rotation:
        last = stream.plan.latest(RotationChange)
        bodies.append(
            write_rotation(
                standing.since,
                policy.interval_ms,
                policy.pre_delivery_ms,
                last.rekeys if last else True,
                last.scheme if last else None,
            )
        )
    return bodies


def rotation_in(stream: Stream, name: str | None, text: GroupText | None) -> RotationPolicy:
    """How a stream rotates in a group: as that says or, where it says nothing, as without any group."""
    left = stream.plan.group
    policy = stream.plan.rotation if left and left.interval_ms is not None else stream.rotation
    if text is None or text.rotation_minutes is None:
        return policy
    interval_ms = text.group("").interval_ms or 0
    if interval_ms and stream.config.window / interval_ms > MAX_WINDOW_PERIODS:
        raise ConflictError(
            f"in group {name} the window of {stream.name} would hold more than {MAX_WINDOW_PERIODS} keys"
        )
    try:
        return replace(policy, interval_ms=interval_ms)
    except ValueError:
        lead = policy.pre_delivery_ms / 1000
        raise ConflictError(
            f"{stream.name} tells keys {lead:g} s ahead, which is not shorter than the rotation of group {name}"
        ) from None
