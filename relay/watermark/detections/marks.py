"""What this node's documents say of other vendors' watermarks, kept as it is asked for."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import structlog

from relay.gate.targets import Target, TargetType
from relay.state.documents import Documents
from relay.state.events import Action, DocumentPut, Event, Revocation
from relay.watermark.detections.records import (
    DETECTION_KIND,
    MAPPING_KIND,
    VERDICT_KIND,
    Detection,
    DetectionState,
    Mapping,
    Verdict,
    read_detection,
    read_mapping,
    read_verdict,
)

MAX_MAPPINGS = 500_000
"""What nodes keep at most, some 400 bytes each."""
MAX_DETECTIONS = 10_000
SLACK = 10_000
"""Names of documents that are gone, or filed twice, before all are filed anew."""
T = TypeVar("T")
_log = structlog.get_logger()


class Marks:
    """Mappings by watermark id, and detections with what is said of them."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._mapped: dict[str, set[str]] = {}
        self._verdicts: dict[str, set[str]] = {}
        self._filed = 0

    def load(self) -> None:
        """Take in all that this node knows; also when it starts."""
        self._mapped, self._verdicts, self._filed = {}, {}, 0
        for kind in (MAPPING_KIND, VERDICT_KIND):
            for name in list(self._documents.kept(kind)):
                self._index(kind, name)

    def apply(self, events: Iterable[Event]) -> list[Mapping]:
        """Take in what just changed. Returns the mappings that it concerns: new ones, and those of revoked marks."""
        concerned: list[Mapping] = []
        for event in events:
            if isinstance(event, DocumentPut) and event.kind in (MAPPING_KIND, VERDICT_KIND):
                mapping = self._index(event.kind, event.name)
                if mapping is not None:
                    concerned.append(mapping)
            elif isinstance(event, Revocation) and (event.type, event.action) == (TargetType.WATERMARK, Action.REVOKE):
                concerned += self.mapped(event.value, event.created_at)
        # What has expired leaves its name here, which is let go of when there are too many.
        if self._filed > 2 * sum(len(self._documents.kept(kind)) for kind in (MAPPING_KIND, VERDICT_KIND)) + SLACK:
            self.load()
        return concerned

    def mapped(self, watermark_id: str, now: float) -> list[Mapping]:
        """The mappings of a watermark id, by session."""
        names = self._mapped.get(watermark_id, set())
        found = [mapping for name in list(names) if (mapping := self._mapping(name, now)) is not None]
        if len(found) < len(names):
            self._mapped[watermark_id] = {mapping.name for mapping in found}
            if not found:
                del self._mapped[watermark_id]
        return sorted(found, key=lambda mapping: mapping.session_id)

    def sessions(self, target: Target, now: float) -> list[Target]:
        """What a revocation of a target concerns besides: the sessions of a watermark."""
        if target.type is not TargetType.WATERMARK:
            return []
        return [Target(TargetType.SESSION, mapping.session_id) for mapping in self.mapped(target.value, now)]

    def has_room(self, kind: str, more: int = 1) -> bool:
        """Whether so many more documents of a kind may be made."""
        most = MAX_MAPPINGS if kind == MAPPING_KIND else MAX_DETECTIONS
        return len(self._documents.kept(kind)) + more <= most

    def detection(self, name: str, now: float) -> Detection | None:
        """A detection that is known, by its name."""
        return self._read(DETECTION_KIND, name, now, read_detection)

    def detections(self, now: float) -> list[Detection]:
        """All detections, the latest first."""
        names = [name for name, _ in self._documents.of(DETECTION_KIND, now)]
        found = [detection for name in names if (detection := self.detection(name, now)) is not None]
        return sorted(found, key=lambda detection: (-detection.accepted_at, detection.name))

    def verdicts(self, detection: str, now: float) -> Sequence[Verdict]:
        """What was said of a detection, in order."""
        names = self._verdicts.get(detection, set())
        found = [said for name in names if (said := self._read(VERDICT_KIND, name, now, read_verdict)) is not None]
        if not found:
            self._verdicts.pop(detection, None)
        return sorted(found, key=lambda verdict: (verdict.at, verdict.key))

    def state(self, detection: Detection, now: float) -> DetectionState:
        """What became of a detection."""
        return detection.state(self.verdicts(detection.name, now))

    def _mapping(self, name: str, now: float) -> Mapping | None:
        return self._read(MAPPING_KIND, name, now, read_mapping)

    def _index(self, kind: str, name: str) -> Mapping | None:
        self._filed += 1
        if kind == VERDICT_KIND:
            self._verdicts.setdefault(name.partition(".")[0], set()).add(name)
            return None
        mapping = self._mapping(name, 0.0)
        if mapping is not None:
            self._mapped.setdefault(mapping.watermark_id, set()).add(name)
        return mapping

    def _read(self, kind: str, name: str, now: float, read: Callable[[bytes], T]) -> T | None:
        document = self._documents.get(kind, name, now)
        if document is None:
            return None
        try:
            return read(document.body)
        except ValueError as err:
            # Written by a newer version of the relay, perhaps.
            _log.error("watermark_record_unreadable", kind=kind, name=name, error=str(err))
            return None
