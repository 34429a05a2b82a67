"""The journal: this node's durable log of control events, in SQLite.

``synchronous=FULL`` with a write-ahead log: when :meth:`Journal.append` returns, the event survives a
power cut. An acknowledged revocation is never lost.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from relay.errors import ConfigError, JournalError
from relay.state.events import Event, decode_event, encode_event


class Journal:
    """An append-only list of events. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        try:
            # It names accounts: nobody else's business.
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("CREATE TABLE IF NOT EXISTS event (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        except (OSError, sqlite3.Error) as err:
            raise ConfigError(f"{path}: cannot be opened: {err}. Give state.directory a writable folder.") from None
        self._path = path

    def append(self, *events: Event) -> None:
        """Write events durably, all or none. Raises :class:`JournalError`, as on a full disk."""
        try:
            with self._db:
                self._db.execute("BEGIN")
                self._db.executemany(
                    "INSERT INTO event (body) VALUES (?)", [(encode_event(event),) for event in events]
                )
        except sqlite3.Error as err:
            raise JournalError(f"{self._path}: cannot be written: {err}") from None

    def replay(self) -> Iterator[Event]:
        """All events, oldest first. Raises :class:`ConfigError` for a damaged file or a line that is no event."""
        for seq, body in self._rows():
            try:
                yield decode_event(body)
            except (ValueError, TypeError) as err:
                raise ConfigError(f"{self._path}: event {seq}: {err}. Restore the file or move it away.") from None

    def _rows(self) -> Iterator[tuple[int, bytes]]:
        try:
            yield from self._db.execute("SELECT seq, body FROM event ORDER BY seq")
        except sqlite3.Error as err:
            raise ConfigError(f"{self._path}: {err}. Restore the file or move it away.") from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()
