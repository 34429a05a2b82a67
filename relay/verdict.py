"""Why the gate says no. A refusal is an ordinary value: it has a reason, is counted and shown to operators."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    STATE_STALE = "state_stale"
    NOT_ENTITLED = "not_entitled"
    PROOF_MISSING = "proof_missing"
    PROOF_INVALID = "proof_invalid"
    PROOF_NONCE = "proof_nonce"
    REPLAYED = "replayed"
    CONCURRENCY_LIMIT = "concurrency_limit"
    GEO_BLOCKED = "geo_blocked"
    SCOPE_METHOD = "scope_method"
    SCOPE_PATH = "scope_path"
    SCOPE_HOST = "scope_host"
    SCOPE_HEADER = "scope_header"
    SCOPE_NETWORK = "scope_network"
    SCOPE_CONNECTION = "scope_connection"
    SCOPE_STREAM = "scope_stream"
    SCOPE_TRACK = "scope_track"
    SCOPE_URL = "scope_url"
    SCOPE_KEY = "scope_key"
    WATERMARK_TOKEN = "watermark_token"
    STREAM_UNKNOWN = "stream_unknown"
    KEY_PENDING = "key_pending"
    SYSTEM_UNSUPPORTED = "system_unsupported"
    SECURITY_LEVEL = "security_level"
    OUTPUT_PROTECTION = "output_protection"
    DEVICE_REFUSED = "device_refused"
    DEVICE_REVOKED = "device_revoked"
    DEVICE_UNFIT = "device_unfit"
    LICENCE_REFUSED = "licence_refused"
    LICENCE_PERSISTENCE = "licence_persistence"
    LICENCE_EXPIRED = "licence_expired"


Answer = tuple[int, Mapping[str, str]]
"""A status and headers."""


@dataclass(frozen=True, slots=True)
class Deny:
    """A refusal. ``detail`` is for the operator and the client's developer; it never holds token bytes.

    ``answer`` is what the token wants answered instead of the relay's own status (CTA-5007, claim catif).
    ``nonce`` is what the next proof of possession must hold (RFC 9449 §9).
    """

    reason: Reason
    detail: str = ""
    answer: Answer | None = field(default=None, compare=False)
    nonce: str = field(default="", compare=False)
