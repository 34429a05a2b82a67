"""What protecting media is told: the scheme and a key for each kind of track."""

from dataclasses import dataclass
from typing import Protocol

from keys.material import ContentKey
from keys.model import Scheme


class SampleIvs(Protocol):
    """Chooses the first per-sample IV of one fragment's track (``cenc`` only).

    ``moof`` and ``mdat`` are the clear unit; samples count up from the returned 64-bit number.
    """

    def first(self, key: ContentKey, track_id: int, moof: memoryview, mdat: memoryview, sample_count: int) -> int:
        """The IV of the first sample."""
        ...


@dataclass(frozen=True, slots=True)
class Protection:
    """How one init segment or media segment is protected. Text and other tracks always stay clear."""

    scheme: Scheme
    video: ContentKey
    audio: ContentKey
