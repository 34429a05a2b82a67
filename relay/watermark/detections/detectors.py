"""From configuration and secrets to the detectors whose signed detections are believed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from relay.purchases.signatures import signer_of
from relay.watermark.settings import WatermarkConfig

NEVER = 2.0
"""A confidence that none reaches."""


@dataclass(frozen=True, slots=True)
class Detector:
    """One detector; see :class:`relay.watermark.settings.DetectorConfig`."""

    name: str
    secrets: tuple[bytes, ...] = field(repr=False)
    revoke_at: float
    approvals: int


class Detectors:
    """The detectors in force."""

    def __init__(self, detectors: Iterable[Detector] = ()) -> None:
        self._detectors = tuple(detectors)

    @classmethod
    def of(cls, watermark: WatermarkConfig, secrets: Mapping[str, Sequence[bytes]]) -> "Detectors":
        """Those of a configuration; ``secrets`` by their names."""
        return cls(
            Detector(one.name, tuple(secrets[one.name]), one.revoke_at or NEVER, one.approvals)
            for one in watermark.detectors
        )

    def signer(self, headers: Mapping[str, str], body: bytes, now: float) -> Detector:
        """The detector that has signed a message. Raises :class:`relay.purchases.signatures.SignatureError`."""
        return signer_of(self._detectors, headers, body, now)
