"""Which keys a session may hold now: its track types, over the window, the current and the released next period.

Keys ``guarded`` by a DRM system's licence may be of track types that ask something of devices; others may not.
"""

from collections.abc import Set
from dataclasses import dataclass

from keys.model import KeySlot, Scheme, TrackType
from relay.errors import ContentKeyUnknownError, KeyPendingError
from relay.gate.gate import Gate, Visitor
from relay.streams import Stream

SAMPLE_SCHEMES = (Scheme.CENC, Scheme.CBCS)


@dataclass(frozen=True, slots=True)
class Grant:
    """The key slots of one answer, the stable ones first. ``newest`` is the start of the latest period released."""

    slots: tuple[KeySlot, ...]
    newest: int


def grant(stream: Stream, gate: Gate, visitor: Visitor, scheme: Scheme, now: float, *, guarded: bool = False) -> Grant:
    """Everything the session may hold of a stream under one scheme. Raises :class:`KeyPendingError`."""
    periods = stream.timeline.periods(now)
    if not periods:
        raise KeyPendingError("the stream's timeline is not known yet")
    tracks = tracks_of(stream, gate, visitor, guarded=guarded)
    starts = [None, *(period.start for period in periods)]
    slots = tuple(stream.slot_of(track, scheme, start) for start in starts for track in tracks)
    return Grant(slots, periods[-1].start)


def grant_for(
    stream: Stream, gate: Gate, visitor: Visitor, kids: Set[bytes], now: float, *, guarded: bool = False
) -> Grant:
    """The grant under the scheme that the key IDs asked for belong to.

    Raises :class:`ContentKeyUnknownError` when the session may have none of them.
    """
    schemes = [scheme for scheme in SAMPLE_SCHEMES if scheme in stream.config.schemes]
    tracks = tracks_of(stream, gate, visitor, guarded=guarded)
    for scheme in schemes:
        # Nearly every player asks for a stable key: no need to derive a window of IDs to know the scheme.
        if any(stream.kid(stream.slot_of(track, scheme, None)) in kids for track in tracks):
            return grant(stream, gate, visitor, scheme, now, guarded=guarded)
    for scheme in schemes:
        granted = grant(stream, gate, visitor, scheme, now, guarded=guarded)
        if any(stream.kid(slot) in kids for slot in granted.slots):
            return granted
    raise ContentKeyUnknownError("none of these key IDs belongs to what this session may have now")


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
