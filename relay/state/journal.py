"""The journal: this node's durable record of control events, of its own and of other nodes.

When :meth:`Journal.append` returns, its events survive a power cut: an acknowledged revocation is never lost. What
was being appended at that moment is there whole or not at all. An event is kept for a day after its expiry.

Beside the events lie a few values of the node, the audit log, and answers to requests that clients may repeat.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from math import ceil
from pathlib import Path
from typing import NamedTuple

from keys.encoding import encode_fields
from relay.errors import ConfigError, JournalError
from relay.gate.targets import Target
from relay.state.database import Database, insert_rows
from relay.state.events import DocumentPut, Event, Revocation, SaltDrawn, decode_event, encode_event
from relay.state.state import MAX_SALTS
from relay.state.vector import Vector

KEPT_AFTER_EXPIRY_S = 24 * 3600
MAX_ANSWERS = 10_000
MAX_AUDIT = 1_000_000
"""Audit entries kept; past them the oldest go."""
_NEVER = 2**63 - 1
_MAX_DIGITS = 16
_START = (-1, -1)
_SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE origin (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, whole INTEGER NOT NULL);
CREATE TABLE event (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    origin INTEGER NOT NULL, seq INTEGER NOT NULL,
    digest BLOB NOT NULL, stamp INTEGER NOT NULL, expires INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX event_name ON event (origin, seq);
CREATE INDEX event_digest ON event (digest);
CREATE INDEX event_expires ON event (expires);
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE audit (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, effect TEXT NOT NULL
);
CREATE TABLE answer (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE, request BLOB NOT NULL, body BLOB NOT NULL, at REAL NOT NULL
);
"""
_EVENT = "INTO event (origin, seq, digest, stamp, expires, body)"
_UNLESS_THERE = "ON CONFLICT (origin, seq) DO NOTHING"
_OF_ORIGIN = "SELECT position, body FROM event WHERE origin = ? AND seq BETWEEN ? AND ? ORDER BY seq"
_AUDIT = "SELECT at, who, what, effect, position FROM audit WHERE position > ? ORDER BY position LIMIT ?"
_DROP_SALT = """
DELETE FROM event WHERE position =
    (SELECT position FROM event WHERE digest = ? ORDER BY position DESC LIMIT 1 OFFSET ?)
"""
_DROP_OVERRULED = """
DELETE FROM event WHERE digest = ? AND stamp < (SELECT max(stamp) FROM event WHERE digest = ?)
"""
# An event that has expired still matters while it alone overrides an older one of its target that has not.
_NEEDLESS = """
SELECT position, expires,
    EXISTS (SELECT 1 FROM event newer WHERE newer.digest = event.digest AND newer.stamp > event.stamp)
    OR NOT EXISTS (
        SELECT 1 FROM event older WHERE older.digest = event.digest AND older.stamp < event.stamp AND older.expires >= ?
    )
FROM event WHERE expires < ? AND (expires, position) > (?, ?) ORDER BY expires, position LIMIT ?
"""


class Stored(NamedTuple):
    """An event and its position: this journal's own numbering, by arrival, which only grows."""

    position: int
    event: Event


class AuditEntry(NamedTuple):
    """Who did what, when (seconds since the epoch), to what effect. ``position`` is given by the journal."""

    at: float
    who: str
    what: str
    effect: str
    position: int = 0


class Answer(NamedTuple):
    """What was answered to a request, of which ``request`` is a digest."""

    request: bytes
    body: bytes
    at: float


