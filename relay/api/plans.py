"""Bodies and answers of ``/api/v1/drm/protection-policy`` and ``/api/v1/drm/key-rotation``.

Times of a stream are on its own clocks: ``wall`` where the origin dates its segments, ``sequence`` where a live origin
only numbers them, ``media`` for titles that were finished from the start.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from keys.model import TrackType
from keys.periods import Clock
from policies.text import MAX_SCENES, SceneText, TermsText
from relay.api.revocations import Moment, NodeOutcome
from relay.state.events import Text
from relay.units import Name

DEFAULT_INTERVAL_MINUTES = 10.0
Count = Annotated[int, Meta(ge=0)]
StreamTime = Annotated[int, Meta(ge=0)]
TermsTexts = dict[TrackType, TermsText | None]


class PolicyBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Scenes, in times of the event. They replace those that are not over; none: the stream's own terms hold again.

    ``starts_at`` is when the event begins (seconds since the epoch, or ISO 8601 with an offset); without it, where
    the change takes effect, and for a finished title its beginning.
    """

    scenes: Annotated[tuple[SceneText, ...], Meta(max_length=MAX_SCENES)]
    stream_id: Name | None = None
    starts_at: Moment | None = None


class Instant(Struct, frozen=True, kw_only=True):
    """A place in a stream: ms of stream time, and when that is, in seconds since the epoch; null: at no time."""

    time: StreamTime
    at: float | None


class PlacedScene(Struct, frozen=True, kw_only=True):
    """A scene where it lies; ``end`` null is the end of the stream, null terms of a track: nobody gets it."""

    label: str
    start: Instant
    end: Instant | None
    terms: TermsTexts


class PlacedPolicy(Struct, frozen=True, kw_only=True):
    """The policy on one of the stream's clocks.

    What lies before ``takes_effect_at`` had been published when it was ordered, and stays as it was; null: nothing was
    ever ordered. ``edge`` is the live edge, or the stream's end; null while it is not known.
    """

    takes_effect_at: Instant | None
    edge: Instant | None
    scenes: list[PlacedScene]


class Changed(Struct, frozen=True, kw_only=True):
    """What became of a change: ``complete``, all nodes asked for have reported."""

    complete: bool
    nodes: list[NodeOutcome]


class Policy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Scenes as they were ordered, and where they lie. ``own_terms`` hold outside of them. ``version`` names the order.

    ``change`` is there in the answer to one.
    """

    stream_id: str
    version: str
    scenes: list[SceneText]
    own_terms: TermsTexts
    clocks: dict[Clock, PlacedPolicy]
    change: Changed | UnsetType = UNSET


class Period(Struct, frozen=True, kw_only=True):
    """A crypto period: the span of stream time under one content key per track type."""

    start: Instant
    end: Instant | None


class Boundary(Struct, frozen=True, kw_only=True):
    """Where another crypto period begins, and what holds from there on; ``scene`` null: outside of all scenes."""

    start: Instant
    scene: str | None
    generation: Count
    terms: TermsTexts


class Moments(Struct, frozen=True, kw_only=True):
    """What holds at a time of the stream, and the boundaries to come.

    ``generation`` is that of the keys, ``epoch`` how many times all of them had been replaced. ``published``: keys of
    this period may be out.
    """

    stream_id: str
    clock: Clock
    moment: Instant
    scene: str | None
    terms: TermsTexts
    period: Period
    generation: Count
    epoch: Count
    published: bool
    boundaries: list[Boundary]


class KeyRotation(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How keys rotate. ``on_compromise`` says whether an emergency rotation may replace them at once.

    The algorithm must be one that the stream is offered with: counter mode as ``cenc``, block chaining as ``cbcs``.
    """

    enabled: bool
    interval_minutes: Annotated[float, Meta(gt=0, le=527_040)] = DEFAULT_INTERVAL_MINUTES
    pre_delivery_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 30
    on_compromise: Literal["immediate_rotate", "none"] = "immediate_rotate"
    algorithm: Literal["AES-128-CTR", "AES-128-CBC"] = "AES-128-CTR"
    key_derivation: Literal["HKDF-SHA256"] = "HKDF-SHA256"


class RotationBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the keys of a stream rotate from now on."""

    stream_id: Name
    key_rotation: KeyRotation


class PlacedRotation(Struct, frozen=True, kw_only=True):
    """Where rotation stands on one of the stream's clocks.

    ``next_rotation`` is where the period ends, ``next_keys_at`` from when on sessions are told the keys of the next;
    null: never. ``next_keys_out``: they are by now. ``takes_effect_at`` is where the last change did.
    """

    edge: Instant
    period: Period
    generation: Count
    epoch: Count
    next_rotation: Instant | None
    next_keys_at: Instant | None
    next_keys_out: bool
    takes_effect_at: Instant | None


class Rotation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the keys of a stream rotate, and where that stands.

    ``epoch`` is how many times all of them were replaced, ``sessions`` how many are live on this node.
    ``version`` names the last change, and ``change`` is there in the answer to one.
    """

    stream_id: str
    version: str
    key_rotation: KeyRotation
    epoch: Count
    sessions: Count
    clocks: dict[Clock, PlacedRotation]
    change: Changed | UnsetType = UNSET


class EmergencyBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All keys of a stream are replaced, at once. ``spread_seconds``: over how long its sessions are told."""

    stream_id: Name
    reason: Text = ""
    spread_seconds: Annotated[float, Meta(ge=0, le=60)] | None = None


class NewKeys(Struct, frozen=True, kw_only=True):
    """From where on there are new keys, and their generation."""

    start: Instant
    generation: Count


class Emergency(Struct, frozen=True, kw_only=True):
    """What an emergency rotation did. ``sessions`` are those on this node that are being told."""

    stream_id: str
    version: str
    epoch: Count
    clocks: dict[Clock, NewKeys]
    spread_seconds: float
    sessions: Count
    change: Changed
