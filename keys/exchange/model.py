"""What a CPIX document says (DASH-IF Content Protection Information Exchange 2.3 and 2.4), as values.

An empty value (``b""``) is an element that is there and empty: in a request, what is asked for. None is no element.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from keys.model import Scheme


class Version(StrEnum):
    """``CPIX@version``."""

    V2_3 = "2.3"
    V2_4 = "2.4"


class Playlist(StrEnum):
    """Which HLS playlist a line is for; a document of 2.3 calls the multivariant one ``master``."""

    MEDIA = "media"
    MULTIVARIANT = "multiVariant"

    def written(self, version: Version) -> str:
        """The value of ``HLSSignalingData@playlist`` in a document of ``version``."""
        return "master" if self is Playlist.MULTIVARIANT and version is Version.V2_3 else self.value


@dataclass(frozen=True, slots=True)
class EncryptedKey:
    """``cipher`` is IV ‖ AES-256-CBC, ``mac`` the HMAC over all of it."""

    cipher: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """``ContentKey``. It has a ``key`` in the clear, an ``encrypted`` one, or (in a request) neither."""

    kid: bytes
    scheme: Scheme | None = None
    key: bytes | None = field(default=None, repr=False)
    encrypted: EncryptedKey | None = None
    explicit_iv: bytes | None = None
    depends_on: bytes | None = None
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class DrmSystem:
    """``DRMSystem``: the signalling of one key for one DRM system.

    ``content_protection`` is XML for an MPD, ``smooth`` a Smooth Streaming header, ``hls`` whole lines by playlist.
    """

    system: UUID
    kid: bytes
    pssh: bytes | None = None
    content_protection: bytes | None = None
    smooth: bytes | None = None
    hls: tuple[tuple[Playlist, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class KeyPeriod:
    """``ContentKeyPeriod``. ``start`` and ``end`` are milliseconds of stream time: wall clock, or with ``offset``
    counted from the beginning of the content.
    """

    id: str
    index: int | None = None
    label: str | None = None
    start: int | None = None
    end: int | None = None
    offset: bool = False


@dataclass(frozen=True, slots=True)
class VideoFilter:
    """Limits of video, inclusive; pixels are width × height."""

    min_pixels: int | None = None
    max_pixels: int | None = None
    hdr: bool | None = None
    wcg: bool | None = None
    min_fps: int | None = None
    max_fps: int | None = None


@dataclass(frozen=True, slots=True)
class AudioFilter:
    """Limits of the number of channels, inclusive."""

    min_channels: int | None = None
    max_channels: int | None = None


@dataclass(frozen=True, slots=True)
class BitrateFilter:
    """Limits of the bit rate, inclusive."""

    min_bitrate: int | None = None
    max_bitrate: int | None = None


@dataclass(frozen=True, slots=True)
class UsageRule:
    """``ContentKeyUsageRule``: what a key is for.

    Filters of one kind are alternatives, kinds restrict one another; a rule without any is for everything.
    """

    kid: bytes
    track: str | None = None
    periods: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    video: tuple[VideoFilter, ...] = ()
    audio: tuple[AudioFilter, ...] = ()
    bitrates: tuple[BitrateFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipient:
    """``DeliveryData``: whom the keys are encrypted to, by a DER ``certificate``, and the document's two secrets so
    encrypted, None in a request for that.
    """

    certificate: bytes
    document_key: bytes | None = None
    mac_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """``CPIX``. Without ``version`` it is not a document of 2.3 or later."""

    content_id: str | None
    version: Version | None
    keys: tuple[KeyEntry, ...]
    name: str | None = None
    recipients: tuple[Recipient, ...] = ()
    systems: tuple[DrmSystem, ...] = ()
    periods: tuple[KeyPeriod, ...] = ()
    rules: tuple[UsageRule, ...] = ()
