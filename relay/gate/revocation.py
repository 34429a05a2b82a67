"""What is revoked. The set every request is checked against: exact, in memory, bounded by expiry.

It is a fold of *records*, each of which says of one target that it is revoked or restored. The record with the
highest ``order`` stands, and of two alike a revocation; two revocations alike make one that holds as early, as long
and as wide as either. So records may come in any order, twice or late, and the verdicts are the same. A restored
target keeps an entry, too: an older revocation that comes after it must not bring the target back.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush
from math import ceil, inf
from struct import Struct
from typing import NamedTuple, TypeVar

from relay.gate.networks import NetworkIndex, parse_network
from relay.gate.recent import RecentChanges
from relay.gate.table import FOR_EVER, ROWS, Table
from relay.gate.targets import Subject, Target, TargetType

_Item = TypeVar("_Item")
_KINDS = {
    TargetType.SESSION: 1,
    TargetType.ACCOUNT: 2,
    TargetType.DEVICE: 3,
    TargetType.TOKEN: 4,
    TargetType.WATERMARK: 5,
    TargetType.STREAM: 6,
    TargetType.NETWORK: 7,
    TargetType.ISSUER_KEY: 8,
    TargetType.SESSION_VERSION: 9,
    TargetType.ISSUED_BEFORE: 10,
}
"""As tables keep them, in snapshots too: never reused."""
_LIMITED = (TargetType.SESSION_VERSION, TargetType.ISSUED_BEFORE)
_REVOKED = 0x80
# Order, expiry in seconds, kind and whether revoked; where it applies, the limit.
_PLAIN, _WITH_LIMIT = Struct("<QIB"), Struct("<QIBQ")
_FLAGS_AT = 12
_SCHEDULED = Struct("<16sd")

_SWEPT_BY_APPLY, _SWEPT_BY_ADVANCE = 2, 32
"""Shelves, of 65,536. At 76 records each, all of them due, the latter take a millisecond."""
_SWEEP_EVERY_S = 1.0
_STEP = 1000
"""Scheduled revocations that one call takes over, and items in one piece of a dump."""


class Standing(NamedTuple):
    """What a record says of its target, or all of them together. Times are seconds since the epoch.

    ``effective_at`` 0 means at once; a restore always is. ``limit`` is that of the target.
    """

    order: int
    revoked: bool
    effective_at: float
    expires_at: float
    limit: int = 0


class RevocationSet:
    """Everything revoked, each until its expiry.

    ``version`` grows with every change of what stands, also when a scheduled revocation takes effect, so who was not
    covered at one version need not ask again before the next. From ``next_change`` on, :meth:`advance` is due.
    """

    def __init__(self) -> None:
        self.version = 0
        self.next_change = inf
        self._plain = Table(_PLAIN.size)
        self._limited = Table(_WITH_LIMIT.size)
        self._networks = NetworkIndex()
        # Revocations whose time has yet to come; the heap may hold times that no longer apply.
        self._scheduled: dict[bytes, float] = {}
        self._times: list[tuple[float, bytes]] = []
        self._tally = [0] * 256
        self._recent = RecentChanges()
        self._narrowed: deque[tuple[Target, Standing]] = deque(maxlen=_STEP)

    def __len__(self) -> int:
        """Revocations that stand, among them scheduled ones and those expired since the last sweep."""
        return sum(self._tally[_REVOKED:])

    def counts(self) -> dict[TargetType, int]:
        """The same by what they name."""
        return {kind: self._tally[_REVOKED | number] for kind, number in _KINDS.items()}

    @property
    def restored(self) -> int:
        """Entries kept for restored targets."""
        return sum(self._tally[:_REVOKED])

    @property
    def has_networks(self) -> bool:
        """Whether any network is revoked, and :meth:`covers_network` worth asking."""
        return bool(self._networks)

    def covers(self, subject: Subject, now: float) -> bool:
        """Whether a session is revoked: itself, or by its version or time of issue."""
        for digest, value in self._plain.found(subject.exact):
            if self._stands(digest, value, now):
                return True
        if not len(self._limited):
            return False
        for digest, value in self._limited.found(subject.versions):
            if self._stands(digest, value, now) and subject.version <= _WITH_LIMIT.unpack(value)[3]:
                return True
        for digest, value in self._limited.found(subject.cutoffs):
            if self._stands(digest, value, now) and subject.issued_at < _WITH_LIMIT.unpack(value)[3]:
                return True
        return False

    def changed(self, digests: Iterable[bytes], since: int) -> bool:
        """Whether a change after version ``since`` may concern a session with these digests."""
        return self._recent.touch(digests, since)

    def covers_network(self, address: str, asn: int, now: float) -> bool:
        """Whether a client's address or AS number (0: unknown) lies in a revoked network."""
        inside = self._networks.containing(address, asn)
        return any(self._stands(digest, value, now) for digest, value in self._plain.found(inside))

    def get(self, target: Target) -> Standing | None:
        """What stands for a target. The expiry is rounded up to a second; an effective time that has come is 0."""
        try:
            digest = _normal(target).digest()
        except ValueError:
            return None
        found = self._entry(digest, target.type)
        return found[1] if found else None

    def apply(self, target: Target, record: Standing, now: float) -> bool:
        """Fold a record in. Whether it changed what stands.

        A network that is none changes nothing. While old records are replayed ``now`` should be 0, lest one
        expires before an older one, which it overrides, has come.
        """
        kind = target.type
        if kind is TargetType.NETWORK:
            try:
                target = _normal(target)
            except ValueError:
                return False
        digest, standing = target.digest(), _clean(record, kind, now)
        self._sweep(now, _SWEPT_BY_APPLY)
        keep, found = int(standing.expires_at), self._entry(digest, kind)
        if found:
            # An entry outlives its own expiry if one that it overrode would have lived longer.
            keep, standing = max(keep, found[0]), _merged(found[1], standing)
            if (keep, standing) == found:
                return False
            if _is_narrower(standing, found[1]):
                self._narrowed.append((target, found[1]))
            self._tally[_flags(kind, found[1])] -= 1
        elif kind is TargetType.NETWORK:
            self._networks.add(digest, target.value)
        self._put(digest, kind, keep, standing)
        if standing.effective_at or digest in self._scheduled:
            self._schedule(digest, standing.effective_at)
        if now + _SWEEP_EVERY_S < self.next_change:
            self.next_change = now + _SWEEP_EVERY_S
        if found and standing == found[1]:
            return False
        self.version += 1
        self._recent.add(digest, self.version)
        return True

    def take_narrowed(self) -> list[tuple[Target, Standing]]:
        """What stood, of targets for which a newer revocation stands that holds later, shorter or for less."""
        narrowed = list(self._narrowed)
        self._narrowed.clear()
        return narrowed

    def advance(self, now: float, sweep: bool = True) -> list[bytes]:
        """Do what is due: a bounded number of steps. Returns the digests of targets whose revocation took effect.

        Without ``sweep`` nothing that has expired is forgotten.
        """
        effective: list[bytes] = []
        while self._times and self._times[0][0] <= now and len(effective) < _STEP:
            at, digest = heappop(self._times)
            if self._scheduled.get(digest) == at:
                del self._scheduled[digest]
                effective.append(digest)
        if effective:
            self.version += 1
            for digest in effective:
                self._recent.add(digest, self.version)
        if sweep:
            self._sweep(now, _SWEPT_BY_ADVANCE)
        sweep_at = now + _SWEEP_EVERY_S if len(self._plain) or len(self._limited) else inf
        self.next_change = min(sweep_at, self._times[0][0] if self._times else inf)
        return effective

    def dump(self) -> Iterator[bytes]:
        """Everything, in pieces for :meth:`load`, each made within a millisecond or so.

        Records may be folded in between. Each is in the pieces or may be missing; whoever loads them folds again
        every record that came after the first piece was asked for.
        """
        for tag, table in ((b"P", self._plain), (b"L", self._limited)):
            for row in range(ROWS):
                if entries := table.dump(row):
                    yield tag + bytes([row]) + entries
        for names in _in_steps(list(self._networks.names.values())):
            yield b"N" + "\n".join(names).encode()
        # Last, for an entry dumped before it was scheduled comes again, but never one said to be at once.
        for digests in _in_steps(list(self._scheduled)):
            times = ((digest, self._scheduled.get(digest)) for digest in digests)
            yield b"S" + b"".join(_SCHEDULED.pack(digest, at) for digest, at in times if at)

    def load(self, piece: bytes) -> None:
        """Take in a piece of a dump; before anything else is folded in. Raises ValueError for anything else."""
        tag, rest = piece[:1], piece[1:]
        if tag in (b"P", b"L") and rest:
            table = self._plain if tag == b"P" else self._limited
            table.load(rest[0], rest[1:])
            flags = table.column(rest[0], _FLAGS_AT)
            for value in set(flags):
                self._tally[value] += flags.count(value)
        elif tag == b"N":
            for name in rest.decode().split("\n"):
                self._networks.add(Target(TargetType.NETWORK, parse_network(name)).digest(), name)
        elif tag == b"S" and len(rest) % _SCHEDULED.size == 0:
            for digest, at in _SCHEDULED.iter_unpack(rest):
                self._schedule(digest, at)
        else:
            raise ValueError("no piece of a revocation set")
        self.version += 1
        self._recent.forget(self.version)
        self.next_change = 0.0

    def _stands(self, digest: bytes, value: bytes, now: float) -> bool:
        _, expires, flags = _PLAIN.unpack_from(value)
        return bool(flags & _REVOKED) and now < expires and self._scheduled.get(digest, 0.0) <= now

    def _entry(self, digest: bytes, kind: TargetType) -> tuple[int, Standing] | None:
        limited = kind in _LIMITED
        found = (self._limited if limited else self._plain).get(digest)
        if found is None:
            return None
        keep, value = found
        order, expires, flags = _PLAIN.unpack_from(value)
        limit = _WITH_LIMIT.unpack(value)[3] if limited else 0
        return keep, Standing(order, bool(flags & _REVOKED), self._scheduled.get(digest, 0.0), expires, limit)

    def _put(self, digest: bytes, kind: TargetType, keep: int, standing: Standing) -> None:
        order, _, _, expires, limit = standing
        flags = _flags(kind, standing)
        self._tally[flags] += 1
        if kind in _LIMITED:
            self._limited.put(digest, keep, _WITH_LIMIT.pack(order, int(expires), flags, limit))
        else:
            self._plain.put(digest, keep, _PLAIN.pack(order, int(expires), flags))

    def _schedule(self, digest: bytes, at: float) -> None:
        if not at:
            self._scheduled.pop(digest, None)
        elif self._scheduled.get(digest) != at:
            self._scheduled[digest] = at
            heappush(self._times, (at, digest))
            self.next_change = min(self.next_change, at)
            if len(self._times) > 2 * len(self._scheduled) + _STEP:
                self._times = [(at, digest) for digest, at in self._scheduled.items()]
                heapify(self._times)

    def _sweep(self, now: float, shelves: int) -> None:
        for table in (self._plain, self._limited):
            if not len(table):
                continue
            for digest, value in table.sweep(now, shelves):
                flags = value[_FLAGS_AT]
                self._tally[flags] -= 1
                self._scheduled.pop(digest, None)
                if flags & ~_REVOKED == _KINDS[TargetType.NETWORK]:
                    self._networks.discard(digest)


