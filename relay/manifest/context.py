"""What both manifest rewriters are given, and what both give back."""

from collections.abc import Callable
from dataclasses import dataclass, field

from keys.model import KeySignal, TrackType
from keys.periods import Clock, Schedule
from relay.model import ManifestClass
from relay.sources import OriginScope
from relay.urls import SessionUrls, SlotRef

LICENCE_URL = "https://licence.invalid/"
"""Stands in rewritten manifests for the session's own licence URL.

Rewritten manifests are shared by all viewers of a class, and players do not resolve licence URLs
against the manifest, so the handler that sends one replaces this by an absolute URL.
"""


@dataclass(frozen=True, slots=True)
class Observed:
    """What a manifest said of its stream's timeline: listed segments start in [first, edge) ms of stream time.

    ``final`` is true for VOD and ended streams, which have no live edge. ``segment_ms`` is how long one request's
    worth of media plays, 0 where requests differ (low-latency parts).
    """

    clock: Clock
    first: int
    edge: int
    final: bool
    tracks: frozenset[TrackType]
    segment_ms: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A manifest as the relay serves it. ``observed`` is None where it lists no segment (multivariant).

    ``shelf_life`` is how many seconds it may be served again; None where it will not change.
    """

    body: bytes
    observed: Observed | None
    shelf_life: float | None


@dataclass(frozen=True, slots=True)
class RewriteContext:
    """All that rewriting needs beside the manifest: values and pure functions, no secret.

    ``schedule_of`` gives the crypto periods on a clock, or raises :class:`relay.errors.ManifestError` where they are
    not known; ``signal`` the public face of a slot's key; ``generation_at`` the generation of a period's keys.
    ``default_track`` is the type of video whose size no manifest tells. ``marked``: segments are named as all their
    watermark variants are, for a variant to be chosen when they are asked for.
    """

    urls: SessionUrls
    cls: ManifestClass
    scope: OriginScope
    schedule_of: Callable[[Clock], Schedule]
    signal: Callable[[SlotRef], KeySignal]
    generation_at: Callable[[int | None], int]
    stream: str
    default_track: TrackType = TrackType.HD
    marked: bool = False

    def stable(self, track: TrackType) -> SlotRef:
        """The slot of a track type's stable key."""
        return SlotRef(track, self.generation_at(None), None)

    def slot(self, track: TrackType, period: int) -> SlotRef:
        """The slot of a track type in the crypto period that starts at ``period``."""
        return SlotRef(track, self.generation_at(period), period)
