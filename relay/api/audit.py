"""Answers of ``/api/v1/audit``."""

import msgspec
from msgspec import Struct


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Who did what, when (seconds since the epoch), to what effect."""

    position: int
    at: float
    who: str
    what: str
    effect: msgspec.Raw


class AuditPage(Struct, frozen=True, kw_only=True):
    """Entries, oldest first. ``next`` is where to go on, now or when there is more."""

    entries: list[AuditEntry]
    next: str
