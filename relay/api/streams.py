"""Bodies and answers of ``/api/v1/streams`` and ``/api/v1/drm/groups``."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from keys.model import Scheme, TrackType
from keys.periods import Clock
from policies.text import GroupText
from relay.api.plans import Changed, Instant, KeyRotation, TermsTexts
from relay.model import Signalling, System
from relay.units import Name

Count = Annotated[int, Meta(ge=0)]


class GroupBody(GroupText, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group as it is to be; ``name``, where it is given, is that of the address."""

    name: Name | None = None


class GroupState(GroupText, frozen=True, kw_only=True, omit_defaults=False):
    """A group, and the streams that are in it."""

    name: str
    streams: list[str]


class GroupChanged(Struct, frozen=True, kw_only=True):
    """What became of a change of a group, and of taking it over by the streams that are in it."""

    group: GroupState | None
    change: Changed


class GroupPage(Struct, frozen=True, kw_only=True):
    """Groups by name. ``next`` is where to go on; null: that was all."""

    groups: list[GroupState]
    next: str | None


class StreamGroup(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The group that a stream is to be in; null: none."""

    group: Name | None


class LicenceTerms(Struct, frozen=True, kw_only=True):
    """What licences allow that are issued now. Times in seconds; 0: not limited so, never renewed."""

    persistent: bool
    duration_s: float
    start_within_s: float
    play_for_s: float
    renew_every_s: float
    terms: TermsTexts


class SeenTimeline(Struct, frozen=True, kw_only=True):
    """What the latest manifest on a clock showed: where it begins, and its live edge, or its end if it has ended."""

    first: Instant
    edge: Instant
    ended: bool


class StreamScenes(Struct, frozen=True, kw_only=True):
    """Scenes in short: what names them, and how many were ordered."""

    version: str
    ordered: Count


class StreamState(Struct, frozen=True, kw_only=True):
    """A stream as it is configured and as its policy is now.

    ``manifests`` are ``hls`` and ``dash``, ``tracks`` those seen so far, ``sessions`` how many are live on this node,
    ``epoch`` is how many times all keys were replaced.
    """

    id: str
    origin: str
    also: list[str]
    manifests: dict[str, str]
    tracks: list[TrackType]
    scheme: Scheme
    schemes: list[Scheme]
    signalling: Signalling
    systems: list[System]
    group: str | None
    key_rotation: KeyRotation
    epoch: Count
    scenes: StreamScenes
    licence: LicenceTerms
    stale: Literal["closed", "grace", "open"]
    timeline: dict[Clock, SeenTimeline]
    sessions: Count


class StreamPage(Struct, frozen=True, kw_only=True):
    """Streams by name. ``next`` is where to go on; null: that was all."""

    streams: list[StreamState]
    next: str | None


class StreamGroupChanged(Struct, frozen=True, kw_only=True):
    """A stream after it joined or left a group. What was published before ``takes_effect_at`` stays as it was."""

    stream: StreamState
    takes_effect_at: dict[Clock, Instant]
    change: Changed
