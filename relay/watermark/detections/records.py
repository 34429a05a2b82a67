"""What all nodes know of other vendors' watermarks: three kinds of documents, and what follows from them. Pure.

A *mapping* says that a watermark id is in what a session watches. A *detection* is what a detector found in a leaked
copy. A *verdict* is what the holder of one API key says of a detection; each is a document of its own, so that what two
say at the same time never overrules the other, and all nodes come to the same conclusion whatever they hear first.
"""

from collections.abc import Iterable
from enum import StrEnum
from hashlib import blake2b

import msgspec
from msgspec import Struct

from keys.encoding import encode_fields

MAPPING_KIND, DETECTION_KIND, VERDICT_KIND = "watermark", "detection", "verdict"


class Mapping(Struct, frozen=True, array_like=True, kw_only=True):
    """A watermark id is that of a session."""

    watermark_id: str
    session_id: str

    @property
    def name(self) -> str:
        """The name of its document: 32 hex digits."""
        return _name(MAPPING_KIND, self.watermark_id, self.session_id)


class Decision(StrEnum):
    """What somebody says of a detection. Values are public."""

    APPROVE = "approve"
    DISMISS = "dismiss"


class DetectionState(StrEnum):
    """What became of a detection. Values are public."""

    PENDING = "pending"
    REVOKED = "revoked"
    DISMISSED = "dismissed"


class Detection(Struct, frozen=True, array_like=True, kw_only=True):
    """A watermark id was found. ``content`` stands for all that the detector said.

    Its confidence, 0 to 1, revokes by itself from ``revoke_at`` on, which is over 1 where none does; otherwise as many
    API keys as ``approvals`` must approve. Times are seconds since the epoch.
    """

    detector: str
    event_id: str
    watermark_id: str
    confidence: float
    revoke_at: float
    approvals: int
    accepted_at: float
    detected_at: float = 0.0
    asset: str = ""
    reason: str = ""
    evidence: bytes = b""
    content: bytes = b""

    @property
    def name(self) -> str:
        """The name of its document, and its id in the API: 32 hex digits."""
        return _name(DETECTION_KIND, self.detector, self.event_id)

    @property
    def certain(self) -> bool:
        """Whether it revokes by itself."""
        return self.confidence >= self.revoke_at

    def state(self, verdicts: Iterable["Verdict"]) -> DetectionState:
        """What became of it: whoever dismisses before enough have approved ends it."""
        if self.certain:
            return DetectionState.REVOKED
        approved = set()
        for verdict in sorted(verdicts, key=lambda one: (one.at, one.key)):
            if verdict.decision is Decision.DISMISS:
                return DetectionState.DISMISSED
            approved.add(verdict.key)
            if len(approved) >= self.approvals:
                return DetectionState.REVOKED
        return DetectionState.PENDING


class Verdict(Struct, frozen=True, array_like=True, kw_only=True):
    """What the holder of an API key, by its name, says of a detection; ``actor`` is that and who it was."""

    detection: str
    key: str
    actor: str
    decision: Decision
    at: float
    reason: str = ""

    @property
    def name(self) -> str:
        """The name of its document: that of the detection and one for the key, so that a key has one verdict."""
        return f"{self.detection}.{_name(VERDICT_KIND, self.key)}"


_encoder = msgspec.msgpack.Encoder()
_mappings: msgspec.msgpack.Decoder[Mapping] = msgspec.msgpack.Decoder(Mapping)
_detections: msgspec.msgpack.Decoder[Detection] = msgspec.msgpack.Decoder(Detection)
_verdicts: msgspec.msgpack.Decoder[Verdict] = msgspec.msgpack.Decoder(Verdict)


def encode(record: Mapping | Detection | Verdict) -> bytes:
    """The text of a document."""
    return _encoder.encode(record)


def read_mapping(body: bytes) -> Mapping:
    """The mapping in a document. Raises ValueError."""
    return _mappings.decode(body)


def read_detection(body: bytes) -> Detection:
    """The detection in a document. Raises ValueError."""
    return _detections.decode(body)


def read_verdict(body: bytes) -> Verdict:
    """The verdict in a document. Raises ValueError."""
    return _verdicts.decode(body)


def content_of(*parts: bytes) -> bytes:
    """What stands for all that was said: 16 bytes."""
    return blake2b(encode_fields(*parts), digest_size=16).digest()


def _name(kind: str, *fields: str) -> str:
    return blake2b(encode_fields(*(field.encode() for field in (kind, *fields))), digest_size=16).hexdigest()
