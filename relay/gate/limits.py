"""Concurrent stream limits: who may hold a slot of a group. Pure; times are seconds since the epoch.

A *group* is what shares one limit: an account, or an account on one title. A session that is admitted holds a
*lease*, which lasts a while and is renewed by its segment requests, so a slot frees itself soon after a viewer
stops. A session that had to give way is *ended*: until its rest is over, its requests neither renew nor retake
anything; only entering anew does.

:mod:`relay.sessions.lease_store` decides the same for several nodes at once, and the same tests run on both.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from keys.encoding import encode_fields
from relay.model import LimitCount, LimitMode, LimitScope, Session, StreamLimit

REST_LEASES = 2
"""How many leases long an ended session is kept from coming back by mere requests."""
MIN_PREFIX = 8
"""Characters of a session id by which others are told of it, or more where that would name two."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A session asks for a slot, or for its own again.

    ``lease_s`` is how long it would hold it. ``entering`` says that the viewer has just begun, rather than asked for
    one more segment; ``terminate`` is the id, or the beginning of it, of a session to end first.
    ``since`` is when it was first admitted, for one that has been; 0 otherwise. ``issuer`` is the session's, and that
    of its whole group.
    """

    sid: str
    device: str
    stream: str
    limit: StreamLimit
    lease_s: float
    entering: bool = False
    terminate: str = ""
    since: float = 0.0
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class Admitted:
    """It holds a slot. ``stopped`` are the sessions to end for it, ``replaced`` those of its own device it follows."""

    since: float
    stopped: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Other:
    """A session that holds a slot, as the viewer who found none is told of it. ``session`` begins its id."""

    session: str
    device: str
    stream: str
    since: float


@dataclass(frozen=True, slots=True)
class Occupied:
    """No slot is free: those who hold them, longest first."""

    others: tuple[Other, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """The session had to give way to another and has not entered again."""


Outcome = Admitted | Occupied | Ended


def group_of(session: Session, stream: str, scope: LimitScope) -> bytes:
    """16 bytes that name the group in which a session counts."""
    title = (stream.encode(),) if scope is LimitScope.TITLE else ()
    return blake2b(encode_fields(session.issuer.encode(), session.account.encode(), *title), digest_size=16).digest()


def others_of(holders: Sequence[tuple[str, str, str, float]]) -> Occupied:
    """What to say of holders: (session id, device, stream, since). Ids are cut to what tells them apart."""
    sids = [holder[0] for holder in holders]
    return Occupied(tuple(Other(_shortest(sid, sids), device, stream, since) for sid, device, stream, since in holders))


def named_by(text: str, sids: Sequence[str]) -> str | None:
    """The one session id that is ``text`` or begins with it; None if there is none, or there are several."""
    if text in sids:
        return text
    found = [sid for sid in sids if sid.startswith(text)] if len(text) >= MIN_PREFIX else []
    return found[0] if len(found) == 1 else None


@dataclass(eq=False, slots=True)
class Lease:
    """A slot of a group, held by a session until ``until``; or, ``ended``, the note that it may not have one.

    ``limit`` and ``lease_s`` are what it was asked for with. ``renew_at`` is for the node that keeps it: when to
    see to it again.
    """

    sid: str
    device: str
    stream: str
    limit: StreamLimit
    lease_s: float
    since: float
    until: float
    group: "Group"
    renew_at: float = 0.0
    ended: bool = False


@dataclass(eq=False, slots=True)
class Group:
    """The leases of one group, longest held first. ``resting`` are ended sessions and until when.

    ``issuer`` is that of all its sessions.
    """

    key: bytes
    issuer: str = ""
    leases: list[Lease] = field(default_factory=list)
    resting: dict[str, float] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not self.leases and not self.resting

    def admit(self, ask: Ask, now: float) -> Outcome:
        """Give a session a slot, or renew its lease, or say why not."""
        self.expire(now)
        stopped = self._terminate(ask, now)
        if self.get(ask.sid) is None:
            if ask.sid in self.resting and not ask.entering:
                return Ended()
            way = _way_for(ask, self.leases)
            if way is None:
                return others_of([(each.sid, each.device, each.stream, each.since) for each in self.leases])
            for sid in (*way.replaced, *way.stopped):
                self.end(sid, now + REST_LEASES * ask.lease_s)
            way = replace(way, stopped=stopped + way.stopped)
        else:
            way = Way(stopped=stopped)
        lease = self.hold(ask, min(ask.since or now, now), now)
        return Admitted(lease.since, way.stopped, way.replaced)

    def hold(self, ask: Ask, since: float, now: float) -> Lease:
        """The lease of a session that is admitted, new or renewed."""
        self.resting.pop(ask.sid, None)
        lease = self.get(ask.sid)
        if lease is None:
            lease = Lease(ask.sid, ask.device, ask.stream, ask.limit, ask.lease_s, since, 0.0, self)
            insort(self.leases, lease, key=_since)
        lease.stream, lease.limit, lease.lease_s = ask.stream, ask.limit, ask.lease_s
        lease.until = now + ask.lease_s
        return lease

    def get(self, sid: str) -> Lease | None:
        """The lease of a session, if it holds one."""
        for lease in self.leases:
            if lease.sid == sid:
                return lease
        return None

    def end(self, sid: str, rest_until: float) -> None:
        """Take a session's slot, and keep it from coming back by mere requests until its rest is over."""
        self.drop(sid)
        self.resting[sid] = max(rest_until, self.resting.get(sid, 0.0))

    def drop(self, sid: str) -> None:
        """Forget a session's lease."""
        self.leases = [lease for lease in self.leases if lease.sid != sid]

    def expire(self, now: float) -> None:
        """Forget leases and rests that are over."""
        self.leases = [lease for lease in self.leases if lease.until > now]
        if self.resting:
            self.resting = {sid: until for sid, until in self.resting.items() if until > now}

    def _terminate(self, ask: Ask, now: float) -> tuple[str, ...]:
        if ask.limit.mode is not LimitMode.ASK or not ask.terminate:
            return ()
        sid = named_by(ask.terminate, [lease.sid for lease in self.leases if lease.sid != ask.sid])
        if sid is None:
            return ()
        self.end(sid, now + REST_LEASES * ask.lease_s)
        return (sid,)


