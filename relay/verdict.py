"""Why the gate says no. A refusal is an ordinary value: it has a reason, is counted and shown to operators."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Reasons of refusal. Values are public, sent in a header, and never reused."""

    TOKEN_MISSING = "token_missing"
    TOKEN_MALFORMED = "token_malformed"
    TOKEN_CONFLICT = "token_conflict"
    KEY_UNKNOWN = "key_unknown"
    TOKEN_SIGNATURE = "token_signature"
    TOKEN_UNSUPPORTED = "token_unsupported"
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_AUDIENCE = "token_audience"
    REVOKED = "revoked"
    SCOPE_STREAM = "scope_stream"
    SCOPE_TRACK = "scope_track"
    SCOPE_URL = "scope_url"
    SCOPE_KEY = "scope_key"
    STREAM_UNKNOWN = "stream_unknown"
    KEY_PENDING = "key_pending"


@dataclass(frozen=True, slots=True)
class Deny:
    """A refusal. ``detail`` is for the operator and the client's developer; it never holds token bytes."""

    reason: Reason
    detail: str = ""
