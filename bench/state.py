"""What a node knows, at five million live revocations: memory, look-ups, start. ``python -m bench.state [--entries N]``

The limits are meant for five million. The peers, in a process each: a plain dict of digests to expiry times, and a
plain set of digests.
"""

import argparse
import asyncio
import gc
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from relay.gate.targets import Subject, TargetType
from relay.state.events import Action, Event, Revocation
from relay.state.journal import Journal
from relay.state.snapshot import load_snapshot, save_snapshot
from relay.state.state import State

NOW = 1_790_000_000.0
ORIGIN = "00112233445566aa"
LOOKUPS = 240_000
EXACT, LIMITED = 12, 3
"""Digests of a session: those that revoke it outright, and those of either kind of limit."""
BATCH, PAUSE_S = 10_000, 0.002
MEMORY = "memory an entry, folded in one by one"
ABSENT, COLD, AGAIN = "look-up of what is not there", "covers() of a session", "covers() of a session, asked again"
_Value = TypeVar("_Value")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=5_000_000)
    parser.add_argument("--rows", type=int, default=1_000_000, help="events in the journal")
    options = parser.parse_args()
    print(f"{options.entries:,} live revocations, {options.rows:,} events in the journal")
    print(f"{'':<52} {'ours':>10} {'limit':>8}   {'dict':>8} {'set':>8}")
    peers = {name: _alone(_peer, name, options.entries) for name in ("dict", "set")}
    with tempfile.TemporaryDirectory() as name:
        for measure in (_fill, _start, _journal):
            for what, (value, unit, limit) in _alone(measure, Path(name), options.entries, options.rows).items():
                against = [f"{peer[what]:>8.2f}" if what in peer else " " * 8 for peer in peers.values()]
                bound = "" if limit is None else f"{limit:,g}"
                missed = "  MISSED" if limit is not None and value > limit else ""
                print(f"{what + ', ' + unit:<52} {value:>10,.2f} {bound:>8}   {' '.join(against)}{missed}")


Measured = dict[str, tuple[float, str, float | None]]


def _fill(folder: Path, entries: int, _rows: int) -> Measured:
    before, state, slow = _resident(), State(), 0
    started = time.perf_counter()
    for event in _events(entries):
        at = time.thread_time()  # not what other processes took
        state.apply(event, NOW)
        slow += time.thread_time() - at > PAUSE_S
    elapsed = time.perf_counter() - started
    gc.collect()
    measured: Measured = {
        MEMORY: ((_resident() - before) / entries, "bytes", 40),
        "folding one in": (elapsed / entries * 1e6, "µs", None),
        "folds longer than 2 ms, of a million": (slow / entries * 1e6, "events", 2),
        **_lookups(state),
    }
    started = time.perf_counter()
    longest = asyncio.run(_saved(folder / "snapshot", state, entries))
    measured["snapshot written"] = (time.perf_counter() - started, "s", None)
    measured["snapshot, event loop held at most"] = (longest * 1e3, "ms", 2)
    measured["snapshot size an entry"] = ((folder / "snapshot").stat().st_size / entries, "bytes", None)
    return measured


def _start(folder: Path, entries: int, _rows: int) -> Measured:
    before, state = _resident(), State()
    started = time.perf_counter()
    assert load_snapshot(folder / "snapshot", state) == {ORIGIN: entries}
    elapsed = time.perf_counter() - started
    assert len(state.revocations) == entries
    gc.collect()
    measured: Measured = {
        "start from a snapshot": (elapsed, "s", 10),
        "memory an entry, from a snapshot": ((_resident() - before) / entries, "bytes", 40),
    }
    longest = 0.0
    for _ in range(2000):
        at = time.thread_time()
        state.revocations.advance(NOW)
        longest = max(longest, time.thread_time() - at)
    measured["longest sweep"] = (longest * 1e3, "ms", 2)
    return measured