class Journal:
    """Events by position, by name (origin and number) and by target. Any thread may call; calls take turns.

    Reading and writing raise :class:`JournalError`; opening and :meth:`replay` raise :class:`ConfigError`.
    ``path`` may be :data:`relay.state.database.MEMORY`, for a node that keeps nothing.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._db = Database(path, _SCHEMA_VERSION, _SCHEMA)
        self._origins: dict[str, int] = {}
        self._vector = Vector()
        for number, name, whole in self._db.read("SELECT id, name, whole FROM origin ORDER BY id"):
            self._origins[name] = number
            self._vector.add(name, 1, whole)
            for (seq,) in self._db.read("SELECT seq FROM event WHERE origin = ? AND seq > ?", number, whole):
                self._vector.add(name, seq, seq)
        self._compacted = _START
        self._appending = threading.Lock()

    def append(self, events: Sequence[Event]) -> None:
        """Make events durable, all or none. One that is there already is left as it is."""
        by_origin: dict[str, set[int]] = {}
        for event in events:
            by_origin.setdefault(event.origin, set()).add(event.seq)
        with self._appending:
            numbers, wholes = dict(self._origins), {name: self._whole_with(name, by_origin[name]) for name in by_origin}
            with self._db.write() as db:
                for name, whole in wholes.items():
                    if name not in numbers:
                        numbers[name] = len(numbers) + 1
                    db.execute("INSERT OR REPLACE INTO origin VALUES (?, ?, ?)", (numbers[name], name, whole))
                # Made as they are needed, for a long stretch of this holds up the event loop.
                insert_rows(db, _EVENT, ((numbers[event.origin], *_columns(event)) for event in events), _UNLESS_THERE)
                for event in events:
                    if isinstance(event, SaltDrawn):
                        db.execute(_DROP_SALT, (_digest(event), MAX_SALTS))
                    elif isinstance(event, DocumentPut):
                        db.execute(_DROP_OVERRULED, (_digest(event), _digest(event)))
            self._origins = numbers
            for event in events:
                self._vector.add(event.origin, event.seq, event.seq)

    def replay(self, after: Mapping[str, int] | None = None) -> Iterator[Event]:
        """Every event whose number is above its origin's in ``after``; each origin's in order.

        Raises :class:`ConfigError` for a damaged file, and for a row that is no event.
        """
        after = after or {}
        for name, number in self._origins.items():
            for position, body in self._db.stream(_OF_ORIGIN, (number, after.get(name, 0) + 1, _NEVER)):
                try:
                    yield decode_event(body)
                except (ValueError, TypeError) as err:
                    raise ConfigError(
                        f"{self._path}: event {position}: {err}. Restore the file or move it away."
                    ) from None

    def vector(self) -> dict[str, int]:
        """By origin, the number up to which every event has been written, whether or not it is still kept."""
        return self._vector.extent.whole

    def of(self, origin: str, first: int, last: int) -> list[Event]:
        """The events of an origin with numbers from ``first`` to ``last``, in order: those still kept."""
        rows = self._db.read(_OF_ORIGIN, self._origins.get(origin, 0), first, last)
        return [self._decoded(*row).event for row in rows]

    def find(self, name: str) -> Stored | None:
        """An event by its public name, :attr:`relay.state.events.Revocation.id`."""
        origin, _, seq = name.partition("-")
        if not (seq.isascii() and seq.isdecimal() and len(seq) <= _MAX_DIGITS):
            return None
        rows = self._db.read(_OF_ORIGIN, self._origins.get(origin, 0), int(seq), int(seq))
        return self._decoded(*rows[0]) if rows else None

    def about(self, target: Target, limit: int, before: int = _NEVER) -> list[Stored]:
        """What was recorded of a target, newest arrival first, below position ``before``."""
        rows = self._db.read(
            "SELECT position, body FROM event WHERE digest = ? AND position < ? ORDER BY position DESC LIMIT ?",
            target.digest(), before, limit,
        )  # fmt: skip
        return [self._decoded(*row) for row in rows]

    def newest(self, limit: int, before: int = _NEVER) -> list[Stored]:
        """A page of everything, newest arrival first, below position ``before``."""
        rows = self._db.read(
            "SELECT position, body FROM event WHERE position < ? ORDER BY position DESC LIMIT ?", before, limit
        )
        return [self._decoded(*row) for row in rows]

    def after(self, position: int, limit: int) -> list[Stored]:
        """A page of what arrived after a position, oldest first."""
        rows = self._db.read(
            "SELECT position, body FROM event WHERE position > ? ORDER BY position LIMIT ?", position, limit
        )
        return [self._decoded(*row) for row in rows]

    @property
    def position(self) -> int:
        """That of the event which arrived last of those kept; 0: none."""
        found: int | None = self._db.read("SELECT max(position) FROM event")[0][0]
        return found or 0

    def compact(self, now: float, rows: int = 500) -> bool:
        """Delete what is needed no longer among the next so many expired events. Whether there are more to look at."""
        limit = int(now) - KEPT_AFTER_EXPIRY_S
        found = self._db.read(_NEEDLESS, limit, limit, *self._compacted, rows)
        with self._db.write() as db:
            db.executemany("DELETE FROM event WHERE position = ?", [(row[0],) for row in found if row[2]])
            db.execute("DELETE FROM audit WHERE position <= (SELECT max(position) FROM audit) - ?", (MAX_AUDIT,))
        more = len(found) == rows
        # What had to stay is looked at again in the next round.
        self._compacted = (found[-1][1], found[-1][0]) if more else _START
        return more

    def meta(self, name: str) -> bytes | None:
        """A value of the node, put down by :meth:`set_meta`."""
        rows = self._db.read("SELECT value FROM meta WHERE name = ?", name)
        return rows[0][0] if rows else None

    def set_meta(self, name: str, value: bytes) -> None:
        """Put a value of the node down, durably."""
        with self._db.write() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def add_audit(self, entries: Iterable[AuditEntry]) -> None:
        """Add to the audit log, durably."""
        with self._db.write() as db:
            insert_rows(db, "INTO audit (at, who, what, effect)", (entry[:4] for entry in entries))

    def audit(self, after: int, limit: int) -> list[AuditEntry]:
        """A page of the audit log, oldest first, from beyond position ``after``."""
        return [AuditEntry(*row) for row in self._db.read(_AUDIT, after, limit)]

    def answer(self, key: str) -> Answer | None:
        """What was answered to the request of an idempotency key."""
        rows = self._db.read("SELECT request, body, at FROM answer WHERE key = ?", key)
        return Answer(*rows[0]) if rows else None

    def keep_answers(self, answers: Mapping[str, Answer]) -> None:
        """Keep answers by their idempotency keys, durably; of :data:`MAX_ANSWERS` the oldest make room."""
        with self._db.write() as db:
            rows = ((key, *answer) for key, answer in answers.items())
            insert_rows(db, "OR REPLACE INTO answer (key, request, body, at)", rows)
            db.execute("DELETE FROM answer WHERE position <= (SELECT max(position) FROM answer) - ?", (MAX_ANSWERS,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _whole_with(self, origin: str, seqs: set[int]) -> int:
        whole = self._vector.whole_of(origin)
        while whole + 1 in seqs or self._vector.has(origin, whole + 1):
            whole += 1
        return whole

    def _decoded(self, position: int, body: bytes) -> Stored:
        try:
            return Stored(position, decode_event(body))
        except (ValueError, TypeError) as err:
            raise JournalError(f"{self._path}: event {position}: {err}") from None


def _columns(event: Event) -> tuple[int, bytes, int, int, bytes]:
    stamp, expires = 0, _NEVER
    if isinstance(event, Revocation | DocumentPut):
        stamp = event.order
    if isinstance(event, Revocation) and event.expires_at < _NEVER:
        expires = ceil(max(0.0, event.expires_at))
    if isinstance(event, DocumentPut) and event.gone_at:
        expires = ceil(event.gone_at)
    return event.seq, _digest(event), stamp, expires, encode_event(event)


def _digest(event: Event) -> bytes:
    if isinstance(event, Revocation):
        return event.target.digest()
    if isinstance(event, DocumentPut):
        return blake2b(encode_fields(b"document", event.kind.encode(), event.name.encode()), digest_size=16).digest()
    # Only to find a stream's salts together.
    return blake2b(encode_fields(b"salt", event.stream.encode()), digest_size=16).digest()
