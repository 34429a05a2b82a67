"""What a session's player has been told of its keys, and what it lacks since."""

import re
from dataclasses import dataclass
from functools import lru_cache

from keys.model import KeySlot, Scheme, TrackType
from keys.periods import Clock
from relay.gate.gate import Visitor
from relay.grants import best_of, slots_of, tracks_up_to
from relay.model import ManifestClass
from relay.streams import Stream
from relay.timeline import Heads

_VERSION = "2"
MAX_TEXT = 200
_HEAD = re.compile(r"([a-z]{1,16})-([0-9]{1,15})")


@dataclass(frozen=True, slots=True)
class Told:
    """Every key released up to ``heads`` of some track types under one scheme.

    ``epoch`` is how many emergency rotations had replaced the newest of them.
    Its text form is the event id of a session's channel. A player hands it back where it left off
    (``Last-Event-ID``, HTML §9.2), to any node.
    """

    scheme: Scheme
    tracks: tuple[TrackType, ...]
    epoch: int
    heads: Heads

    def __str__(self) -> str:
        heads = [f"{clock}-{start}" for clock, start in self.heads]
        return "~".join([_VERSION, self.scheme, ".".join(self.tracks), str(self.epoch), *heads])

    @classmethod
    def parse(cls, text: str) -> "Told | None":
        """Read the text form; None for anything else, which tells nothing."""
        version, _, rest = text.partition("~")
        if len(text) > MAX_TEXT or version != _VERSION:
            return None
        try:
            scheme, tracks, epoch, *heads = rest.split("~")
            parted = [match.groups() for match in map(_HEAD.fullmatch, heads) if match]
            told = cls(
                Scheme(scheme),
                tuple(map(TrackType, tracks.split("."))),
                int(epoch),
                tuple((Clock(clock), int(start)) for clock, start in parted),
            )
        except ValueError:
            return None
        return told if heads and str(told) == text else None

    @property
    def newest(self) -> int:
        """The start of the newest period."""
        return max(start for _, start in self.heads)


def told_by(stream: Stream, visitor: Visitor, cls: ManifestClass, now: float) -> Told | None:
    """What a player knows that has just been told everything; None while the stream's timeline is unknown."""
    heads = stream.timeline.heads(now)
    if not heads:
        return None
    epoch = max(stream.epoch_of(start) for _, start in heads)
    return _shared(cls.scheme, tuple(tracks_up_to(best_of(visitor, cls), stream.timeline.tracks)), epoch, heads)


def lacking(stream: Stream, told: Told | None, current: Told, now: float) -> tuple[KeySlot, ...]:
    """The key slots that a player lacks to what is ``current``, the stable ones first."""
    knows = told is not None and told.scheme is current.scheme and set(told.tracks) >= set(current.tracks)
    heads = told.heads if told and knows else ()
    released = {period.start for period in stream.timeline.after(heads, now)}
    if told and knows and told.epoch < current.epoch:
        # What it was told of periods since the emergency are keys that nothing is encrypted under.
        replaced = (period.start for period in stream.timeline.periods(now))
        released |= {start for start in replaced if stream.epoch_of(start) > told.epoch}
    starts = sorted(released) if knows else [None, *sorted(released)]
    return slots_of(stream, current.tracks, current.scheme, starts)


# Ten thousand channels of one stream know the same: one object for all of them.
_shared = lru_cache(maxsize=256)(Told)
