"""The replica: applied at once, durable when acknowledged, the same after a restart."""

import asyncio
import threading
from pathlib import Path

import pytest

from relay.errors import JournalError
from relay.gate.revocation import RevocationSet, Target, TargetType
from relay.state.events import Event, Revoked, SaltDrawn
from relay.state.journal import Journal
from relay.state.replica import Replica
from relay.state.state import MAX_SALTS, State

NOW = 1000.0
TARGET = Target(TargetType.SESSION, "s1")
REVOKED = Revoked(id="r1", target=TargetType.SESSION, value="s1", at=NOW, expires_at=NOW + 100)
SALT = SaltDrawn(stream="news", period=600_000, salt=b"s" * 32)


class SlowJournal(Journal):
    """A journal whose disk takes as long as the test says."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.disk = threading.Event()
        self.disk.set()
        self.full = False

    def append(self, *events: Event) -> None:
        self.disk.wait(timeout=5)  # a test that failed in between must not hang
        if self.full:
            raise JournalError("full")
        super().append(*events)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def replica_of(path: Path | None) -> Replica:
    return Replica(State(), lambda: NOW, SlowJournal(path) if path else None)


async def submit(replica: Replica, event: Event) -> None:
    """Apply, then make durable: what every control call does."""
    replica.apply(event)
    await replica.persist(event)


def covers(revoked: RevocationSet) -> bool:
    return revoked.covers([TARGET.digest()], NOW)


async def test_an_event_is_applied_before_it_is_durable_and_acknowledged_after(path: Path) -> None:
    journal = SlowJournal(path)
    replica = Replica(State(), lambda: NOW, journal)
    journal.disk.clear()
    submitted = asyncio.ensure_future(submit(replica, REVOKED))
    await asyncio.sleep(0.02)
    assert covers(replica.state.revocations)
    assert not submitted.done()
    journal.disk.set()
    await submitted
    replica.close()
    again = replica_of(path)
    assert covers(again.state.revocations)
    again.close()


async def test_state_survives_a_restart(path: Path) -> None:
    replica = replica_of(path)
    for event in (REVOKED, SALT):
        await submit(replica, event)
    replica.close()
    again = replica_of(path)
    assert covers(again.state.revocations)
    assert again.state.salt("news", 600_000) == b"s" * 32
    again.close()


async def test_without_a_journal_the_state_lives_as_long_as_the_process() -> None:
    replica = replica_of(None)
    await submit(replica, REVOKED)
    assert covers(replica.state.revocations)
    replica.close()


async def test_the_journal_keeps_the_order(path: Path) -> None:
    replica = replica_of(path)
    events = [Revoked(id=f"r{n}", target=TargetType.SESSION, value=f"s{n}", at=n, expires_at=n) for n in range(50)]
    await asyncio.gather(*(submit(replica, event) for event in events))
    replica.close()
    journal = Journal(path)
    assert list(journal.replay()) == events
    journal.close()


async def test_a_full_disk_is_not_acknowledged_but_the_event_holds_here(path: Path) -> None:
    journal = SlowJournal(path)
    replica = Replica(State(), lambda: NOW, journal)
    journal.full = True
    with pytest.raises(JournalError):
        await submit(replica, REVOKED)
    assert covers(replica.state.revocations)
    replica.close()


def test_applying_an_event_twice_changes_nothing_more() -> None:
    state = State()
    for event in (REVOKED, SALT, REVOKED, SALT):
        state.apply(event, NOW)
    assert len(state.revocations) == 1
    assert state.salt("news", 600_000) == b"s" * 32


def test_the_first_draw_of_a_salt_stands() -> None:
    state = State()
    for salt in (b"first", b"second"):
        state.apply(SaltDrawn(stream="news", period=0, salt=salt), NOW)
    assert state.salt("news", 0) == b"first"
    assert state.salt("sport", 0) is None
    assert state.salt("news", 1) is None


def test_the_oldest_salts_make_room() -> None:
    state = State()
    for period in range(MAX_SALTS + 2):
        state.apply(SaltDrawn(stream="news", period=period, salt=b"s"), NOW)
    assert [state.salt("news", period) for period in (0, 1, 2)] == [None, None, b"s"]
