"""What is known of sessions besides their own pass: what was licensed to each last, what it was refused, where it was.

It is for operators, decides nothing, and holds no key, token or challenge. A node remembers so many sessions; where
nodes share a store, each also finds there what the others have put down.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from keys.model import Security, TrackType
from relay.broadcast import Broadcast
from relay.gate.turns import Turns
from relay.model import Session
from relay.verdict import Reason

MAX_SESSIONS = 100_000
KEPT_S = 3600.0
"""How long a session is remembered after its end."""


class StoreAwayError(Exception):
    """The shared records could not be read in time."""


class _Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of a session, what happened last of one kind, ``at`` seconds since the epoch, on a node."""

    session: Session
    at: float
    node: str


class Begun(_Record, frozen=True, tag="begun", kw_only=True):
    """It was issued here, not entered with a platform's token."""


class Seen(_Record, frozen=True, tag="seen", kw_only=True):
    """It asked for something of a stream."""

    stream: str


class Licensed(_Record, frozen=True, tag="licensed", kw_only=True):
    """A new licence. Times are seconds since the epoch, 0: none.

    ``device_level`` is what its DRM proves of the device, ``key_level`` the most that any of its keys asks for; None
    for Clear Key, which keeps no terms. ``device`` is the hex digest of the device. ``newest`` is the start, in ms of
    stream time, of the latest crypto period whose key was told.
    """

    stream: str
    system: str
    expires_at: float
    renew_by: float = 0.0
    device_level: Security | None = None
    key_level: Security | None = None
    tracks: tuple[TrackType, ...] = ()
    device: str = ""
    model: str = ""
    scene: str = ""
    newest: int | None = None


class Renewed(_Record, frozen=True, tag="renewed", kw_only=True):
    """A licence that it had was renewed. Times are as in :class:`Licensed`."""

    stream: str
    system: str
    expires_at: float
    renew_by: float = 0.0


class Refused(_Record, frozen=True, tag="refused", kw_only=True):
    """It asked for a licence in vain."""

    stream: str
    reason: Reason


Record = Begun | Seen | Licensed | Renewed | Refused
KINDS: tuple[type[Record], ...] = (Begun, Seen, Licensed, Renewed, Refused)
R = TypeVar("R", Begun, Seen, Licensed, Renewed, Refused)


class Known:
    """All that is known of one session: the latest record of each kind."""

    __slots__ = ("_latest", "until")

    def __init__(self) -> None:
        self._latest: dict[type[Record], Record] = {}
        self.until = 0.0

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self._latest)

    def add(self, record: Record) -> None:
        """Take a record in, if it is later than that of its kind."""
        before = self._latest.get(type(record))
        if before is None or before.at <= record.at:
            self._latest[type(record)] = record
            self.until = max(self.until, record.session.expires_at + KEPT_S)

    def get(self, kind: type[R]) -> R | None:
        """The latest record of a kind."""
        found = self._latest.get(kind)
        return found if isinstance(found, kind) else None

    @property
    def records(self) -> Iterable[Record]:
        """All of them."""
        return self._latest.values()

    @property
    def latest(self) -> Record:
        """The one that was put down last. There must be one."""
        return max(self._latest.values(), key=lambda record: record.at)


class Store(Protocol):
    """Records that several nodes share."""

    def put(self, record: Record, until: float) -> None:
        """Put a record down a moment later; never waits, never fails."""

    async def read(self, names: Collection[tuple[str, str]]) -> list[Record]:
        """Every record of sessions, named by issuer and session id. Raises :class:`StoreAwayError`."""

    async def close(self) -> None:
        """Put down what waits, and let go of the store."""


class SessionRecords:
    """The records of one node, of at most ``limit`` sessions. ``clock`` gives seconds since the epoch.

    ``refused`` tells of every licence that was refused.
    """

    def __init__(self, clock: Callable[[], float], store: Store | None = None, limit: int = MAX_SESSIONS) -> None:
        self.refused: Broadcast[Refused] = Broadcast()
        self._clock = clock
        self._store = store
        # By issuer, too: nothing keeps two platforms from giving one session id each.
        self._sessions: dict[tuple[str, str], Known] = {}
        self._turns: Turns[tuple[str, str]] = Turns(limit)

    def __len__(self) -> int:
        """How many sessions are remembered."""
        return len(self._sessions)

    @property
    def shared(self) -> bool:
        """Whether other nodes find what is put down here."""
        return self._store is not None

    def note(self, record: Record) -> None:
        """Put something down."""
        name = record.session.issuer, record.session.sid
        known = self._sessions.get(name)
        if known is not None:
            known.add(record)
        else:
            known = self._sessions[name] = Known()
            known.add(record)
            now = self._clock()
            for gone in self._turns.add(name, lambda each: self._sessions[each].until <= now):
                del self._sessions[gone]
        self.tell(record)
        if isinstance(record, Refused):
            self.refused.send(record)

    def tell(self, record: Record) -> None:
        """Put down for the other nodes alone what this one knows anyway."""
        if self._store is not None:
            self._store.put(record, record.session.expires_at + KEPT_S)

    def here(self, sid: str, issuers: Iterable[str]) -> list[Known]:
        """What this node knows of sessions with an id."""
        return [known for issuer in issuers if (known := self._sessions.get((issuer, sid)))]

    async def find(self, sid: str, issuers: Collection[str]) -> list[Known]:
        """What any node knows of sessions with an id. Raises :class:`StoreAwayError`."""
        if self._store is None:
            return self.here(sid, issuers)
        found: dict[str, Known] = {}
        told = await self._store.read([(issuer, sid) for issuer in issuers])
        for record in (*told, *(record for known in self.here(sid, issuers) for record in known.records)):
            found.setdefault(record.session.issuer, Known()).add(record)
        return list(found.values())

    async def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            await self._store.close()


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """A record as it is kept elsewhere."""
    return _encoder.encode(record)


def decode_record(data: bytes) -> Record:
    """What :func:`encode_record` wrote. Raises ValueError."""
    return _decoder.decode(data)
