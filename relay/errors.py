"""Every failure the relay raises on purpose, each with its HTTP status and stable reason code.

Refusing a viewer is a value, :class:`relay.verdict.Deny`; only where a refusal is found too deep for that
is it a :class:`RefusedError`. Any other exception says that something broke, and whose fault it was. The
text of an exception is for the operator's log; clients see the code and, where ``public`` is true, the text.
"""

from collections.abc import Mapping
from typing import ClassVar

from relay.verdict import Reason


class RelayError(Exception):
    """Base of all; 500 unless a subclass says otherwise."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    public: ClassVar[bool] = False

    @property
    def members(self) -> Mapping[str, object]:
        """Further members of the problem document that tells of it (RFC 9457 §3.2)."""
        return {}


class ConfigError(RelayError):
    """The configuration is unusable; names the file, the key path and the remedy."""

    code = "config_invalid"


class RequestError(RelayError):
    """The client's request makes no sense: 400."""

    status = 400
    code = "request_invalid"
    public = True


class ProtocolVersionError(RequestError):
    """The player speaks a version of its protocol that is not spoken here."""

    code = "protocol_version"


class JournalError(RelayError):
    """The journal could not be written, so nothing that needs it may be promised."""

    status = 503
    code = "state_unwritable"


class RefusedError(RelayError):
    """A refusal found deep inside, where no value can be returned: the exception that carries a reason.

    :mod:`relay.problems` answers and counts it like any other :class:`relay.verdict.Deny`.
    """

    reason: ClassVar[Reason]


class UrlError(RefusedError):
    """A session URL that this relay never minted, or that was edited since."""

    reason = Reason.SCOPE_URL


class UnknownStreamError(RefusedError):
    """No such stream, or no such manifest of it, is configured."""

    reason = Reason.STREAM_UNKNOWN


class TrackWithheldError(RefusedError):
    """All there is lies above the best track type the viewer may have."""

    reason = Reason.SCOPE_TRACK


class ContentKeyUnknownError(RefusedError):
    """None of the key IDs asked for belongs to what the session may have."""

    reason = Reason.SCOPE_KEY


class KeyPendingError(RefusedError):
    """The key is not released yet; asking again soon is right."""

    reason = Reason.KEY_PENDING


class OriginError(RelayError):
    """The origin failed us: 502. Never cached."""

    status = 502
    code = "origin_error"

    @property
    def transient(self) -> bool:
        """Whether asking the origin once more at once is worth it."""
        return False


class OriginConnectionError(OriginError):
    """The connection to the origin could not be made, or broke.

    Not worth asking again: the HTTP client has done so, for a keep-alive one may be closed as it is used.
    """

    code = "origin_unreachable"


class OriginStatusError(OriginError):
    """The origin answered with a status that is no success.

    Its 404 and 410 are passed on as 404: the resource has left the window or never was, and a player
    must not take that for a fault worth retrying.
    """

    code = "origin_status"

    def __init__(self, message: str, origin_status: int) -> None:
        super().__init__(message)
        self.origin_status = origin_status

    @property
    def transient(self) -> bool:
        """Server errors are, client errors are not."""
        return self.origin_status in (500, 502, 503, 504)


class OriginMissingError(OriginStatusError):
    """The origin has no such resource: 404."""

    status = 404
    code = "origin_missing"


class OriginTimeoutError(OriginError):
    """The origin took too long: 504."""

    status = 504
    code = "origin_timeout"


class OriginTooLargeError(OriginError):
    """The origin sent more than the limit for this kind of resource."""

    code = "origin_too_large"


class OriginForeignError(OriginError):
    """A manifest or redirect points outside the configured origin."""

    code = "origin_foreign"


class ManifestError(OriginError):
    """The origin's manifest cannot be parsed or safely rewritten."""

    code = "origin_manifest"


class MediaError(OriginError):
    """The origin's media cannot be parsed: truncated, inconsistent or over a limit."""

    code = "origin_media"


class UnsupportedMediaError(MediaError):
    """Well-formed media that this relay does not know how to protect, and will not guess."""

    code = "origin_media_unsupported"


class AlreadyProtectedError(MediaError):
    """The origin's media or manifest is encrypted already; protecting it twice would make it unplayable."""

    code = "origin_already_protected"
