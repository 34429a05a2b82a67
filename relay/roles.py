"""Who an API key may be for. What each may do stands in the rows of the API, :mod:`relay.operation`."""

from enum import StrEnum


class Role(StrEnum):
    """Roles of API keys. Values are public: configurations name them."""

    ADMIN = "admin"
    """Everything."""
    PLATFORM = "platform"
    """The customer's own systems: sessions, purchases, revocations, policies, streams."""
    WATERMARK_VENDOR = "watermark-vendor"
    """Whoever finds leaked copies: analyses them, revokes by watermark, reads nothing about viewers."""
    READ_ONLY = "read-only"
    """Dashboards: reads all but what holds keys."""


Roles = frozenset[Role]
EVERYONE: Roles = frozenset()
"""No key is asked for."""
ADMINS: Roles = frozenset({Role.ADMIN})
AUDITORS: Roles = ADMINS | {Role.READ_ONLY}
OPERATORS: Roles = ADMINS | {Role.PLATFORM}
READERS: Roles = OPERATORS | {Role.READ_ONLY}
ANALYSTS: Roles = ADMINS | {Role.WATERMARK_VENDOR}
REVOKERS: Roles = OPERATORS | {Role.WATERMARK_VENDOR}
