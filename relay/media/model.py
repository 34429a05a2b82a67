"""What protecting media is told: the scheme and a key for each kind of track."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from keys.material import ContentKey
from keys.model import Scheme


class TrackKind(Enum):
    """What a track holds, as far as protection cares."""

    VIDEO = auto()
    AUDIO = auto()
    CLEAR = auto()
    """Text, timed metadata, images: never protected."""


@dataclass(frozen=True, slots=True)
class ClearUnit:
    """One track of a clear unit of encryption: the ``moof``, and all behind it up to the end of its ``mdat``.

    ``layout`` says where the track's ``sample_count`` samples lie and which of their bytes will be protected.
    """

    track_id: int
    moof: memoryview
    data: memoryview
    layout: bytes
    sample_count: int


class SampleIvs(Protocol):
    """Chooses per-sample IVs (``cenc`` only)."""

    def first(self, key: ContentKey, unit: ClearUnit) -> int:
        """The 64-bit IV of the unit's first sample; those of the others count up from it."""
        ...


@dataclass(frozen=True, slots=True)
class Protection:
    """How one init segment or media segment is protected. Text and other tracks always stay clear."""

    scheme: Scheme
    video: ContentKey
    audio: ContentKey

    def of(self, kind: TrackKind) -> "TrackEncryption":
        """The encryption of a video or an audio track."""
        video = kind is TrackKind.VIDEO
        key = self.video if video else self.audio
        if self.scheme is Scheme.CENC:
            return TrackEncryption(self.scheme, key, iv_size=8, pattern=0)
        # One block in ten of video; audio whole, which is written as pattern 0:0 (ISO/IEC 23001-7 §10.4.2).
        return TrackEncryption(self.scheme, key, iv_size=0, pattern=0x19 if video else 0)


@dataclass(frozen=True, slots=True)
class TrackEncryption:
    """The encryption of one track under one content key.

    ``iv_size`` is that of per-sample IVs in bytes, 0 where the key's constant IV serves all; ``pattern`` is
    crypt blocks << 4 | skip blocks.
    """

    scheme: Scheme
    key: ContentKey
    iv_size: int
    pattern: int

    def encode(self) -> bytes:
        """The fields that ``tenc`` and the ``seig`` group entry share (ISO/IEC 23001-7 §6 and §8.2)."""
        fields = bytes((0, self.pattern, 1, self.iv_size)) + self.key.kid
        if self.iv_size:
            return fields
        return fields + bytes((len(self.key.constant_iv),)) + self.key.constant_iv
