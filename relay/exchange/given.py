"""Keys that other packagers are given: those that licences give for the same key IDs.

``content_id`` is a stream's name. Keys that do not rotate are those of a finished title's only period; crypto periods
are named by index, the period's start divided by the stream's rotation interval, or by start and end.
"""

from collections.abc import Mapping

from keys.errors import ExchangeError
from keys.exchange.model import KeyPeriod
from keys.exchange.provider import Wanted
from keys.material import ContentKey
from keys.model import Scheme, TrackType
from keys.periods import WHOLE, CryptoPeriod
from relay.errors import KeyPendingError
from relay.streams import Stream

REACH = 64
"""Crypto periods ahead of the live edge whose keys are given where each costs something.

Packagers ask for ten at a time, some tens in advance.
"""
MAX_START = 2**52
"""In ms of stream time; XML and JSON lose no digit of it."""


def wanted_key(streams: Mapping[str, Stream], wanted: Wanted, now: float) -> ContentKey:
    """A key that a CPIX document asks for. Raises what :func:`key_of` and :func:`start_of` raise."""
    stream = streams.get(wanted.content_id)
    if stream is None:
        raise ExchangeError("Unknown CPIX@contentId")
    return key_of(stream, wanted.track, wanted.scheme, start_of(stream, wanted.period), now)


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


def start_of(stream: Stream, period: KeyPeriod | None) -> int:
    """The start (ms of stream time) of a period as a document names it. Raises :class:`ExchangeError`."""
    if period is None:
        return fixed(stream)
    if period.start is None:
        if period.index is None:
            raise ExchangeError("ContentKeyPeriod: has neither index nor start")
        return indexed(stream, period.index, stream.schedule.policy.interval_ms)
    found = stream.schedule.period_at(_checked(period.start))
    if found.start != period.start or period.end not in (None, found.end):
        raise ExchangeError(f"ContentKeyPeriod@start, @end: no crypto period of {stream.name}")
    return found.start


def fixed(stream: Stream) -> int:
    """The only period of a title that does not rotate. Raises :class:`ExchangeError` where it does."""
    if stream.schedule.for_vod().period_at(WHOLE).end is not None:
        raise ExchangeError(f"{stream.name} rotates its keys: ask for a crypto period")
    return WHOLE


def indexed(stream: Stream, index: int, interval_ms: int) -> int:
    """The start of crypto period ``index`` of so many ms. Raises :class:`ExchangeError` unless the stream has it so."""
    interval = stream.schedule.policy.interval_ms
    if interval_ms != interval:
        raise ExchangeError(f"{stream.name}: crypto periods of {interval_ms} ms are asked for, it has {interval} ms")
    if not interval:
        raise ExchangeError(f"{stream.name} does not rotate its keys: ask without crypto periods")
    start = _checked(index * interval)
    if stream.schedule.period_at(start) != CryptoPeriod(start, start + interval):
        raise ExchangeError(f"{stream.name}: crypto period {index} is cut by a boundary: ask by start and end")
    return start


def _checked(start: int) -> int:
    if not 0 <= start <= MAX_START:
        raise ExchangeError("crypto period: out of range")
    return start


def _check_near(stream: Stream, start: int, now: float) -> None:
    # Each such key is remembered, or asked of others: far ones would push out those that are in use.
    if not stream.timeline.known:
        raise KeyPendingError("the stream's timeline is not known yet")
    reach = REACH * stream.schedule.policy.interval_ms
    edge = stream.timeline.stream_now(now)
    if not edge - stream.config.window - reach <= start <= edge + reach:
        raise ExchangeError(f"{stream.name}: keys of so distant a crypto period are not given")
