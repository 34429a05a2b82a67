"""Snapshots: the same state again, or none, and never at the cost of an event."""

import asyncio
import time
from pathlib import Path

import pytest

from relay.errors import JournalError
from relay.gate.targets import TargetType
from relay.state.database import MEMORY
from relay.state.events import Action, Event, Revocation, SaltDrawn
from relay.state.journal import Journal
from relay.state.snapshot import SnapshotError, load_snapshot, save_snapshot
from relay.state.state import State

NOW = 1000.0
HERE = "00112233445566aa"
COUNT = 20_000


def revoked(seq: int, action: Action = Action.REVOKE, effective: float = 0.0) -> Revocation:
    return Revocation(
        origin=HERE, seq=seq, order=seq, action=action, type=TargetType.SESSION, value=f"s{seq}", created_at=NOW,
        effective_at=effective, expires_at=5000.0,
    )  # fmt: skip


def other(seq: int, kind: TargetType, value: str, limit: int = 0) -> Revocation:
    return Revocation(
        origin=HERE, seq=seq, order=seq, action=Action.REVOKE, type=kind, value=value, limit=limit, created_at=NOW,
        expires_at=5000.0,
    )  # fmt: skip


EVENTS: list[Event] = [
    *(revoked(seq) for seq in range(1, COUNT + 1)),
    revoked(COUNT + 1, Action.RESTORE),
    revoked(COUNT + 2, effective=4000.0),
    other(COUNT + 3, TargetType.NETWORK, "192.0.2.0/24"),
    other(COUNT + 4, TargetType.SESSION_VERSION, "a1", 7),
    SaltDrawn(origin=HERE, seq=COUNT + 5, stream="news", period=600_000, salt=b"s" * 32),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


@pytest.fixture
def state() -> State:
    state = State()
    for event in EVENTS:
        state.apply(event, NOW)
    return state


def seen(state: State) -> list[object]:
    """What a state says of every event's target."""
    targets = [event.target for event in EVENTS if isinstance(event, Revocation)]
    return [
        state.latest,
        state.salt("news", 600_000),
        state.revocations.counts(),
        state.revocations.covers_network("192.0.2.7", 0, NOW),
        *(state.revocations.get(target) for target in targets),
    ]


def test_a_snapshot_holds_the_whole_state(path: Path, state: State) -> None:
    vector = {HERE: COUNT + 5}
    asyncio.run(save_snapshot(path, state, vector))
    again = State()
    assert load_snapshot(path, again) == vector
    assert seen(again) == seen(state)
    assert [entry.name for entry in path.parent.iterdir()] == ["snapshot"]
    assert path.stat().st_mode & 0o077 == 0


async def test_a_new_snapshot_takes_the_place_of_the_old(path: Path, state: State) -> None:
    await save_snapshot(path, State(), {})
    await save_snapshot(path, state, {HERE: 1})
    assert load_snapshot(path, State()) == {HERE: 1}


async def test_what_comes_while_it_is_written_is_lost_neither_here_nor_there(path: Path) -> None:
    """The start of a node: snapshot, then the events of the journal that its vector does not cover."""
    journal, state = Journal(MEMORY), State()
    journal.append(EVENTS)
    half = len(EVENTS) // 2
    for event in EVENTS[:half]:
        state.apply(event, NOW)

    async def go_on() -> None:
        for event in EVENTS[half:]:
            state.apply(event, NOW)
            if event.seq % 50 == 0:
                await asyncio.sleep(0)

    await asyncio.gather(save_snapshot(path, state, {HERE: half}), go_on())
    again = State()
    for event in journal.replay(load_snapshot(path, again)):
        again.apply(event, 0.0)
    # Replayed at time 0 everything is still to come; whether it is now is asked with the time.
    again.revocations.advance(NOW)
    assert seen(again) == seen(state)
    journal.close()


async def test_the_event_loop_goes_on_meanwhile(path: Path, state: State) -> None:
    longest, writing = 0.0, asyncio.ensure_future(save_snapshot(path, state, {}))
    while not writing.done():
        before = time.perf_counter()
        await asyncio.sleep(0)
        longest = max(longest, time.perf_counter() - before)
    await writing
    assert longest < 0.1


def test_no_snapshot_is_said(path: Path) -> None:
    state = State()
    with pytest.raises(SnapshotError, match="snapshot: No such file"):
        load_snapshot(path, state)


def test_a_damaged_snapshot_is_not_used(path: Path, state: State) -> None:
    asyncio.run(save_snapshot(path, state, {HERE: 9}))
    whole = path.read_bytes()
    bad = [b"", whole[:10], whole[:-1], whole + b"\0", b"x" + whole[1:], whole[: len(whole) // 2]]
    for at in (30, 40, 1000, len(whole) // 2, len(whole) - 33, len(whole) - 1):
        bad.append(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    for data in bad:
        path.write_bytes(data)
        again = State()
        with pytest.raises(SnapshotError, match=r"snapshot: (damaged|not a snapshot of this version)"):
            load_snapshot(path, again)
        assert list(again.dump()) == list(State().dump())


async def test_a_snapshot_that_cannot_be_written_leaves_the_old_one(path: Path, state: State) -> None:
    await save_snapshot(path, state, {HERE: 1})
    (path.parent / "snapshot.new").mkdir()
    with pytest.raises(JournalError, match="snapshot: cannot be written: Is a directory"):
        await save_snapshot(path, State(), {})
    assert load_snapshot(path, State()) == {HERE: 1}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
async def test_a_full_disk_is_told(path: Path, state: State) -> None:
    await save_snapshot(path, state, {HERE: 1})
    (path.parent / "snapshot.new").symlink_to("/dev/full")
    with pytest.raises(JournalError, match="snapshot: cannot be written: No space left"):
        await save_snapshot(path, state, {HERE: 2})
    assert load_snapshot(path, State()) == {HERE: 1}


async def test_a_writer_that_is_stopped_leaves_nothing_behind(path: Path, state: State) -> None:
    writing = asyncio.ensure_future(save_snapshot(path, state, {}))
    await asyncio.sleep(0.005)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert [entry.name for entry in path.parent.iterdir()] in ([], ["snapshot"])
