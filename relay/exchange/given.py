"""Keys that other packagers are given: those that licences give for the same key IDs.

The name of a stream is its content ID.
"""

from collections.abc import Mapping

from keys.errors import ExchangeError
from keys.exchange.provider import Wanted
from keys.material import ContentKey
from keys.model import Scheme, TrackType
from keys.periods import WHOLE
from relay.errors import KeyPendingError
from relay.streams import Stream

REACH = 64
"""Crypto periods ahead of the live edge whose keys are given where each costs something.

Packagers ask for ten at a time, some tens in advance.
"""


def wanted_key(streams: Mapping[str, Stream], wanted: Wanted, now: float) -> ContentKey:
    """A key that a CPIX document asks for. Raises what :func:`key_of` raises."""
    stream = streams.get(wanted.content_id)
    if stream is None:
        raise ExchangeError("Unknown CPIX@contentId")
    return key_of(stream, wanted.track, wanted.scheme, stream.periods.start_of(wanted.period), now)


def key_of(stream: Stream, track: TrackType | None, scheme: Scheme, start: int, now: float) -> ContentKey:
    """The key of a track type in the period that starts at ``start``; None is video of whichever size.

    It may draw a salt, which must be durable before the key is sent: await :meth:`relay.state.salts.Salts.settle`.
    Raises :class:`ExchangeError`, or :class:`KeyPendingError` if it is early.
    """
    if scheme not in stream.config.schemes:
        raise ExchangeError(f"Unsupported ContentKey@commonEncryptionScheme: {stream.name} is not offered as {scheme}")
    if start != WHOLE and (stream.config.rotation.salt or stream.config.key_server):
        _check_near(stream, start, now)
    return stream.content_key(stream.slot_of(track or stream.config.default_track, scheme, start))


def _check_near(stream: Stream, start: int, now: float) -> None:
    # Each such key is remembered, or asked of others: far ones would push out those that are in use.
    if not stream.timeline.known:
        raise KeyPendingError("the stream's timeline is not known yet")
    reach = REACH * stream.periods.interval_ms
    edge = stream.timeline.stream_now(now)
    if not edge - stream.config.window - reach <= start <= edge + reach:
        raise ExchangeError(f"{stream.name}: keys of so distant a crypto period are not given")
