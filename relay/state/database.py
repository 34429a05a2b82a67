"""One SQLite file, used by any thread, one call at a time."""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from relay.errors import ConfigError, JournalError

MEMORY = ":memory:"
ROWS = 32
"""Rows of one statement: each statement lets go of the interpreter, and has to win it back from the event loop."""
_PAUSE_S = 0.0005
"""After each such statement: a million rows must not slow down what is served meanwhile."""
_CHUNK = 512


def insert_rows(db: sqlite3.Connection, into: str, rows: Iterable[tuple[object, ...]], then: str = "") -> None:
    """``INSERT INTO`` what ``into`` names, some :data:`ROWS` rows at a time. Raises :class:`sqlite3.Error`."""
    rows = iter(rows)
    while some := list(islice(rows, ROWS)):
        values = ", ".join([f"({', '.join('?' * len(some[0]))})"] * len(some))
        db.execute(f"INSERT {into} VALUES {values} {then}", tuple(chain.from_iterable(some)))  # noqa: S608 - our own text
        if len(some) == ROWS:
            time.sleep(_PAUSE_S)


class Database:
    """Durable once a :meth:`write` has ended: a write-ahead log and ``synchronous=FULL`` survive a power cut.

    ``path`` may be :data:`MEMORY`. ``version`` is that of ``schema``, which is laid down in an empty file. Raises
    :class:`ConfigError` for a file that cannot be opened or is of another version.
    """

    def __init__(self, path: Path | str, version: int, schema: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            if isinstance(path, Path):
                # It names accounts: nobody else's business.
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            # 32 MB of log before it is worked into the file, and 8 MB of pages in memory: batches of 10,000 events,
            # whose digests touch pages all over an index, then take 0.1 s at a million events instead of 0.2 s.
            self._db.execute("PRAGMA wal_autocheckpoint=8000")
            self._db.execute("PRAGMA cache_size=-8000")
            found: int = self._db.execute("PRAGMA user_version").fetchone()[0]
            if not self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                self._db.executescript(f"BEGIN; {schema}; PRAGMA user_version={version}; COMMIT")
                found = version
        except (OSError, sqlite3.Error) as err:
            raise ConfigError(f"{path}: cannot be opened: {err}. Give state.directory a writable folder.") from None
        if found != version:
            self._db.close()
            raise ConfigError(
                f"{path}: of version {found}, not {version}. Move it away, or run the relay that wrote it."
            )

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction, all or none of which is there when this ends. Raises :class:`JournalError`."""
        with self._lock:
            try:
                with self._db:
                    self._db.execute("BEGIN IMMEDIATE")
                    yield self._db
            except sqlite3.Error as err:
                raise JournalError(f"{self._path}: cannot be written: {err}") from None

    def read(self, query: str, *values: object) -> list[Any]:
        """All rows of a query, which should be few. Raises :class:`JournalError`."""
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as err:
                raise JournalError(f"{self._path}: cannot be read: {err}") from None

    def stream(self, query: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, of which there may be any number. Raises :class:`ConfigError`: it is read at start."""
        with closing(self._db.cursor()) as cursor:
            try:
                with self._lock:
                    rows = cursor.execute(query, values).fetchmany(_CHUNK)
                while rows:
                    yield from rows
                    with self._lock:
                        rows = cursor.fetchmany(_CHUNK)
            except sqlite3.Error as err:
                raise ConfigError(f"{self._path}: {err}. Restore the file or move it away.") from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()