def _normal(target: Target) -> Target:
    return replace(target, value=parse_network(target.value)) if target.type is TargetType.NETWORK else target


def _clean(record: Standing, kind: TargetType, now: float) -> Standing:
    order, revoked, effective, expires, limit = record
    # What is no number must do no harm: it never expires, and is in force at once.
    expires = ceil(max(0.0, expires)) if expires < FOR_EVER else FOR_EVER
    effective = effective if revoked and effective > now else 0.0
    return Standing(order, revoked, effective, expires, limit if kind in _LIMITED else 0)


def _merged(one: Standing, other: Standing) -> Standing:
    if (one.order, one.revoked) != (other.order, other.revoked):
        return max(one, other, key=lambda standing: (standing.order, standing.revoked))
    return Standing(
        order=one.order,
        revoked=one.revoked,
        effective_at=min(one.effective_at, other.effective_at),
        expires_at=max(one.expires_at, other.expires_at),
        limit=max(one.limit, other.limit),
    )


def _flags(kind: TargetType, standing: Standing) -> int:
    return _KINDS[kind] | (_REVOKED if standing.revoked else 0)


def _is_narrower(standing: Standing, before: Standing) -> bool:
    return (
        standing.revoked
        and before.revoked
        and (
            standing.effective_at > before.effective_at
            or standing.expires_at < before.expires_at
            or standing.limit < before.limit
        )
    )


def _in_steps(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    return (items[start : start + _STEP] for start in range(0, len(items), _STEP))
