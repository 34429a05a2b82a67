"""The public vocabulary of keys: what a key is for, never what it is.

Nothing here is secret, so policies and manifests may hold and print it.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Scheme(StrEnum):
    """Protection scheme: ISO/IEC 23001-7 §10.1 and §10.4, or HLS METHOD=AES-128 (RFC 8216 §4.3.2.4)."""

    CENC = "cenc"
    CBCS = "cbcs"
    AES128 = "aes-128"


class TrackType(StrEnum):
    """What one content key covers. Video is split by resolution so that a licence can leave UHD out."""

    AUDIO = "audio"
    SD = "sd"
    HD = "hd"
    UHD = "uhd"

    @property
    def rank(self) -> int:
        """Order of value: a session entitled to a rank is entitled to the lower ones."""
        return _RANKS[self]

    @classmethod
    def of_picture(cls, width: int, height: int) -> "TrackType":
        """The track type of a picture size, by pixel count so that portrait video counts alike.

        The limits are the ones packagers use by default, 768x576 and 1920x1080, the latter in whole
        macroblocks, because some encoders and manifests state 1080 lines as 1088.
        """
        pixels = width * height
        if pixels <= 768 * 576:
            return cls.SD
        return cls.HD if pixels <= 1920 * 1088 else cls.UHD


_RANKS = {TrackType.AUDIO: 0, TrackType.SD: 1, TrackType.HD: 2, TrackType.UHD: 3}


class Security(StrEnum):
    """How well a device must guard keys and pictures."""

    SOFTWARE = "software"
    HARDWARE = "hardware"


class Hdcp(IntEnum):
    """The protection that a digital output must have, in rising order."""

    NONE = 0
    V1 = 1
    V2_2 = 2


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where decoded pictures may go. ``digital`` and ``analogue`` false: nowhere outside the device itself."""

    hdcp: Hdcp = Hdcp.NONE
    digital: bool = True
    analogue: bool = True
    airplay: bool = True
    av_adapter: bool = True


@dataclass(frozen=True, slots=True)
class KeySlot:
    """Names exactly one content key.

    ``period`` is the start of the crypto period in milliseconds of stream time; ``None`` names the
    *stable* key, whose ID stands in manifests and init segments and which encrypts no sample.
    ``generation`` is that of the root key it derives from; see :func:`generation_of`.
    """

    stream: str
    track: TrackType
    scheme: Scheme
    generation: int
    period: int | None


MAX_ROOT_GENERATION = 2**16 - 1


def generation_of(root: int, epoch: int) -> int:
    """The generation of keys that derive from the root key ``root`` after all keys were replaced ``epoch`` times."""
    return root + epoch * (MAX_ROOT_GENERATION + 1)


def root_of(generation: int) -> int:
    """The generation of the root key from which keys of a generation derive."""
    return generation % (MAX_ROOT_GENERATION + 1)


@dataclass(frozen=True, slots=True)
class KeySignal:
    """The public face of a content key, as manifests and init segments show it.

    ``checksum`` is PlayReady's: the first 8 bytes of AES-ECB(key, key ID as GUID). ``constant_iv`` is the
    one of ``cbcs``, which ``tenc`` shows as well.
    """

    kid: bytes
    checksum: bytes
    constant_iv: bytes = b""
