"""What a licence allows, said once for every DRM system; each system's module says it in its own words.

A session is granted keys one by one, each with the terms of its track at its place in the stream. A key whose terms a
device cannot meet is left out of the licence; only a licence without any key is refused.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from keys.material import ContentKey
from keys.model import Outputs, Security, TrackType


@dataclass(frozen=True, slots=True)
class GrantedKey:
    """A content key, what it covers, and what a device must do to get and use it. Its repr shows no key."""

    key: ContentKey
    track: TrackType
    security: Security = Security.SOFTWARE
    outputs: Outputs = field(default_factory=Outputs)


@dataclass(frozen=True, slots=True)
class Term:
    """How long a licence holds. Times are seconds since the epoch, lengths seconds; 0: not limited.

    ``start_within`` counts from issue to the first frame, ``play_for`` from the first frame on. ``renew_every`` is
    how often the device is to ask again, 0: never. A ``persistent`` licence may be stored and must have an
    ``until``.
    """

    until: float
    start_within: int = 0
    play_for: int = 0
    renew_every: int = 0
    persistent: bool = False


class Platform(IntEnum):
    """What is known of the program that a DRM module runs in, in rising order of trust.

    ``CLAIMED``: the challenge carries signed program files (Widevine's VMP), which nobody has checked.
    """

    UNVERIFIED = 0
    CLAIMED = 1
    VERIFIED = 2


@dataclass(frozen=True, slots=True)
class Device:
    """What a challenge proves of the device that made it.

    ``system`` is the DRM system, ``digest`` 16 bytes that stand for this device in revocations, ``security`` the
    highest it may be trusted with; ``model`` is what its certificate says of it, for operators. ``make`` and
    ``system_id`` (Widevine's) are empty where the certificate has none. Behind a bridge a device may hide who it is
    from us: ``digest`` is empty then.
    """

    system: str
    digest: bytes
    security: Security
    model: str = ""
    make: str = ""
    system_id: int = 0
    platform: Platform = Platform.UNVERIFIED
