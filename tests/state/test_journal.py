"""The journal: what was acknowledged is there again, whatever happened in between."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from relay.errors import ConfigError, JournalError
from relay.gate.revocation import TargetType
from relay.state.events import Event, Revoked, SaltDrawn
from relay.state.journal import Journal

EVENTS: list[Event] = [
    Revoked(id="r1", target=TargetType.SESSION, value="s1", at=1.0, expires_at=2.0),
    SaltDrawn(stream="news", period=600_000, salt=bytes(32)),
    Revoked(
        id="r2", target=TargetType.ACCOUNT, value="a1", issuer="i", reason="why", actor="api", at=3.0, expires_at=4
    ),
]


def written(path: Path) -> list[Event]:
    journal = Journal(path)
    try:
        return list(journal.replay())
    finally:
        journal.close()


def write(path: Path, *events: Event) -> None:
    journal = Journal(path)
    for event in events:
        journal.append(event)
    journal.close()


def execute(path: Path, statement: str, *values: object) -> None:
    db = sqlite3.connect(path)
    db.execute(statement, values)
    db.commit()
    db.close()


def test_events_are_there_again_in_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state" / "journal.sqlite"
    write(path, *EVENTS[:2])
    write(path, EVENTS[2])
    assert written(path) == EVENTS


def test_a_new_journal_is_empty(tmp_path: Path) -> None:
    assert written(tmp_path / "journal.sqlite") == []


WRITER = """
import os, sys
from pathlib import Path
from relay.gate.revocation import TargetType
from relay.state.events import Revoked
from relay.state.journal import Journal

journal = Journal(Path(sys.argv[1]))
for number in range(100_000):
    journal.append(Revoked(id=f"r{number}", target=TargetType.SESSION, value="s", at=1.0, expires_at=2.0))
    os.write(1, b"%d\\n" % number)
"""


def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout as acknowledgements:
        for _ in range(20):
            acknowledgements.readline()
        os.kill(child.pid, signal.SIGKILL)
        last = 19
        for line in acknowledgements:
            last = int(line) if line.endswith(b"\n") else last
    assert child.wait() == -signal.SIGKILL
    found = written(path)
    ids = [event.id for event in found if isinstance(event, Revoked)]
    assert len(found) > last >= 19
    assert ids == [f"r{number}" for number in range(len(found))]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"type":"unknown"}', b"\xff\x00", 7, "text"])
def test_a_line_that_is_no_event_names_file_and_event(tmp_path: Path, body: object) -> None:
    path = tmp_path / "journal.sqlite"
    write(path, EVENTS[0])
    execute(path, "INSERT INTO event (body) VALUES (?)", body)
    with pytest.raises(ConfigError, match=r"journal\.sqlite: event 2: .*Restore the file or move it away"):
        written(path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    write(
        path, *(Revoked(id=f"r{n}", target=TargetType.SESSION, value="s" * 500, at=1, expires_at=2) for n in range(99))
    )
    data = bytearray(path.read_bytes())
    assert len(data) > 5 * 4096
    data[2 * 4096 : 5 * 4096] = os.urandom(3 * 4096)
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"journal\.sqlite: .*(Restore the file|writable folder)"):
        written(path)


def test_a_cut_off_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    write(
        path, *(Revoked(id=f"r{n}", target=TargetType.SESSION, value="s" * 500, at=1, expires_at=2) for n in range(99))
    )
    path.write_bytes(path.read_bytes()[: 3 * 4096 + 100])
    with pytest.raises(ConfigError, match=r"journal\.sqlite: "):
        written(path)


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"this is no database at all, but a longer text than its header " * 9)
    with pytest.raises(ConfigError, match=r"journal\.sqlite: cannot be opened: .*state\.directory"):
        Journal(path)


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"journal\.sqlite: cannot be opened: .*state\.directory"):
        Journal(tmp_path / "file" / "journal.sqlite")


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    journal._db.execute("PRAGMA max_page_count=3")
    event = Revoked(id="r", target=TargetType.SESSION, value="s" * 500, at=1, expires_at=2)
    accepted = 0
    with pytest.raises(JournalError, match=r"journal\.sqlite: cannot be written: .*full"):  # noqa: PT012 - at some point
        while True:
            journal.append(event)
            accepted += 1
    journal.close()
    assert len(written(path)) == accepted > 0
