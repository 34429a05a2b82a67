"""The journal: what was acknowledged is there again, whatever happened in between."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.errors import ConfigError, JournalError
from relay.gate.targets import Target, TargetType
from relay.state import journal as journal_module
from relay.state.database import MEMORY
from relay.state.events import Action, Event, Revocation, SaltDrawn
from relay.state.journal import KEPT_AFTER_EXPIRY_S, MAX_ANSWERS, Answer, AuditEntry, Journal
from relay.state.state import MAX_SALTS, State

NOW = 1_790_000_000.0
HERE, THERE = "00112233445566aa", "ffeeddccbbaa9988"
DAY = KEPT_AFTER_EXPIRY_S


def revoked(
    seq: int,
    value: str = "",
    order: int = 0,
    expires: float = NOW + 3600,
    origin: str = HERE,
    action: Action = Action.REVOKE,
) -> Revocation:
    return Revocation(
        origin=origin, seq=seq, order=order or seq, action=action, type=TargetType.SESSION, value=value or f"s{seq}",
        created_at=NOW, expires_at=expires,
    )  # fmt: skip


def salt(seq: int, period: int = 0, stream: str = "news") -> SaltDrawn:
    return SaltDrawn(origin=HERE, seq=seq, stream=stream, period=period, salt=b"s" * 32)


EVENTS: list[Event] = [revoked(1), salt(2), revoked(3, "s1", action=Action.RESTORE)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def written(path: Path) -> list[Event]:
    journal = Journal(path)
    try:
        return list(journal.replay())
    finally:
        journal.close()


def write(path: Path, *events: Event) -> None:
    journal = Journal(path)
    for event in events:
        journal.append([event])
    journal.close()


def execute(path: Path, statement: str, *values: object) -> None:
    db = sqlite3.connect(path)
    db.execute(statement, values)
    db.commit()
    db.close()


# Written, and there again.


def test_events_are_there_again_in_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state" / "journal.sqlite"
    write(path, *EVENTS[:2])
    write(path, EVENTS[2])
    assert written(path) == EVENTS


def test_a_new_journal_is_empty(journal: Journal) -> None:
    assert list(journal.replay()) == []
    assert (journal.vector(), journal.position, journal.newest(10)) == ({}, 0, [])


def test_a_journal_in_memory_is_one_too() -> None:
    journal = Journal(MEMORY)
    journal.append(EVENTS)
    assert list(journal.replay()) == EVENTS
    journal.close()


def test_an_event_is_kept_once(journal: Journal, path: Path) -> None:
    journal.append([EVENTS[0], EVENTS[0]])
    journal.append(EVENTS)
    journal.append([])
    assert written(path) == EVENTS
    assert [stored.event for stored in journal.after(0, 10)] == EVENTS


def test_all_or_none_is_written(journal: Journal, path: Path) -> None:
    journal._db._db.execute("PRAGMA max_page_count=12")
    with pytest.raises(JournalError):
        journal.append([revoked(seq, "s" * 500) for seq in range(1, 1000)])
    assert written(path) == []
    assert (journal.vector(), journal.find(f"{HERE}-1")) == ({}, None)


def test_threads_may_share_a_journal(journal: Journal, path: Path) -> None:
    def append(first: int) -> None:
        for seq in range(first, 200, 4):
            journal.append([revoked(seq)])
            assert journal.find(f"{HERE}-{seq}") is not None

    threads = [threading.Thread(target=append, args=(first,)) for first in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written(path)) == 199
    assert journal.vector() == {HERE: 199}


# Looking up.


def test_a_replay_gives_only_what_a_vector_does_not_cover(journal: Journal) -> None:
    theirs = [revoked(seq, origin=THERE) for seq in (1, 2, 3)]
    journal.append([revoked(seq) for seq in (1, 2, 3)] + theirs)
    assert list(journal.replay({HERE: 2, "0" * 16: 9})) == [revoked(3), *theirs]
    assert list(journal.replay({HERE: 3, THERE: 3})) == []


def test_a_replay_does_not_keep_others_from_the_journal(journal: Journal) -> None:
    journal.append([revoked(seq) for seq in range(1, 2001)])
    replay = journal.replay()
    assert next(replay) == revoked(1)
    journal.append([revoked(2001)])
    assert len(list(replay)) >= 1999


def test_events_are_found_by_name_target_and_place(journal: Journal) -> None:
    journal.append(EVENTS)
    assert journal.find(f"{HERE}-3") == (3, EVENTS[2])
    target = Target(TargetType.SESSION, "s1")
    assert journal.about(target, 10) == [(3, EVENTS[2]), (1, EVENTS[0])]
    assert journal.about(target, 10, before=3) == [(1, EVENTS[0])]
    assert journal.newest(2) == [(3, EVENTS[2]), (2, EVENTS[1])]
    assert journal.newest(2, before=2) == [(1, EVENTS[0])]
    assert journal.after(1, 10) == [(2, EVENTS[1]), (3, EVENTS[2])]
    assert journal.of(HERE, 2, 99) == EVENTS[1:]
    assert journal.of(THERE, 1, 99) == []


@pytest.mark.parametrize(
    "name",
    ["", "-", HERE, f"{HERE}-", f"{HERE}-4", f"{HERE}-x", f"{HERE}-٣", f"{HERE}-" + "9" * 30, "-3", f"{THERE}-1"],
)
def test_a_name_of_no_event_is_not_found(journal: Journal, name: str) -> None:
    journal.append(EVENTS)
    assert journal.find(name) is None


def test_the_vector_stops_at_a_gap_and_goes_on_when_it_closes(journal: Journal, path: Path) -> None:
    for seqs, whole in [([1, 2], 2), ([4, 5], 2), ([7], 2), ([3], 5), ([6], 7)]:
        journal.append([revoked(seq) for seq in seqs])
        assert journal.vector() == {HERE: whole}
        again = Journal(path)
        assert again.vector() == {HERE: whole}
        again.close()


# Making room.


def compact(journal: Journal, now: float) -> None:
    while journal.compact(now, rows=3):
        pass


def test_events_are_kept_for_a_day_after_their_expiry(journal: Journal) -> None:
    journal.append([revoked(seq, expires=NOW + seq) for seq in range(1, 11)] + [salt(11)])
    compact(journal, NOW + 5.5 + DAY)
    assert [event.seq for event in journal.replay()] == [5, 6, 7, 8, 9, 10, 11]
    compact(journal, NOW + 1e9)
    assert [event.seq for event in journal.replay()] == [11]


def test_compaction_does_not_change_the_vector_nor_use_a_position_again(journal: Journal, path: Path) -> None:
    journal.append([revoked(seq) for seq in range(1, 11)])
    compact(journal, NOW + 1e9)
    journal.close()
    again = Journal(path)
    assert again.vector() == {HERE: 10}
    again.append([revoked(11)])
    assert again.vector() == {HERE: 11}
    assert again.position == 11
    again.close()


def test_one_step_looks_at_a_bounded_number_of_events(journal: Journal) -> None:
    journal.append([revoked(seq) for seq in range(1, 11)])
    assert journal.compact(NOW + 1e9, rows=4)
    assert len(list(journal.replay())) == 6
    assert journal.compact(NOW + 1e9, rows=4)
    assert not journal.compact(NOW + 1e9, rows=4)
    assert list(journal.replay()) == []


def test_an_expired_event_stays_while_it_overrides_an_older_one(journal: Journal) -> None:
    """Else a restart would bring back what it had ended."""
    older, restore = revoked(1, "s1", 10, NOW + 100 * DAY), revoked(2, "s1", 20, NOW, action=Action.RESTORE)
    journal.append([older, restore, revoked(3, "s2", 30, NOW)])
    compact(journal, NOW + 2 * DAY)
    assert list(journal.replay()) == [older, restore]
    compact(journal, NOW + 200 * DAY)
    assert list(journal.replay()) == []


def test_of_expired_events_only_the_last_overrides(journal: Journal) -> None:
    older = revoked(1, "s1", 10, NOW + 100 * DAY)
    journal.append([older, *(revoked(seq, "s1", 10 + seq, NOW) for seq in range(2, 50))])
    compact(journal, NOW + 2 * DAY)
    assert [event.seq for event in journal.replay()] == [1, 49]


def test_compaction_never_changes_a_verdict(journal: Journal) -> None:
    events = [
        revoked(seq, f"s{seq % 7}", order=seq * 7919 % 101, expires=NOW + seq * 31 % 17 * DAY, action=action)
        for seq, action in zip(range(1, 101), [Action.REVOKE, Action.RESTORE, Action.REVOKE] * 34, strict=False)
    ]
    journal.append(events)

    def standing(now: float) -> list[object]:
        state = State()
        for event in journal.replay():
            state.apply(event, 0.0)
        found = [state.revocations.get(Target(TargetType.SESSION, f"s{number}")) for number in range(7)]
        return [one and one.revoked and one.expires_at > now for one in found]

    for days in range(20):
        now = NOW + days * DAY
        before = standing(now)
        compact(journal, now)
        assert [bool(one) for one in standing(now)] == [bool(one) for one in before]
    assert list(journal.replay()) == []


def test_the_oldest_salts_of_a_stream_make_room(journal: Journal) -> None:
    journal.append([salt(period + 1, period) for period in range(MAX_SALTS)])
    journal.append([salt(MAX_SALTS + 1, 0, "sport")])
    journal.append([salt(MAX_SALTS + 2, MAX_SALTS), salt(MAX_SALTS + 3, MAX_SALTS + 1)])
    left = [(event.stream, event.period) for event in journal.replay() if isinstance(event, SaltDrawn)]
    assert left[:2] == [("news", 2), ("news", 3)]
    assert len(left) == MAX_SALTS + 1


# Beside the events.


def test_values_of_the_node_are_kept(journal: Journal) -> None:
    assert journal.meta("name") is None
    journal.set_meta("name", b"one")
    journal.set_meta("name", b"two")
    assert journal.meta("name") == b"two"


def test_the_audit_log_is_read_in_pages(journal: Journal) -> None:
    entries = [AuditEntry(NOW + number, "api", "revoke session:s1", "cut 2") for number in range(5)]
    journal.add_audit(entries[:3])
    journal.add_audit(entries[3:])
    page = journal.audit(0, 3)
    assert [entry[:4] for entry in page] == [entry[:4] for entry in entries[:3]]
    assert [entry[:4] for entry in journal.audit(page[-1].position, 99)] == [entry[:4] for entry in entries[3:]]


def test_the_oldest_audit_entries_make_room(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_AUDIT", 10)
    journal.add_audit(AuditEntry(NOW + number, "api", "x", "y") for number in range(25))
    journal.compact(NOW)
    assert [entry.at - NOW for entry in journal.audit(0, 99)] == list(range(15, 25))


def test_an_answer_is_kept_under_its_key(journal: Journal) -> None:
    assert journal.answer("k1") is None
    journal.keep_answers({"k1": Answer(b"digest", b"{}", NOW)})
    assert journal.answer("k1") == Answer(b"digest", b"{}", NOW)
    journal.keep_answers({"k1": Answer(b"digest", b"{1}", NOW)})
    assert journal.answer("k1") == Answer(b"digest", b"{1}", NOW)


def test_the_oldest_answers_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_ANSWERS", 10)
    journal = Journal(MEMORY)
    for number in range(25):
        journal.keep_answers({f"k{number}": Answer(b"", b"", NOW)})
    assert [number for number in range(25) if journal.answer(f"k{number}")] == list(range(15, 25))
    journal.close()
    assert MAX_ANSWERS == 10_000


# What may happen to it.

WRITER = """
import os, sys
from pathlib import Path
from tests.state.test_journal import revoked
from relay.state.journal import Journal

