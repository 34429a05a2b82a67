"""Group commit: large batches, closing, and an event that no journal can hold, of which nothing else may suffer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relay.errors import JournalError
from relay.gate.targets import TargetType
from relay.state import commit as commit_module
from relay.state.commit import GroupCommit
from relay.state.events import Action, Event, Revocation
from relay.state.journal import Journal
from relay.telemetry.metrics import JOURNAL_DROPPED, JOURNAL_OWED
from tests.state.cluster import SlowJournal, until

ORIGIN = "a" * 16


def event(seq: int, value: str = "s", limit: int = 0) -> Revocation:
    return Revocation(
        origin=ORIGIN, seq=seq, order=seq, action=Action.REVOKE, type=TargetType.SESSION, value=value, limit=limit,
        created_at=0.0, expires_at=4e9,
    )  # fmt: skip


def poison(seq: int, kind: str = "text") -> Revocation:
    return event(seq, value="secret \ud800") if kind == "text" else event(seq, limit=2**70)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


@pytest.fixture
async def commit(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GroupCommit]:
    monkeypatch.setattr(commit_module, "RETRY_S", 0.05)
    made = GroupCommit(journal)
    yield made
    await made.close()
    journal.close()


def written(journal: Journal) -> list[int]:
    return [event.seq for event in journal.of(ORIGIN, 1, 10_000)]


async def write(commit: GroupCommit, events: Sequence[Event]) -> None:
    """As the replica does."""
    commit.owe(events)
    await commit.write(events)


@pytest.mark.parametrize("kind", ["text", "number"])
async def test_who_writes_it_is_told_and_the_others_are_written(
    commit: GroupCommit, journal: Journal, kind: str
) -> None:
    async with asyncio.timeout(5):
        with capture_logs() as logs:
            batches = [[event(1)], [event(2), poison(3, kind)], [event(4)]]
            writing = [write(commit, batch) for batch in batches]
            answers = await asyncio.gather(*writing, return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None), JournalError, type(None)]
    assert {1, 4} <= set(written(journal))
    assert "secret" not in str(logs) + str(answers)
    assert "bug" in {log["event"] for log in logs}


async def test_it_is_given_up_and_what_is_owed_with_it_is_written(commit: GroupCommit, journal: Journal) -> None:
    dropped = JOURNAL_DROPPED._value.get()
    async with asyncio.timeout(5):
        with pytest.raises(JournalError):
            await write(commit, [event(1), poison(2), *(event(seq) for seq in range(3, 20))])
        await until(lambda: JOURNAL_OWED._value.get() == 0)
        assert written(journal) == [1, *range(3, 20)]
        assert JOURNAL_DROPPED._value.get() == dropped + 1
        later = [poison(20), event(21)]
        commit.owe(later)
        commit.write_later(later)
        await write(commit, [event(22)])
        await until(lambda: written(journal) == [1, *range(3, 20), 21, 22])
    assert JOURNAL_DROPPED._value.get() == dropped + 2
    assert commit.complete


async def test_closing_writes_what_can_be(journal: Journal) -> None:
    commit = GroupCommit(journal)
    commit.owe([event(1), poison(2), event(3)])
    await commit.close()
    assert written(journal) == [1, 3]
    journal.close()


async def test_who_waits_for_what_is_written_while_it_is_closed_hears_of_it(tmp_path: Path) -> None:
    journal = SlowJournal(tmp_path / "journal.sqlite")
    commit = GroupCommit(journal)
    journal.disk.clear()
    waiting = asyncio.ensure_future(write(commit, [event(seq) for seq in range(1, 1000)]))
    await asyncio.sleep(0.02)
    closing = asyncio.ensure_future(commit.close())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    journal.disk.set()
    async with asyncio.timeout(5):
        await asyncio.gather(waiting, closing)
    assert written(journal) == list(range(1, 1000))
    journal.close()


async def test_what_was_not_owed_is_owed_once_it_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_module, "RETRY_S", 0.01)
    journal = SlowJournal(tmp_path / "journal.sqlite")
    commit = GroupCommit(journal)
    journal.full = True
    with pytest.raises(JournalError):
        await commit.write([event(1)])
    journal.full = False
    await until(lambda: written(journal) == [1])
    await commit.close()
    journal.close()


async def test_a_large_batch_is_durable_as_a_whole_when_its_author_hears_of_it(
    commit: GroupCommit, journal: Journal
) -> None:
    batch = [event(seq) for seq in range(1, 2 * commit_module.GROUP_EVENTS + 2)]
    await write(commit, batch)
    assert written(journal) == [one.seq for one in batch]
    assert JOURNAL_OWED._value.get() == 0


async def test_one_event_waits_for_a_part_of_a_batch_only(commit: GroupCommit, journal: Journal) -> None:
    batch = [event(seq) for seq in range(1, 4 * commit_module.GROUP_EVENTS)]
    writing = asyncio.ensure_future(write(commit, batch))
    await asyncio.sleep(0)
    await write(commit, [event(len(batch) + 1)])
    assert not writing.done()
    # Who gives up takes nothing along: what is in force is written all the same.
    writing.cancel()
    async with asyncio.timeout(5):
        await until(lambda: JOURNAL_OWED._value.get() == 0)
    assert written(journal) == list(range(1, len(batch) + 2))


async def test_a_batch_of_which_a_part_fails_fails(commit: GroupCommit, journal: Journal) -> None:
    batch = [event(seq) for seq in range(1, 2 * commit_module.GROUP_EVENTS)]
    batch[-1] = poison(len(batch))
    async with asyncio.timeout(5):
        with pytest.raises(JournalError):
            await write(commit, batch)
        await until(lambda: JOURNAL_OWED._value.get() == 0)
    assert written(journal) == list(range(1, len(batch)))


@pytest.mark.parametrize("want", [MemoryError, RuntimeError("can't start new thread")])
async def test_what_cannot_be_written_for_want_of_memory_or_threads_is_not_given_up(
    commit: GroupCommit, journal: Journal, monkeypatch: pytest.MonkeyPatch, want: Exception
) -> None:
    def failing(_: Sequence[Event]) -> None:
        raise want

    dropped = JOURNAL_DROPPED._value.get()
    async with asyncio.timeout(5):
        with monkeypatch.context() as patch:
            patch.setattr(journal, "append", failing)
            with pytest.raises(JournalError):
                await write(commit, [event(1)])
            commit.owe([event(2)])
            commit.write_later([event(2)])
            await asyncio.sleep(0.3)
        await until(lambda: written(journal) == [1, 2])
    assert JOURNAL_DROPPED._value.get() == dropped
