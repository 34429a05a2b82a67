"""What an API call may get wrong, beyond a request that makes no sense."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from relay.errors import RelayError, RequestError

MAX_FLAWS = 20
"""Flaws told of one body: enough to see what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing wrong with a body; ``pointer`` says where (RFC 6901)."""

    pointer: str
    detail: str


class BodyError(RequestError):
    """A body that is not as the API wants it: 400, with every flaw that was found."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        first = flaws[0]
        super().__init__(f"body{first.pointer and ' ' + first.pointer}: {first.detail}")
        self.flaws = tuple(flaws)

    @property
    def members(self) -> Mapping[str, object]:
        """The flaws, by JSON Pointer."""
        return {"errors": [{"pointer": flaw.pointer, "detail": flaw.detail} for flaw in self.flaws[:MAX_FLAWS]]}


class _ApiError(RelayError):
    public: ClassVar[bool] = True


class ApiKeyError(_ApiError):
    """No API key was sent, or one that is not known: 401."""

    status = 401
    code = "api_key"


class RoleError(_ApiError):
    """The role of the API key may not do this: 403."""

    status = 403
    code = "role"


class NotFoundError(_ApiError):
    """There is no such thing: 404."""

    status = 404
    code = "not_found"


class ConflictError(_ApiError):
    """What is asked for contradicts what is there: 409."""

    status = 409
    code = "conflict"


class IdempotencyConflictError(_ApiError):
    """The idempotency key was used before, for another request: 409."""

    status = 409
    code = "idempotency_conflict"


class PreconditionFailedError(_ApiError):
    """What is there is not what ``If-Match`` or ``If-None-Match`` expects: 412, and nothing was changed."""

    status = 412
    code = "precondition_failed"


class BodyTooLargeError(_ApiError):
    """More bytes or more items than one call may hold: 413."""

    status = 413
    code = "request_too_large"


class MediaTypeError(_ApiError):
    """A body of a kind that is not read here: 415."""

    status = 415
    code = "media_type"


class TimelineUnknownError(_ApiError):
    """Nothing is known of where the stream stands, and its origin cannot be asked: 503, and right to repeat."""

    status = 503
    code = "timeline_unknown"


class BusyError(_ApiError):
    """As much of this is going on as may be: 429, and right to repeat after ``retry_after_s``."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s

    @property
    def members(self) -> Mapping[str, object]:
        """When to repeat."""
        return {"retry_after_ms": round(self.retry_after_s * 1000)}
