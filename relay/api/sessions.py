"""Bodies and answers of ``/api/v1/sessions`` and of a licence's status. Times are seconds since the epoch."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from keys.model import Scheme, TrackType
from relay.gate.targets import TargetType
from relay.model import LimitCount, LimitMode, LimitScope, Signalling, System
from relay.state.events import Text
from relay.verdict import Reason

MAX_STREAMS = 32
"""Of one session that is issued; each adds its links to the answer."""
OwnId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
"""An id of a session that is to begin."""
SessionId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:~@=+-]{1,128}\Z")]
"""An id of a session, whoever began it."""
StreamName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Optional = Annotated[str, Meta(max_length=128)]
Level = Literal["L1", "L3"]
State = Literal["none", "active", "lapsed", "expired", "revoked"]
Count = Annotated[int, Meta(ge=0)]
Lifetime = Annotated[int, Meta(ge=1, le=2**31)]
Instant = Annotated[int, Meta(ge=0, lt=2**53)]


class SessionLimit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many concurrent streams the viewer may have, whatever the stream's own limit is."""

    streams: Annotated[int, Meta(ge=1, le=1000)]
    mode: LimitMode = LimitMode.DENY_NEW
    scope: LimitScope = LimitScope.ACCOUNT
    count: LimitCount = LimitCount.SESSIONS


class SessionBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A session to be issued: ``expires_in`` seconds long, or until ``expires_at``; without both, as long as any.

    ``issuer`` is the token issuer whose account it is, and may be left out where there is only one. ``version`` is what
    a revocation of session versions counts. ``max_track`` is the best track type that it may have. ``scheme``,
    ``signalling``, ``systems`` and ``level`` are what the player can do, where that is not the streams' usual.
    """

    account_id: Name
    stream_ids: Annotated[list[StreamName], Meta(min_length=1, max_length=MAX_STREAMS)]
    session_id: OwnId | None = None
    device_id: Optional = ""
    issuer: Text = ""
    expires_in: Lifetime | None = None
    expires_at: Instant | None = None
    max_track: TrackType = TrackType.UHD
    watermark_id: Optional = ""
    version: Instant = 0
    limit: SessionLimit | None = None
    scheme: Scheme | None = None
    signalling: Signalling | None = None
    systems: Annotated[list[System], Meta(max_length=8)] | None = None
    level: Level = "L1"


class RenewBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """For how long a session is to go on; without either, as long as any.

    The rest is as in the body that issues one: what the player can do.
    """

    expires_in: Lifetime | None = None
    expires_at: Instant | None = None
    issuer: Text = ""
    scheme: Scheme | None = None
    signalling: Signalling | None = None
    systems: Annotated[list[System], Meta(max_length=8)] | None = None
    level: Level = "L1"


class StreamLinks(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a session plays one stream. ``max_track`` is the best track type that its manifests list."""

    stream_id: str
    max_track: TrackType
    license_url: str
    events_url: str
    keys_url: str
    hls_url: str | UnsetType = UNSET
    dash_url: str | UnsetType = UNSET


class IssuedSession(Struct, frozen=True, kw_only=True):
    """A session and where it plays. The URLs are bearer proofs. They are ``absolute`` if `edge.public_url` is set."""

    session_id: str
    account_id: str
    issuer: str
    expires_at: int
    absolute: bool
    streams: list[StreamLinks]


class LiveSession(Struct, frozen=True, kw_only=True):
    """A session that asked a node for something in the last minute. ``network`` is where from: the /24 or /48."""

    session_id: str
    account_id: str
    issuer: str
    stream_id: str
    device_id: str
    watermark_id: str
    since: float
    last_seen: float
    expires_at: int
    network: str
    segments: Count
    node: str


class SessionPage(Struct, frozen=True, kw_only=True):
    """Sessions that are live on the node that was asked."""

    sessions: list[LiveSession]
    next: str | None


class RevokedBy(Struct, frozen=True, kw_only=True):
    """What stops a session. ``since`` is when that was ordered, null where no record tells.

    ``type`` is null where the issuer's own status list, named by ``value``, has withdrawn the token.
    """

    type: TargetType | None
    value: str
    reason: str
    since: float | None


class RotationState(Struct, frozen=True, kw_only=True):
    """Where the stream's keys are. ``period``, ``told_until`` and ``stream_now`` are ms of stream time.

    ``next_at`` is when the next key begins, null where none will. With its last licence the player was told every key
    up to ``told_until``; null: without end, or there was no licence.
    """

    enabled: bool
    interval_s: float
    stream_now: int
    period: int
    generation: int
    next_at: float | None
    told_until: int | None


class LicenceDenial(Struct, frozen=True, kw_only=True):
    """The last time that a licence was asked for in vain."""

    reason: Reason
    number: int
    at: float


class LicenceStatus(Struct, frozen=True, kw_only=True):
    """What is known of a session and of its last licence. What is not known, or is not there, is null.

    ``state``: ``revoked`` and ``expired`` are those of the session, ``active`` has a licence that holds, ``lapsed`` one
    that ended before the session, ``none`` has none. ``protection_level`` is the most that a key of the licence asks
    of devices, ``device_level`` what the device proved; null with Clear Key, which keeps no terms. ``live`` is null
    where nodes share no records and this one has not seen the session lately. ``complete`` is false where what other
    nodes know could not be asked.
    """

    session_id: str
    state: State
    account_id: str | None
    issuer: str | None
    stream_id: str | None
    device_id: str | None
    session_expires_at: int | None
    drm_type: str | None
    protection_level: Level | None
    device_level: Level | None
    tracks: list[TrackType]
    issued_at: float | None
    renewed_at: float | None
    expires_at: float | None
    renew_by: float | None
    device_hash: str | None
    device_model: str | None
    watermark_id: str | None
    key_rotation: RotationState | None
    scene: str | None
    scene_at_issue: str | None
    revoked: bool
    revoked_by: RevokedBy | None
    live: bool | None
    last_seen: float | None
    node: str | None
    last_denial: LicenceDenial | None
    complete: bool
