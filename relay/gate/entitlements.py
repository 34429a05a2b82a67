"""What accounts were sold, as the gate asks for it. Pure.

An index of names by account: what a name stands for is read when somebody of that account asks, and not again before
something of his account has changed or ended. Where a stream asks for no entitlement, nothing is looked up at all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from heapq import heappop, heappush
from math import inf
from sys import maxsize

from keys.encoding import encode_fields
from keys.model import TrackType
from relay.gate.turns import Turns

RECENT = 8192
"""Accounts whose last change is remembered, so that the others need not be looked up for it."""


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What one purchase entitles an account to: streams, up to a best track type, over a time.

    Times are seconds since the epoch; ``ends_at`` is the first moment at which it no longer holds.
    """

    issuer: str
    account: str
    streams: tuple[str, ...]
    ceiling: TrackType
    begins_at: float
    ends_at: float


@dataclass(frozen=True, slots=True)
class Held:
    """What all entitlements of an account to a stream come to now. ``until``: nothing of it changes before, by time."""

    ceiling: TrackType
    until: float


Read = Callable[[str, float], Entitlement | None]
"""What stands under a name at a time (s); None for what was taken back, is over, or is not known."""
IsReturned = Callable[[str, float], bool]
"""Whether the purchase of a name was taken back."""


class Entitlements:
    """The entitlements of all accounts that this node knows of.

    ``version`` grows with every change, so who was cleared at one version need not ask again before the next;
    ``is_sure`` says whether what is not known here cannot have been sold elsewhere either.
    """

    def __init__(
        self,
        read: Read = lambda name, now: None,
        is_returned: IsReturned = lambda purchase, now: False,
        is_sure: Callable[[], bool] = lambda: True,
    ) -> None:
        self.version = 0
        self.is_sure = is_sure
        self.is_returned = is_returned
        self._read = read
        # Most accounts have one: a text takes less than a tuple with it.
        self._names: dict[bytes, str | tuple[str, ...]] = {}
        self._changed: dict[bytes, int] = {}
        self._since = 0
        self._turns: Turns[bytes] = Turns(maxsize)
        self._lapses: list[int] = []
        self._awaited: set[int] = set()

    def __len__(self) -> int:
        """Accounts that have or lately had any."""
        return len(self._names)

    def add(self, issuer: str, account: str, name: str, is_kept: Callable[[str], bool]) -> None:
        """An entitlement of this name is an account's, or has changed. ``is_kept`` tells of names still in use."""
        holder = holder_of(issuer, account)
        known = self._names.get(holder)
        if known is None:
            self._names[holder] = name
            for one in self._turns.add(holder, lambda each: not any(map(is_kept, _all(self._names[each])))):
                del self._names[one]
        elif name not in (others := _all(known)):
            self._names[holder] = (*filter(is_kept, others), name)
        self.touch(issuer, account)

    def touch(self, issuer: str, account: str) -> None:
        """Something of an account has changed."""
        self.version += 1
        holder = holder_of(issuer, account)
        self._changed.pop(holder, None)
        self._changed[holder] = self.version
        if len(self._changed) > RECENT:
            self._since = self._changed.pop(next(iter(self._changed)))

    def reconsider(self) -> None:
        """Everyone has to ask anew."""
        self.version += 1
        self._changed, self._since = {}, self.version

    def changed(self, holder: bytes, since: int) -> bool:
        """Whether a change after version ``since`` may concern an account."""
        return since < self._since or self._changed.get(holder, 0) > since

    def names_of(self, issuer: str, account: str) -> tuple[str, ...]:
        """The names of all that an account was sold, what is over included while it is kept."""
        return _all(self._names.get(holder_of(issuer, account), ()))

    def held(self, holder: bytes, issuer: str, account: str, stream: str, now: float) -> Held | None:
        """What an account may have of a stream now; None for nothing."""
        ceiling, until = None, inf
        for one in self._standing(holder, issuer, account, stream, now):
            if now < one.begins_at:
                until = min(until, one.begins_at)
                continue
            until = min(until, one.ends_at)
            if ceiling is None or one.ceiling.rank > ceiling.rank:
                ceiling = one.ceiling
        return None if ceiling is None else Held(ceiling, until)

    def await_lapse(self, until: float) -> None:
        """Somebody relies on what ends then."""
        second = int(min(until, maxsize))
        if second not in self._awaited and until < inf:
            self._awaited.add(second)
            heappush(self._lapses, second)

    def lapsed(self, now: float) -> bool:
        """Whether since the last call anything has ended that somebody relied on."""
        found = False
        # A whole second later: what ends within a second waits under its beginning.
        while self._lapses and self._lapses[0] + 1 <= now:
            self._awaited.discard(heappop(self._lapses))
            found = True
        return found

    def _standing(self, holder: bytes, issuer: str, account: str, stream: str, now: float) -> Iterator[Entitlement]:
        for name in _all(self._names.get(holder, ())):
            one = self._read(name, now)
            # A name may have come to mean another's: only what is read counts.
            if one and (one.issuer, one.account) == (issuer, account) and stream in one.streams:
                yield one


@lru_cache(maxsize=4096)
def holder_of(issuer: str, account: str) -> bytes:
    """16 bytes that stand for an account of an issuer."""
    return blake2b(encode_fields(b"holder", issuer.encode(), account.encode()), digest_size=16).digest()


def _all(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names
