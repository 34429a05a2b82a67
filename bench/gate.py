"""What a gate decision costs with millions of live revocations. ``python -m bench.gate [--entries N]``

A decision is what every request for a segment asks: the pass is known, the session is checked against all that is
revoked. Steady: nothing was revoked since the session last asked. Busy: five hundred others were. The peer in the
same run is one look-up in a dictionary of as many digests.
"""

import argparse
import time
from collections.abc import Callable
from hashlib import blake2b
from statistics import median

from keys.seal import Sealer
from relay.facts import Facts
from relay.gate.gate import Gate, GatePolicy, Visitor
from relay.gate.issuers import Issuers
from relay.gate.passes import PassCodec
from relay.gate.revocation import RevocationSet, Standing
from relay.gate.targets import Target, TargetType
from relay.model import Session

LIMIT_US = 1.5
ROUNDS = 7
DECISIONS = 20_000
VISITORS = 1000
CHANGES = 500
"""Revocations of others between two decisions about the same visitor."""
NOW = 1_800_000_000.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--entries", type=int, default=5_000_000)
    entries = options.parse_args().entries
    revoked = RevocationSet()
    peer: dict[bytes, float] = {}
    for number in range(entries):
        target = Target(TargetType.SESSION, f"revoked-{number:08}")
        revoked.apply(target, Standing(number + 1, True, 0.0, NOW + 86_400, 0), NOW)
        peer[target.digest()] = NOW
    codec = PassCodec(Sealer([bytes(32)]))
    gate = Gate(Issuers([]), codec, revoked, GatePolicy(session_lifetime=86_400, stale_after=5, grace=60))
    sessions = [
        Session(f"session-{number}", f"account-{number}", "issuer", int(NOW) + 3600, "jti", "device", key_id="k1")
        for number in range(VISITORS)
    ]
    passes = [codec.mint(session) for session in sessions]
    facts = Facts("GET", "/")
    order = entries

    def decide() -> None:
        for number in range(DECISIONS):
            assert gate.visit(passes[number % VISITORS], "live", lambda: facts, NOW).__class__ is Visitor

    def decide_after_changes() -> float:
        nonlocal order
        spent = 0.0
        for _ in range(DECISIONS // VISITORS):
            for _ in range(CHANGES):
                order += 1
                revoked.apply(
                    Target(TargetType.SESSION, f"other-{order}"), Standing(order, True, 0.0, NOW + 60, 0), NOW
                )
            started = time.perf_counter()
            for text in passes:
                assert gate.visit(text, "live", lambda: facts, NOW).__class__ is Visitor
            spent += time.perf_counter() - started
        return spent

    digests = [blake2b(session.sid.encode(), digest_size=16).digest() for session in sessions]

    def look_up() -> None:
        for number in range(DECISIONS):
            assert digests[number % VISITORS] not in peer

    steady, alone = _us(decide), _us(look_up)
    busy = median(decide_after_changes() for _ in range(ROUNDS)) / DECISIONS * 1e6
    print(f"{len(revoked):,} live revocations, {VISITORS:,} sessions")
    print(f"decision, steady             {steady:6.2f} us   {steady / alone:5.1f} x   limit {LIMIT_US} us")
    print(f"decision, busy               {busy:6.2f} us   {busy / alone:5.1f} x   limit {LIMIT_US} us")
    print(f"peer: one dictionary look-up {alone:6.2f} us")


def _us(run: Callable[[], None]) -> float:
    run()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return median(times) / DECISIONS * 1e6


if __name__ == "__main__":
    main()
