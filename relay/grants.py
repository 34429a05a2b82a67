"""Which keys a session may hold now: its track types, over the window, the current and the released next period.

Keys ``guarded`` by a DRM system's licence may be of track types that ask something of devices; others may not.
"""

from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from keys.model import KeySlot, Scheme, TrackType
from relay.errors import ContentKeyUnknownError, KeyPendingError
from relay.gate.gate import Gate, Visitor
from relay.streams import Stream

SAMPLE_SCHEMES = (Scheme.CENC, Scheme.CBCS)
MAX_GRANTS = 64
"""Of one stream: schemes times best track types, for the periods of now and of a moment ago."""


@dataclass(frozen=True, eq=False)
class Grant:
    """The key slots of one answer, the stable ones first. ``newest`` is the start of the latest period released.

    ``stable`` are the key IDs that all periods share. The same slots of a stream are the same object, for a while.
    """

    slots: tuple[KeySlot, ...]
    newest: int
    stable: frozenset[bytes]


class Grants:
    """The grants of one stream that were asked for lately: for all viewers there are few."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Grant] = {}

    def get(self, stream: Stream, scheme: Scheme, tracks: Sequence[TrackType], starts: Sequence[int]) -> Grant:
        """The grant of track types over periods that start there."""
        key = scheme, tuple(tracks), tuple(starts)
        granted = self._known.get(key)
        if granted is None:
            slots = tuple(stream.slot_of(track, scheme, start) for start in (None, *starts) for track in tracks)
            granted = Grant(slots, starts[-1], frozenset(map(stream.kid, slots[: len(tracks)])))
            if len(self._known) >= MAX_GRANTS:
                del self._known[next(iter(self._known))]
            self._known[key] = granted
        return granted


_grants: WeakKeyDictionary[Stream, Grants] = WeakKeyDictionary()


def grant(stream: Stream, gate: Gate, visitor: Visitor, scheme: Scheme, now: float, *, guarded: bool = False) -> Grant:
    """Everything the session may hold of a stream under one scheme. Raises :class:`KeyPendingError`."""
    return _grant(stream, scheme, tracks_of(stream, gate, visitor, guarded=guarded), now)


def grant_for(
    stream: Stream, gate: Gate, visitor: Visitor, kids: Set[bytes], now: float, *, guarded: bool = False
) -> Grant:
    """The grant under the scheme that the key IDs asked for belong to.

    Raises :class:`ContentKeyUnknownError` when the session may have none of them.
    """
    tracks = tracks_of(stream, gate, visitor, guarded=guarded)
    found = []
    for scheme in SAMPLE_SCHEMES:
        if scheme in stream.config.schemes:
            granted = _grant(stream, scheme, tracks, now)
            # Nearly every player asks for a stable key: no need to derive a window of IDs to know the scheme.
            if not granted.stable.isdisjoint(kids):
                return granted
            found.append(granted)
    for granted in found:
        if any(stream.kid(slot) in kids for slot in granted.slots):
            return granted
    raise ContentKeyUnknownError("none of these key IDs belongs to what this session may have now")


def _grant(stream: Stream, scheme: Scheme, tracks: Sequence[TrackType], now: float) -> Grant:
    periods = stream.timeline.periods(now)
    if not periods:
        raise KeyPendingError("the stream's timeline is not known yet")
    return _grants.setdefault(stream, Grants()).get(stream, scheme, tracks, [period.start for period in periods])


def tracks_of(stream: Stream, gate: Gate, visitor: Visitor, *, guarded: bool = False) -> list[TrackType]:
    """The track types that a stream has, as far as is known, and a session may have."""
    seen = stream.timeline.tracks
    # Muxed renditions carry audio that no manifest names.
    there = {TrackType.AUDIO, *seen} if seen else set(TrackType)
    return [
        track
        for track in TrackType
        if track in there
        and track in stream.config.licence.allowed
        and (guarded or stream.config.in_clear(track))
        and not gate.may_have(visitor, track)
    ]
