"""Named lists of revoked sessions, in the manner of Akamai's Access Revocation API, kept as plain revocations.

Who is on a list says the record of the session, in its ``sources``; a list itself is a record of a session id that
no session can have. So lists are as durable as revocations are, and every node has them. Who is on which list is
read from the journal when it is first asked for, and from then on only what is new.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from relay.gate.targets import Target, TargetType
from relay.sessions.revocations import Order
from relay.state.events import Action, Revocation
from relay.state.journal import Journal

MAX_LISTS = 10
MAX_IDENTIFIERS = 50_000
MIN_DURATION_S = 1800
LIST_LIFETIME_S = 10 * 366 * 86_400
_PAGE = 200
"""Events read at once: well under a millisecond, of which a million may come at the first call."""
_MARK = "taas:"
_LIST = "taas-list:"


@dataclass(frozen=True, slots=True)
class RevocationList:
    """One list. ``created_at`` is in seconds since the epoch."""

    id: int
    name: str
    contract: str
    created_by: str
    created_at: float


@dataclass(slots=True)
class _Entry:
    order: int
    expires_at: float
    lists: frozenset[int]


def order_of_list(number: int, name: str, contract: str, now: float) -> Order:
    """The order that makes or renames a list."""
    return Order(_list_target(number), reason=name, detail=contract, expires_at=now + LIST_LIFETIME_S)


def order_to_delete(number: int) -> Order:
    """The order that ends a list."""
    return Order(_list_target(number), Action.RESTORE)


def _list_target(number: int) -> Target:
    return Target(TargetType.SESSION, f"{_LIST}{number}")


class Lists:
    """The lists as the journal had them when last refreshed.

    ``changing`` is held from reading what a change depends on until it is made.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.changing = asyncio.Lock()
        self._refreshing = asyncio.Lock()
        self._position = 0
        self._lists: dict[int, tuple[int, RevocationList | None]] = {}
        self._entries: dict[str, _Entry] = {}

    async def refresh(self, now: float) -> None:
        """Take in what is new in the journal. Raises :class:`relay.errors.JournalError`."""
        async with self._refreshing:
            while page := await asyncio.to_thread(self._journal.after, self._position, _PAGE):
                for position, event in page:
                    if isinstance(event, Revocation) and event.type is TargetType.SESSION:
                        self._take(event, now)
                    self._position = position
            gone = [value for value, entry in self._entries.items() if entry.expires_at <= now]
            for value in gone:
                del self._entries[value]

    def all(self) -> list[RevocationList]:
        """Every list, by its number."""
        return [found for _, (_, found) in sorted(self._lists.items()) if found is not None]

    def get(self, number: int) -> RevocationList | None:
        """One list."""
        return self._lists.get(number, (0, None))[1]

    def free(self) -> int | None:
        """A number for a new list, never used before; None where there may be no more lists."""
        if len(self.all()) >= MAX_LISTS:
            return None
        return max(self._lists, default=0) + 1

    def on(self, number: int) -> Mapping[str, float]:
        """The sessions on a list, and until when."""
        return {value: entry.expires_at for value, entry in self._entries.items() if number in entry.lists}

    def orders_to_add(self, number: int, until: Mapping[str, float], reason: str) -> list[Order]:
        """The orders that put sessions on a list until the times given; on other lists they stay."""
        return [
            Order(
                Target(TargetType.SESSION, value),
                reason=reason,
                expires_at=expires_at,
                sources=_sources(self._lists_of(value) | {number}),
            )
            for value, expires_at in until.items()
        ]

    def orders_to_remove(self, number: int, values: Iterable[str]) -> list[Order]:
        """The orders that take sessions off a list: those on no other are restored. Of others nothing comes."""
        orders = []
        for value in dict.fromkeys(values):
            lists = self._lists_of(value)
            if number not in lists:
                continue
            target, left = Target(TargetType.SESSION, value), lists - {number}
            if left:
                orders.append(Order(target, expires_at=self._entries[value].expires_at, sources=_sources(left)))
            else:
                orders.append(Order(target, Action.RESTORE))
        return orders

    def _lists_of(self, value: str) -> frozenset[int]:
        entry = self._entries.get(value)
        return entry.lists if entry else frozenset()

    def _take(self, event: Revocation, now: float) -> None:
        revoked = event.action is Action.REVOKE and event.expires_at > now
        if event.value.startswith(_LIST):
            self._take_list(event, revoked)
            return
        lists = frozenset(map(_number, event.sources)) - {0} if revoked else frozenset()
        known = self._entries.get(event.value)
        if known is None and not lists:
            return
        if known is None or event.order >= known.order:
            self._entries[event.value] = _Entry(event.order, event.expires_at if revoked else now, lists)

    def _take_list(self, event: Revocation, revoked: bool) -> None:
        number = _digits(event.value.removeprefix(_LIST))
        order, before = self._lists.get(number, (-1, None))
        if not number or event.order < order:
            return
        found = RevocationList(number, event.reason, event.detail, event.actor, event.created_at) if revoked else None
        if found and before:
            # Renamed: it is as old as it was.
            found = RevocationList(number, found.name, found.contract, before.created_by, before.created_at)
        self._lists[number] = event.order, found


def _sources(lists: frozenset[int]) -> tuple[str, ...]:
    return tuple(f"{_MARK}{number}" for number in sorted(lists))


def _number(source: str) -> int:
    return _digits(source.removeprefix(_MARK)) if source.startswith(_MARK) else 0


def _digits(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else 0