journal = Journal(Path(sys.argv[1]))
for number in range(1, 100_000):
    journal.append([revoked(number)])
    os.write(1, b"%d\\n" % number)
"""


def test_a_killed_process_loses_nothing_it_acknowledged(path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout as acknowledgements:
        for _ in range(20):
            acknowledgements.readline()
        os.kill(child.pid, signal.SIGKILL)
        last = 20
        for line in acknowledgements:
            last = int(line) if line.endswith(b"\n") else last
    assert child.wait() == -signal.SIGKILL
    found = [event.seq for event in written(path)]
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= last


@pytest.mark.parametrize("torn", [1, 24, 100, 4096, 10_000, 40_000])
def test_a_torn_tail_costs_whole_appends_from_the_end_and_no_others(tmp_path: Path, torn: int) -> None:
    """A crash may cut the write-ahead log off within what was not yet acknowledged; so may a bad disk, anywhere."""
    journal = Journal(tmp_path / "live.sqlite")
    journal.append([revoked(seq) for seq in range(1, 101)])
    journal._db._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for first in range(101, 201, 10):
        journal.append([revoked(seq) for seq in range(first, first + 10)])
    copy = tmp_path / "copy.sqlite"
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"live.sqlite{suffix}", f"{copy}{suffix}")
    journal.close()
    with Path(f"{copy}-wal").open("r+b") as log:
        log.truncate(max(0, log.seek(0, os.SEEK_END) - torn))
    found = [event.seq for event in written(copy)]
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= 100
    assert len(found) % 10 == 0
    again = Journal(copy)
    assert again.vector() == {HERE: len(found)}
    again.append([revoked(len(found) + 1)])
    again.close()


@pytest.mark.parametrize("body", [b"", b"{}", b"\x81\xa5event\xa7unknown", b"\xff\x00", 7, "text"])
def test_a_row_that_is_no_event_names_file_and_event(path: Path, body: object) -> None:
    write(path, EVENTS[0])
    execute(path, "INSERT INTO event (origin, seq, digest, stamp, expires, body) VALUES (1, 2, x'00', 0, 0, ?)", body)
    with pytest.raises(ConfigError, match=r"journal\.sqlite: event 2: .*Restore the file or move it away"):
        written(path)
    journal = Journal(path)
    with pytest.raises(JournalError, match=r"journal\.sqlite: event 2: "):
        journal.newest(10)
    journal.close()


def many(path: Path) -> None:
    journal = Journal(path)
    journal.append([revoked(seq, "s" * 500) for seq in range(1, 200)])
    journal.close()


def test_a_damaged_file_is_named(path: Path) -> None:
    many(path)
    data = bytearray(path.read_bytes())
    assert len(data) > 20 * 4096
    data[12 * 4096 : -4096] = os.urandom(len(data) - 13 * 4096)
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"journal\.sqlite: .*(Restore the file|writable folder)"):
        written(path)


def test_a_cut_off_file_is_named(path: Path) -> None:
    many(path)
    path.write_bytes(path.read_bytes()[: 9 * 4096 + 100])
    with pytest.raises(ConfigError, match=r"journal\.sqlite: "):
        written(path)


def test_another_kind_of_file_is_named(path: Path) -> None:
    path.write_bytes(b"this is no database at all, but a longer text than its header " * 9)
    with pytest.raises(ConfigError, match=r"journal\.sqlite: cannot be opened: .*state\.directory"):
        Journal(path)


def test_a_journal_of_another_version_is_named(path: Path) -> None:
    execute(path, "CREATE TABLE event (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    with pytest.raises(ConfigError, match=r"journal\.sqlite: of version 0, not 2\. Move it away"):
        Journal(path)


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"journal\.sqlite: cannot be opened: .*state\.directory"):
        Journal(tmp_path / "file" / "journal.sqlite")


def test_a_full_disk_is_told_and_over_when_there_is_room_again(journal: Journal, path: Path) -> None:
    journal._db._db.execute("PRAGMA max_page_count=20")
    accepted = 0
    with pytest.raises(JournalError, match=r"journal\.sqlite: cannot be written: .*full"):  # noqa: PT012 - at some point
        while True:
            journal.append([revoked(accepted + 1, "s" * 500)])
            accepted += 1
    assert journal.vector() == {HERE: accepted}
    journal._db._db.execute("PRAGMA max_page_count=1000")
    journal.append([revoked(accepted + 1)])
    assert journal.vector() == {HERE: accepted + 1}
    assert len(written(path)) == accepted + 1 > 1


LIMITED = """
import resource, signal, sys
from pathlib import Path
from relay.errors import JournalError
from relay.state.journal import Journal
from tests.state.test_journal import revoked

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
accepted = 0
try:
    while True:
        journal.append([revoked(accepted + 1, "s" * 500)])
        accepted += 1
except JournalError as err:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.append([revoked(accepted + 1)])
    print(accepted + 1, err)
"""


def test_a_file_system_that_takes_no_more_is_told(path: Path) -> None:
    output = subprocess.check_output([sys.executable, "-c", LIMITED, str(path)], text=True, timeout=60)
    accepted, _, told = output.partition(" ")
    assert "cannot be written" in told
    assert [event.seq for event in written(path)] == list(range(1, int(accepted) + 1))
    assert int(accepted) > 10
