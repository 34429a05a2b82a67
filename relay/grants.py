"""Which keys a session may hold now: its track types, over the window, the current and the released next period.

Keys ``guarded`` by a DRM system's licence may be of scenes and track types that ask something of devices; others may
not. None goes beyond what the manifests of the session's class list.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from keys.model import KeySlot, Scheme, TrackType
from relay.errors import ContentKeyUnknownError, KeyPendingError
from relay.gate.gate import Gate, Visitor
from relay.model import ManifestClass
from relay.streams import Stream

SAMPLE_SCHEMES = (Scheme.CENC, Scheme.CBCS)


@dataclass(frozen=True, slots=True)
class Grant:
    """The key slots of one answer, the stable ones first. ``newest`` is the start of the latest period released."""

    slots: tuple[KeySlot, ...]
    newest: int


def grant(
    stream: Stream, gate: Gate, visitor: Visitor, cls: ManifestClass, now: float, *, guarded: bool = False
) -> Grant:
    """Everything the session may hold of a stream as one class of viewers. Raises :class:`KeyPendingError`."""
    periods = stream.timeline.periods(now)
    if not periods:
        raise KeyPendingError("the stream's timeline is not known yet")
    starts = [period.start for period in periods]
    slots = slots_of(stream, tracks_of(stream, gate, visitor, cls), cls.scheme, [None, *starts], guarded=guarded)
    stream.expect(slots)
    return Grant(slots, starts[-1])


def grant_for(
    stream: Stream,
    gate: Gate,
    visitor: Visitor,
    cls: ManifestClass,
    kids: tuple[bytes, ...],
    now: float,
    *,
    guarded: bool = False,
) -> Grant:
    """The grant under the scheme that the key IDs asked for belong to.

    Raises :class:`ContentKeyUnknownError` when the session may have none of them.
    """
    classes = [replace(cls, scheme=scheme) for scheme in SAMPLE_SCHEMES if scheme in stream.config.schemes]
    tracks = tracks_of(stream, gate, visitor, cls)
    for one in classes:
        # Nearly every player asks for a stable key: no need to derive a window of IDs to know the scheme.
        stable = slots_of(stream, tracks, one.scheme, [None], guarded=guarded)
        if any(stream.kid(slot) in kids for slot in stable):
            return grant(stream, gate, visitor, one, now, guarded=guarded)
    for one in classes:
        granted = grant(stream, gate, visitor, one, now, guarded=guarded)
        if any(stream.kid(slot) in kids for slot in granted.slots):
            return granted
    raise ContentKeyUnknownError("none of these key IDs belongs to what this session may have now")


def slots_of(
    stream: Stream, tracks: Sequence[TrackType], scheme: Scheme, periods: Sequence[int | None], *, guarded: bool = False
) -> tuple[KeySlot, ...]:
    """The slots of periods, in their order, as far as anybody gets their keys; without a DRM system, in clear."""
    slots = (stream.slot_of(track, scheme, period) for period in periods for track in tracks)
    return tuple(slot for slot in slots if (stream.terms_of(slot) is not None if guarded else stream.in_clear(slot)))


def tracks_of(stream: Stream, gate: Gate, visitor: Visitor, cls: ManifestClass) -> list[TrackType]:
    """The track types that a stream has, as far as is known, and a session may have in its class."""
    seen = stream.timeline.tracks
    # Muxed renditions carry audio that no manifest names.
    there = {TrackType.AUDIO, *seen} if seen else set(TrackType)
    return [
        track
        for track in TrackType
        if track in there and track.rank <= cls.ceiling.rank and not gate.may_have(visitor, track)
    ]