@dataclass(frozen=True, slots=True)
class Way:
    """Who goes for a session to have a slot: others that are ``stopped``, and those of its own device."""

    stopped: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()


def _way_for(ask: Ask, leases: Sequence[Lease]) -> Way | None:
    """How a session can have a slot; None where it may not. ``leases`` are the others', longest held first."""
    limit = ask.limit
    by_device = limit.count is LimitCount.DEVICES
    slots: dict[tuple[bool, str], list[Lease]] = {}
    for lease in leases:
        named = by_device and lease.device != ""
        slots.setdefault((named, lease.device if named else lease.sid), []).append(lease)
    excess = len(slots) + 1 - limit.most
    if excess <= 0 or (by_device and (True, ask.device) in slots):
        return Way()
    # Zapping and reconnecting: what this device has left is what it has renewed least lately.
    own = sorted((each for each in leases if ask.device and each.device == ask.device), key=_until)
    if len(own) >= excess:
        return Way(replaced=tuple(each.sid for each in own[:excess]))
    if limit.mode is LimitMode.STOP_OLDEST:
        return Way(stopped=tuple(each.sid for slot in list(slots.values())[:excess] for each in slot))
    return None


def _since(lease: Lease) -> float:
    return lease.since


def _until(lease: Lease) -> float:
    return lease.until


def _shortest(sid: str, sids: Sequence[str]) -> str:
    length = MIN_PREFIX
    while length < len(sid) and sum(each.startswith(sid[:length]) for each in sids) > 1:
        length += 1
    return sid[:length]
