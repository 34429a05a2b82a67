"""Which keys a session may hold now: its track types, over the window, the current and the released next period.

Keys ``guarded`` by a DRM system's licence may be of scenes and track types that ask something of devices; others may
not. None goes beyond what the manifests of the session's class list.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakKeyDictionary

from keys.model import KeySlot, Scheme, TrackType
from relay.errors import ContentKeyUnknownError, KeyPendingError
from relay.gate.gate import Visitor
from relay.model import ManifestClass
from relay.streams import Stream
from relay.timeline import Window

SAMPLE_SCHEMES = (Scheme.CENC, Scheme.CBCS)


@dataclass(frozen=True, eq=False)
class Grant:
    """The key slots of one answer, the stable ones first. ``newest`` is the start of the latest period released.

    ``stable`` are the key IDs that all periods share. The same slots of a stream are the same object, for a while.
    """

    slots: tuple[KeySlot, ...]
    newest: int
    stable: frozenset[bytes]

    @cached_property
    def tracks(self) -> tuple[TrackType, ...]:
        """The track types of its keys, the least first."""
        return tuple(sorted({slot.track for slot in self.slots}, key=lambda track: track.rank))


class Grants:
    """The grants of one stream as of now, for all viewers: one for each scheme and best track type."""

    def __init__(self) -> None:
        self._known: dict[tuple[Scheme, TrackType, bool], tuple[Window, Grant]] = {}

    def get(self, stream: Stream, scheme: Scheme, best: TrackType, window: Window, guarded: bool) -> Grant:
        """The grant of what is handed out now, up to a track type."""
        key = scheme, best, guarded
        known = self._known.get(key)
        # By identity first: windows of recordings are long.
        if known is not None and known[0] is window:
            return known[1]
        if known is not None and known[0] == window:
            granted = known[1]
        else:
            starts = [period.start for period in window.periods]
            slots = slots_of(stream, tracks_up_to(best, window.tracks), scheme, [None, *starts], guarded=guarded)
            stable = frozenset(stream.kid(slot) for slot in slots if slot.period is None)
            granted = Grant(slots, starts[-1], stable)
        self._known[key] = window, granted
        return granted


_grants: WeakKeyDictionary[Stream, Grants] = WeakKeyDictionary()


def grant(stream: Stream, visitor: Visitor, cls: ManifestClass, now: float, *, guarded: bool = False) -> Grant:
    """Everything the session may hold of a stream as one class of viewers. Raises :class:`KeyPendingError`."""
    window = stream.timeline.window(now)
    if not window.periods:
        raise KeyPendingError("the stream's timeline is not known yet")
    grants = _grants.get(stream)
    if grants is None:
        grants = _grants[stream] = Grants()
    granted = grants.get(stream, cls.scheme, best_of(visitor, cls), window, guarded)
    stream.expect(granted.slots)
    return granted


def grant_for(
    stream: Stream,
    visitor: Visitor,
    cls: ManifestClass,
    kids: Set[bytes],
    now: float,
    *,
    guarded: bool = False,
) -> Grant:
    """The grant under the scheme that the key IDs asked for belong to.

    Raises :class:`ContentKeyUnknownError` when the session may have none of them.
    """
    found = []
    for scheme in SAMPLE_SCHEMES:
        if scheme in stream.config.schemes:
            one = cls if cls.scheme is scheme else replace(cls, scheme=scheme)
            granted = grant(stream, visitor, one, now, guarded=guarded)
            # Nearly every player asks for a stable key: no need to derive a window of IDs to know the scheme.
            if not granted.stable.isdisjoint(kids):
                return granted
            found.append(granted)
    for granted in found:
        if any(stream.kid(slot) in kids for slot in granted.slots):
            return granted
    raise ContentKeyUnknownError("none of these key IDs belongs to what this session may have now")


def slots_of(
    stream: Stream, tracks: Sequence[TrackType], scheme: Scheme, periods: Sequence[int | None], *, guarded: bool = False
) -> tuple[KeySlot, ...]:
    """The slots of periods, in their order, as far as anybody gets their keys; without a DRM system, in clear."""
    slots = (stream.slot_of(track, scheme, period) for period in periods for track in tracks)
    return tuple(slot for slot in slots if (stream.terms_of(slot) is not None if guarded else stream.in_clear(slot)))


def best_of(visitor: Visitor, cls: ManifestClass) -> TrackType:
    """The best track type that a session may have in its class."""
    return min(visitor.ceiling, cls.ceiling, key=_rank)


def tracks_up_to(best: TrackType, seen: frozenset[TrackType]) -> list[TrackType]:
    """The track types that a stream has, as far as is known, up to one."""
    # Muxed renditions carry audio that no manifest names.
    there = {TrackType.AUDIO, *seen} if seen else set(TrackType)
    return [track for track in TrackType if track in there and track.rank <= best.rank]


def _rank(track: TrackType) -> int:
    return track.rank
