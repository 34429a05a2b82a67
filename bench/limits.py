"""What presence and stream limits cost each segment, and each live session. ``python -m bench.limits``

The peer is what any such bookkeeping begins with: one look-up in a dictionary of the same sessions.
"""

import asyncio
import gc
import itertools
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from relay.config import LimitConfig
from relay.gate.presence import Live, Presence
from relay.model import Session
from relay.sessions.lease_store import LeaseStore
from relay.sessions.leases import MAX_WAIT_S, StreamLeases
from tests.valkey import valkey_server

SESSIONS = 100_000
WATCHED = 16_000
"""As many as have their passes open at a time."""
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
NOW = 1_790_000_000.0
SEGMENT_LIMIT_US = 1.0
RECORD_LIMIT = 600
ENTER_LIMIT_MS = 1000 * MAX_WAIT_S
"""Past this a viewer is let in without the shared leases. The server here syncs each write to its disk."""
ROUNDS = 9
ENTRIES = 5000
_Result = TypeVar("_Result")


@dataclass(eq=False, slots=True)
class Visitor:
    session: Session
    stream: str
    live: Live | None = None


def main() -> None:
    failed = asyncio.run(_measure())
    sys.exit(1 if failed else 0)


async def _measure() -> bool:
    visitors, session = _traced(lambda: [_visitor(number) for number in range(SESSIONS)])
    watched = visitors[:WATCHED]
    addresses = [f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}" for number in range(SESSIONS)]

    presence, record = _traced(lambda: _all_seen(visitors, addresses))
    limited = StreamLeases({"news": LimitConfig(streams=2)}, _stop, lambda _: None, lambda: NOW)
    _, lease = _traced(lambda: [limited.beat(visitor, NOW) for visitor in visitors])
    unlimited = StreamLeases({"news": LimitConfig()}, _stop, lambda _: None, lambda: NOW)
    peer = {visitor.session.sid: visitor for visitor in visitors}

    # As from requests: equal to what came before, but never the same object.
    rows = [(visitor, address + "") for visitor, address in zip(watched, addresses, strict=False)]
    agents = [AGENT.encode().decode() for _ in rows]

    def look_up() -> None:
        for visitor, _ in rows:
            peer.get(visitor.session.sid)

    def play() -> None:
        played = presence.played
        for (visitor, address), agent in zip(rows, agents, strict=True):
            played(visitor, NOW + 1, address, agent, 64500, 4.0)

    def beat(leases: StreamLeases) -> None:
        beat_of = leases.beat
        for visitor, _ in rows:
            beat_of(visitor, NOW + 1)

    later = itertools.count(NOW + 6, 6)

    def renew() -> None:
        now = next(later)
        for visitor, _ in rows:
            limited.beat(visitor, now)

    base = _per_call(look_up)
    played, free, held = _per_call(play), _per_call(lambda: beat(unlimited)), _per_call(lambda: beat(limited))
    renewed = _per_call(renew)
    both = played + held
    print(f"{'per segment':<38} {'µs':>7} {'x dict.get':>11} {'limit':>8}")
    for name, cost in (
        ("dict.get (peer)", base),
        ("presence.played", played),
        ("leases.beat, no limit set", free),
        ("leases.beat, limit set", held),
        ("played + beat", both),
        ("beat that renews (a third lease)", renewed),
    ):
        print(f"{name:<38} {cost:7.3f} {cost / base:11.1f} {SEGMENT_LIMIT_US if cost == both else '':>8}")
    print()
    print(f"{'per session':<38} {'bytes':>7} {'limit':>20}")
    print(f"{'record of a live session':<38} {record / SESSIONS:7.0f} {RECORD_LIMIT:>20}")
    print(f"{'the session and visitor it keeps':<38} {session / SESSIONS:7.0f}")
    print(f"{'its lease, where there is a limit':<38} {lease / SESSIONS:7.0f}\n")
    median, slow = await _entering()
    print(f"entering over Valkey, 16 at a time: p50 {median:.2f} ms, p99 {slow:.2f} ms, limit {ENTER_LIMIT_MS:.0f} ms")
    return both > SEGMENT_LIMIT_US or record / SESSIONS > RECORD_LIMIT or slow > ENTER_LIMIT_MS


def _visitor(number: int) -> Visitor:
    session = Session(
        f"{number:022x}",
        f"account-{number:08}",
        "https://platform.example",
        int(NOW) + 600,
        device=f"device-{number:08}",
    )
    return Visitor(session, "news")


def _all_seen(visitors: Sequence[Visitor], addresses: Sequence[str]) -> Presence:
    presence = Presence()
    for visitor, address in zip(visitors, addresses, strict=True):
        # A copy of the address, for a request brings its own.
        presence.played(visitor, NOW, address.encode().decode(), AGENT, 64500, 4.0)
    return presence


def _traced(work: Callable[[], _Result]) -> tuple[_Result, int]:
    """What work gives, and the bytes that it keeps."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        result = work()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        return result, after - before
    finally:
        tracemalloc.stop()


def _per_call(work: Callable[[], object]) -> float:
    """Microseconds for one of the :data:`WATCHED` calls that ``work`` makes: the best of several rounds."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times) / WATCHED * 1e6


async def _entering() -> list[float]:
    """Median and 99th percentile of milliseconds to enter, where leases are shared."""
    times: list[float] = []
    with valkey_server() as server:
        store = LeaseStore(server.url)
        leases = StreamLeases({"news": LimitConfig(streams=2)}, _stop, lambda _: None, time.time, store)
        numbers = iter(range(ENTRIES))

        async def one() -> None:
            for number in numbers:
                started = time.perf_counter()
                assert await leases.enter(_visitor(number), "", time.time()) is None
                times.append((time.perf_counter() - started) * 1000)

        await asyncio.gather(*(one() for _ in range(16)))
        await leases.close()
    cuts = statistics.quantiles(times, n=100)
    return [cuts[49], cuts[98]]


async def _stop(_: Sequence[str]) -> None:
    """Nobody is stopped here."""


if __name__ == "__main__":
    main()
