"""Which positions a session was served, and when: folded as they come, a few intervals a session. Pure.

That is what turns a code found in a leak into a viewer *and a time*. Playing on, retries and segments out of order are
one interval; a seek or a pause begins another. Times are seconds since the epoch.
"""

from collections.abc import Iterable
from itertools import pairwise
from math import inf
from typing import Final, Protocol

from msgspec import Struct

from relay.model import Session

MAX_INTERVALS = 64
PAUSE_S = 30.0
"""Longer without a segment, and what follows is another interval: time would not be in proportion to position."""
REACH = 8
"""So far behind its newest position an interval takes one once more: retries, and other renditions of it."""
_RECENT = 4
BLOCK: Final = 128
"""Positions whose bits are made at a time."""


class Interval(Struct, frozen=True, array_like=True):
    """Positions ``first`` to ``last``, all served between ``since`` and ``until``.

    Not ``marked``: the code did not choose their variants, so that nobody is told by them; with negative positions it
    is not known which they were. Not ``exact``: several intervals were made one, so that some of it may never have been
    served.
    """

    first: int
    last: int
    since: float
    until: float
    marked: bool = True
    exact: bool = True

    def meets(self, first: int, last: int) -> bool:
        """Whether it holds any of these positions, or may."""
        return self.first <= last and first <= self.last

    def when(self, position: int) -> float:
        """About when one of its positions was served: in proportion, for they are served as they are played."""
        share = (position - self.first) / (self.last - self.first) if self.last > self.first else 0.0
        return self.since + (self.until - self.since) * share


class Served:
    """The positions that one session was served, in at most :data:`MAX_INTERVALS` intervals by their beginning."""

    __slots__ = ("_first", "_last", "_marked", "_older", "_since", "_until")

    def __init__(self) -> None:
        self._older: list[Interval] = []
        # The newest interval lies open, in fields of its own: to grow it is all that most segments do.
        self._first, self._last, self._marked = 0, -1, True
        self._since = self._until = -inf

    def note(self, position: int, marked: bool, now: float) -> None:
        """Take in that a position was served."""
        last = self._last
        if (
            last - REACH <= position <= last + 1
            and position >= self._first
            and marked is self._marked
            and now - self._until <= PAUSE_S
        ):
            self._until = now
            if position > last:
                self._last = position
            return
        self._note_apart(Interval(position, position, now, now, marked))

    def intervals(self) -> list[Interval]:
        """All of them, by when they began."""
        return sorted([*self._older, *self._open()], key=lambda one: one.since)

    def _open(self) -> list[Interval]:
        if self._last < self._first:
            return []
        return [Interval(self._first, self._last, self._since, self._until, self._marked)]

    def _note_apart(self, new: Interval) -> None:
        """It is not next to the newest; but segments come side by side, so it may be next to some just before."""
        self._older += self._open()
        lately, self._older = self._older[-_RECENT:], self._older[:-_RECENT]
        for one in reversed(lately):
            if _is_next_to(one, new):
                lately.remove(one)
                first, last = min(one.first, new.first), max(one.last, new.last)
                new = Interval(first, last, min(one.since, new.since), new.until, new.marked)
        self._older = bounded([*self._older, *lately], MAX_INTERVALS - 1)
        self._first, self._last, self._since, self._until, self._marked = (
            new.first,
            new.last,
            new.since,
            new.until,
            new.marked,
        )


def _is_next_to(one: Interval, new: Interval) -> bool:
    """Whether ``new`` goes on with an interval of a moment ago."""
    return (
        one.exact
        and one.marked is new.marked
        and (one.first < 0) is (new.first < 0)
        and one.first - 1 <= new.last
        and new.first <= one.last + 1
        and one.last - new.last <= REACH
        and new.until - one.until <= PAUSE_S
    )


class Code(Protocol):
    """What is needed of :class:`relay.watermark.code.AssetCode`."""

    def block(self, number: int, index: int, /) -> int:
        """The bits of :data:`BLOCK` positions, the first one highest."""


class Viewing:
    """One session on one asset: the number of its bits, and what it is served. ``until`` is when it last was.

    ``dirty`` says that some of it is not put down yet, ``held`` that it will be without being asked for.
    """

    __slots__ = (
        "_bits",
        "_block",
        "_code",
        "asset",
        "dirty",
        "held",
        "number",
        "row",
        "served",
        "session",
        "stream",
        "until",
    )

    def __init__(self, session: Session, stream: str, asset: str, number: int, row: int) -> None:
        self.session = session
        self.stream = stream
        self.asset = asset
        self.number = number
        self.served = Served()
        self.row = row
        self.until = 0.0
        self.dirty = False
        self.held = True
        self._code: Code | None = None
        self._block, self._bits = -1, 0

    def bit(self, code: Code, position: int) -> int:
        """The variant that the code has for the session there: 0 for a, 1 for b. ``position`` is not negative."""
        block = position // BLOCK
        if block != self._block or code is not self._code:
            # Who plays on asks for the same block so many times over.
            self._bits, self._block, self._code = code.block(self.number, block), block, code
        return self._bits >> (~position % BLOCK) & 1

    def note(self, position: int, marked: bool, now: float) -> None:
        """Take in that a position was served."""
        self.served.note(position, marked, now)
        self.until = now
        self.dirty = True


def bounded(intervals: Iterable[Interval], most: int) -> list[Interval]:
    """At most so many intervals that hold all of these: the nearest become one, which is then not exact."""
    kept = list(intervals)
    while len(kept) > most:
        costs = [(_added(one, two), at) for at, (one, two) in enumerate(pairwise(kept))]
        _, at = min(costs)
        kept[at : at + 2] = [_hull(kept[at], kept[at + 1])]
    return kept


def _added(one: Interval, two: Interval) -> tuple[bool, int, float]:
    """What joining two costs: one that is not marked hides what is, then positions that were not served, then time."""
    hull = max(one.last, two.last) - min(one.first, two.first) + 1
    return one.marked is not two.marked, hull - (one.last - one.first) - (two.last - two.first), two.since - one.until


def _hull(one: Interval, two: Interval) -> Interval:
    return Interval(
        min(one.first, two.first),
        max(one.last, two.last),
        min(one.since, two.since),
        max(one.until, two.until),
        one.marked or two.marked,
        exact=False,
    )
