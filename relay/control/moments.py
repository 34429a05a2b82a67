"""Moments as callers write them: seconds since the epoch, or ISO 8601 with an offset. Pure."""

from datetime import datetime

from relay.api.revocations import MAX_AHEAD_S, Moment


def read_moment(value: Moment, now: float | None = None) -> float:
    """Seconds since the epoch. Raises ValueError for anything else, or one too far ahead of ``now``, if given."""
    if isinstance(value, str):
        try:
            written = datetime.fromisoformat(value)
            seconds = written.timestamp() if written.tzinfo else None
        except (ValueError, OverflowError):
            raise ValueError("not a time: write 2027-01-31T20:15:00Z, or seconds since the epoch") from None
        if seconds is None:
            raise ValueError("has no offset from UTC, such as Z")
        value = seconds
    if not 0 <= value < 2**53:
        raise ValueError("not seconds since the epoch")
    if now is not None and value > now + MAX_AHEAD_S:
        raise ValueError("more than ten years ahead; is it in milliseconds?")
    return value
