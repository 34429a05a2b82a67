"""Which keys a session may hold now: its track types, over the window, the current and the released next period."""

from dataclasses import dataclass

from keys.model import KeySlot, Scheme, TrackType
from relay.errors import ContentKeyUnknownError, KeyPendingError
from relay.gate.gate import Gate, Visitor
from relay.streams import Stream
from relay.timeline import StreamTimeline

SAMPLE_SCHEMES = (Scheme.CENC, Scheme.CBCS)


@dataclass(frozen=True, slots=True)
class Grant:
    """The key slots of one answer, the stable ones first. ``newest`` is the start of the latest period released."""

    slots: tuple[KeySlot, ...]
    newest: int


def grant(stream: Stream, gate: Gate, visitor: Visitor, scheme: Scheme, now: float) -> Grant:
    """Everything the session may hold of a stream under one scheme. Raises :class:`KeyPendingError`."""
    timeline: StreamTimeline = stream.timeline
    periods = timeline.periods(now)
    if not periods:
        raise KeyPendingError("the stream's timeline is not known yet")
    tracks = [track for track in TrackType if not gate.may_have(visitor, track) and _exists(timeline, track)]
    slots = [stream.slot_of(track, scheme, None) for track in tracks]
    slots += [stream.slot_of(track, scheme, period.start) for period in periods for track in tracks]
    return Grant(tuple(slots), periods[-1].start)


def grant_for(stream: Stream, gate: Gate, visitor: Visitor, kids: tuple[bytes, ...], now: float) -> Grant:
    """The grant under the scheme that the key IDs asked for belong to.

    Raises :class:`ContentKeyUnknownError` when the session may have none of them.
    """
    for scheme in SAMPLE_SCHEMES:
        if scheme in stream.config.schemes:
            granted = grant(stream, gate, visitor, scheme, now)
            if any(stream.kid(slot) in kids for slot in granted.slots):
                return granted
    raise ContentKeyUnknownError("none of these key IDs belongs to what this session may have now")


def _exists(timeline: StreamTimeline, track: TrackType) -> bool:
    # Muxed renditions carry audio that no manifest names.
    return track is TrackType.AUDIO or not timeline.tracks or track in timeline.tracks
