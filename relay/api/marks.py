"""Bodies and answers of ``/api/v1/drm/watermark/mappings`` and ``…/detections``. Times are seconds since the epoch."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from relay.api.revocations import Done, Id, Moment, NodeOutcome
from relay.state.events import Text
from relay.watermark.detections.records import Decision, DetectionState

MAX_MAPPED = 256
MAX_FOR_S = 366 * 86_400
SessionId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]


class MappingBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A watermark id, of whatever vendor, is that of a session; remembered until ``expires_at``, 30 days by default."""

    watermark_id: Id
    session_id: SessionId
    expires_at: Moment | None = None


class Mapped(Struct, frozen=True, kw_only=True):
    """The sessions of a watermark id."""

    watermark_id: str
    session_ids: list[str]


class MappingsDone(Struct, frozen=True, kw_only=True):
    """How many mappings were made or taken back, and which nodes know."""

    mappings: int
    complete: bool
    nodes: list[NodeOutcome]


class DetectionBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A watermark id was found in a leaked copy. ``id`` names the detection: the same again gets the same answer.

    ``confidence`` is the detector's, from 0 to 1. ``evidence`` is for people: any JSON object of up to 4 KiB.
    """

    id: Id
    watermark_id: Id
    confidence: Annotated[float, Meta(ge=0, le=1)]
    asset: Annotated[str, Meta(max_length=128)] = ""
    detected_at: Moment | None = None
    reason: Text = ""
    evidence: dict[str, Any] = field(default_factory=dict)


class VerdictBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """``reason`` is for the record."""

    reason: Text = ""


class Said(Struct, frozen=True, kw_only=True):
    """What the holder of one API key says of a detection."""

    decision: Decision
    by: str
    at: float
    reason: str


class Detected(Struct, frozen=True, kw_only=True):
    """A detection. ``session_ids`` are those that its watermark is mapped to, for those who may read of viewers;
    ``revoked``: whether the mark is now.

    ``approvals_needed`` is how many API keys must approve it; 0: its confidence sufficed.
    """

    id: str
    detector: str
    event_id: str
    watermark_id: str
    state: DetectionState
    confidence: float
    asset: str
    detected_at: float | None
    accepted_at: float
    reason: str
    evidence: dict[str, Any]
    approvals_needed: int
    verdicts: list[Said]
    revoked: bool
    session_ids: list[str] | UnsetType = UNSET
    revocation: Done | None = None


class DetectionPage(Struct, frozen=True, kw_only=True):
    """Detections, the latest first."""

    detections: list[Detected]
    next: str | None
