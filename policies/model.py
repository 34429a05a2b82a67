"""What a policy says: terms by track type, and scenes. Pure values; nothing here knows a key."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from keys.model import Outputs, Scheme, Security, TrackType
from keys.periods import Clock


@dataclass(frozen=True, slots=True)
class Terms:
    """What a device must do to get the keys of a track, and where it may show the pictures."""

    security: Security = Security.SOFTWARE
    outputs: Outputs = field(default_factory=Outputs)

    @property
    def in_clear(self) -> bool:
        """Whether keys may go to a player that keeps no terms: Clear Key, and keys by URL or event channel."""
        return self == FREE

    def stricter(self, other: "Terms") -> "Terms":
        """The terms that ask for all that either asks for."""
        mine, theirs = self.outputs, other.outputs
        return Terms(
            Security.HARDWARE if Security.HARDWARE in (self.security, other.security) else Security.SOFTWARE,
            Outputs(
                hdcp=max(mine.hdcp, theirs.hdcp),
                digital=mine.digital and theirs.digital,
                analogue=mine.analogue and theirs.analogue,
                airplay=mine.airplay and theirs.airplay,
                av_adapter=mine.av_adapter and theirs.av_adapter,
            ),
        )


FREE = Terms()
"""Terms that ask for nothing."""

TermsByTrack = Mapping[TrackType, Terms | None]
"""Terms of every track type; None where nobody gets it."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Stream time or, before it is placed, time of the event [start, end) in ms, under terms of its own.

    ``end`` None is the end of the stream.
    """

    label: str
    start: int
    end: int | None
    terms: TermsByTrack

    def __post_init__(self) -> None:
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise ValueError(f"scene {self.label!r}: must start at zero or later and end after its start")


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a stream's policy, from ``since`` on: by clock, the first ms of stream time that it is about.

    What lies before was published and stays as it was. ``order`` is its place among the changes of all nodes, ``id``
    its name.
    """

    id: str
    order: int
    since: Mapping[Clock, int]


@dataclass(frozen=True, slots=True)
class UnreadableChange(Change):
    """A change that cannot be read here, of a newer version of the relay perhaps: nobody knows what it asks for."""


@dataclass(frozen=True, slots=True)
class ScenesChange(Change):
    """Scenes replace those of before. ``zero`` is, by clock, the stream time that their times count from."""

    zero: Mapping[Clock, int]
    scenes: tuple[Scene, ...]


@dataclass(frozen=True, slots=True)
class RotationChange(Change):
    """Keys rotate in another rhythm. ``interval_ms`` 0: not at all.

    ``rekeys``: whether emergency rotations are allowed. ``scheme`` is the one that was asked for, if any was.
    """

    interval_ms: int
    pre_delivery_ms: int
    rekeys: bool = True
    scheme: Scheme | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """What streams of a DRM group have in common: terms of some track types, and what their licences allow.

    Licences hold for ``duration_ms`` and are renewed every ``renew_ms``; 0: without an end of their own, never.
    ``interval_ms`` is that of rotation. None, of all three: each stream has its own.
    """

    name: str
    terms: TermsByTrack
    persistent: bool = False
    duration_ms: int | None = None
    renew_ms: int | None = None
    interval_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GroupChange(Change):
    """The stream joins a group as it is now; None: it leaves the one that it was in."""

    group: Group | None


@dataclass(frozen=True, slots=True)
class Rekeying(Change):
    """An emergency rotation: all keys from here on are new ones, those that were handed out ahead included.

    ``epoch`` tells the new ones from those of before. ``spread_ms`` is over how long sessions are told them.
    """

    epoch: int
    spread_ms: int