def _journal(folder: Path, _entries: int, rows: int) -> Measured:
    journal, batch, times = Journal(folder / "journal.sqlite"), list[Event](), []
    for event in _events(rows):
        batch.append(event)
        if len(batch) == BATCH:
            at = time.perf_counter()
            journal.append(batch)
            times.append(time.perf_counter() - at)
            batch = []
    singles = []
    for event in _events(500, rows):
        at = time.perf_counter()
        journal.append([event])
        singles.append(time.perf_counter() - at)
    before, state = _resident(), State()
    started = time.perf_counter()
    for event in journal.replay():
        state.apply(event, 0.0)
    elapsed = time.perf_counter() - started
    grown = _resident() - before
    held = len(state.revocations)
    assert held == rows + 500
    started = time.perf_counter()
    journal.compact(NOW + 1e9)
    compacted = time.perf_counter() - started
    journal.close()
    return {
        # Of it 156 ms are pauses that keep the interpreter free for what is served meanwhile.
        f"append of {BATCH:,} events, median": (sorted(times)[len(times) // 2] * 1e3, "ms", 500),
        f"append of {BATCH:,} events, slowest": (max(times) * 1e3, "ms", None),
        "append of one, median": (sorted(singles)[250] * 1e3, "ms", None),
        "replay of the journal, a million events": (elapsed / held * 1e6, "s", None),
        "replay, memory an event": (grown / held, "bytes", None),
        "one step of compaction": (compacted * 1e3, "ms", None),
        "journal size an event": ((folder / "journal.sqlite").stat().st_size / held, "bytes", None),
    }


def _lookups(state: State) -> Measured:
    revoked, table = state.revocations, state.revocations._plain
    absent, subjects = _absent(), _subjects()
    one, times = subjects[0], 20_000
    return {
        ABSENT: (_each(lambda: table.found(absent), len(absent)), "µs", 0.4),
        COLD: (_each(lambda: [revoked.covers(subject, NOW) for subject in subjects], len(subjects)), "µs", 5),
        AGAIN: (_each(lambda: [revoked.covers(one, NOW) for _ in range(times)], times), "µs", 5),
    }


def _peer(name: str, entries: int) -> dict[str, float]:
    before = _resident()
    found: dict[bytes, float] | set[bytes]
    if name == "dict":
        found = {digest: NOW + number for number, digest in enumerate(_digests(entries))}
    else:
        found = set(_digests(entries))
    gc.collect()
    memory = (_resident() - before) / entries
    absent, subjects = _absent(), _subjects()

    def covers(digests: tuple[bytes, ...]) -> bool:
        return any(digest in found for digest in digests)

    one, times = subjects[0].exact, 20_000
    return {
        MEMORY: memory,
        ABSENT: _each(lambda: [digest for digest in absent if digest in found], len(absent)),
        COLD: _each(lambda: [covers(subject.exact) for subject in subjects], len(subjects)),
        AGAIN: _each(lambda: [covers(one) for _ in range(times)], times),
    }


async def _saved(path: Path, state: State, entries: int) -> float:
    """The longest that anything else on the event loop had to wait meanwhile."""
    loop, longest = asyncio.get_running_loop(), 0.0
    pieces = state.dump

    def timed() -> Iterator[bytes]:
        nonlocal longest
        source = pieces()
        while True:
            at = loop.time()
            piece = next(source, None)
            longest = max(longest, loop.time() - at)
            if piece is None:
                return
            yield piece

    state.dump = timed  # type: ignore[method-assign] # only what is done on the loop is of interest
    await save_snapshot(path, state, {ORIGIN: entries})
    return longest


def _alone(measure: Callable[..., dict[str, _Value]], *arguments: object) -> dict[str, _Value]:
    """In a process of its own, so that memory is measured from nothing."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, arguments)


def _each(work: Callable[[], object], count: int) -> float:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times) / count * 1e6


def _events(count: int, first: int = 0) -> Iterator[Event]:
    for number in range(first, first + count):
        yield Revocation(
            origin=ORIGIN,
            seq=number + 1,
            order=int(NOW * 1000 + number) << 16,
            action=Action.REVOKE,
            type=TargetType.SESSION,
            value=f"session-{number:012}",
            reason="account-shared",
            actor="control",
            created_at=NOW,
            expires_at=NOW + 90_000 + number / 100,
        )


def _digests(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield blake2b(number.to_bytes(8), digest_size=16).digest()


def _absent() -> list[bytes]:
    return [os.urandom(16) for _ in range(LOOKUPS)]


def _subjects() -> list[Subject]:
    absent, size = _absent(), EXACT + 2 * LIMITED
    return [
        Subject(
            tuple(absent[at : at + EXACT]),
            tuple(absent[at + EXACT : at + EXACT + LIMITED]),
            tuple(absent[at + EXACT + LIMITED : at + size]),
            1,
            int(NOW),
        )
        for at in range(0, len(absent) - size, size)
    ]


def _resident() -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024


if __name__ == "__main__":
    main()
