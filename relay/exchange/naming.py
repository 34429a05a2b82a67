"""Crypto periods as key exchange names them: not at all, by index, or by start and end."""

from collections.abc import Iterator
from dataclasses import dataclass

from keys.errors import ExchangeError
from keys.exchange.model import KeyPeriod
from keys.periods import WHOLE, CryptoPeriod, Schedule

MAX_START = 2**52
"""In ms of stream time; XML and JSON lose no digit of it."""


@dataclass(frozen=True, slots=True)
class Periods:
    """The crypto periods of a stream: those it has ``live``, and those of a title that is ``finished`` from the start.

    An index counts the stream's rotation interval from stream time zero.
    """

    live: Schedule
    finished: Schedule

    @property
    def interval_ms(self) -> int:
        """The rotation interval; 0: none."""
        return self.live.policy.interval_ms

    def is_fixed(self, start: int) -> bool:
        """Whether a period is the only one of a title that does not rotate, which has no name."""
        return start == WHOLE and self.finished.period_at(WHOLE).end is None

    def following(self, start: int, count: int) -> Iterator[int]:
        """The starts of the next periods, ``count`` at most."""
        if self.is_fixed(start):
            return
        for _ in range(count):
            end = self.live.period_at(start).end
            if end is None:
                return
            start = end
            yield start

    def named(self, start: int, *, timed: bool) -> KeyPeriod | None:
        """The period that starts at ``start``, ``timed`` with start and end as well; None for a fixed one."""
        if self.is_fixed(start):
            return None
        interval = self.interval_ms
        # Off the grid (a scene's edge) there is no index. The start in ms is one that the grid reaches in centuries.
        index = start // interval if interval and start % interval == 0 else start
        if not timed:
            return KeyPeriod(f"period-{start}", index)
        return KeyPeriod(f"period-{start}", index, start=start, end=self.live.period_at(start).end)

    def start_of(self, period: KeyPeriod | None) -> int:
        """The start of a period as a document names it. Raises :class:`ExchangeError`."""
        if period is None:
            if not self.is_fixed(WHOLE):
                raise ExchangeError("this content rotates its keys: ask for a crypto period")
            return WHOLE
        if period.start is None:
            if period.index is None:
                raise ExchangeError("ContentKeyPeriod: has neither index nor start")
            return self.indexed(period.index, self.interval_ms)
        found = self.live.period_at(_checked(period.start))
        if found.start != period.start or period.end not in (None, found.end):
            raise ExchangeError("ContentKeyPeriod@start, @end: this content has no such crypto period")
        return found.start

    def indexed(self, index: int, interval_ms: int) -> int:
        """The start of crypto period ``index`` of so many ms. Raises :class:`ExchangeError` where there is none."""
        interval = self.interval_ms
        if interval_ms != interval:
            raise ExchangeError(f"crypto periods of {interval_ms} ms are asked for, this content has {interval} ms")
        if not interval:
            raise ExchangeError("this content does not rotate its keys: ask without crypto periods")
        start = _checked(index * interval)
        if self.live.period_at(start) != CryptoPeriod(start, start + interval):
            raise ExchangeError(f"crypto period {index} is cut by a boundary: ask by start and end")
        return start


def _checked(start: int) -> int:
    if not 0 <= start <= MAX_START:
        raise ExchangeError("crypto period: out of range")
    return start
