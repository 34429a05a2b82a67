"""What entitlements cost: memory, and a gate decision on a stream that must be bought. ``python -m bench.purchases``

Steady: nothing was bought since the session last asked. Busy: five hundred others have bought something. Own: the
account itself has, so that what it holds is read anew. The peer in the same run is a stream that asks for nothing.
"""

import argparse
import gc
import time
import tracemalloc
from collections.abc import Callable
from statistics import median

from keys.seal import Sealer
from relay.facts import Facts
from relay.gate.gate import Gate, GatePolicy, Visitor
from relay.gate.issuers import Issuers
from relay.gate.passes import PassCodec
from relay.gate.revocation import RevocationSet
from relay.model import Session
from relay.purchases.ledger import Ledger
from relay.purchases.records import EVENT_KIND, EventType, Sale, encode
from relay.state.documents import Documents
from relay.state.events import DocumentPut, decode_event, encode_event

ROUNDS = 7
DECISIONS = 20_000
VISITORS = 1000
CHANGES = 500
LIMIT_US = 1.5
NOW = 1_800_000_000
ISSUER = "https://platform.example"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--entries", type=int, default=200_000)
    entries = options.parse_args().entries
    documents = Documents()
    ledger = Ledger(documents, lambda: True)
    gc.collect()
    tracemalloc.start()
    for number in range(entries):
        put(documents, ledger, number)
    each = tracemalloc.get_traced_memory()[0] / entries
    tracemalloc.stop()
    policy = GatePolicy(session_lifetime=86_400, sold=frozenset({"film"}))
    codec = PassCodec(Sealer([bytes(32)]))
    gate = Gate(Issuers([]), codec, RevocationSet(), policy, entitlements=ledger.entitlements)
    sessions = [Session(f"session-{number}", account(number), ISSUER, NOW + 3600) for number in range(VISITORS)]
    passes = [codec.mint(session) for session in sessions]
    facts = Facts("GET", "/")
    numbers = iter(range(entries, 1 << 60))

    def decide(stream: str) -> None:
        for text in passes:
            assert gate.visit(text, stream, lambda: facts, NOW).__class__ is Visitor

    def after(change: Callable[[], None]) -> float:
        decide("film")
        spent = 0.0
        for _ in range(DECISIONS // VISITORS):
            change()
            started = time.perf_counter()
            decide("film")
            spent += time.perf_counter() - started
        return spent / DECISIONS * 1e6

    def others_buy() -> None:
        for _ in range(CHANGES):
            put(documents, ledger, next(numbers))

    def all_buy() -> None:
        for number in range(VISITORS):
            ledger.entitlements.touch(ISSUER, account(number))

    free = median(steady(decide, "free") for _ in range(ROUNDS))
    sold = median(steady(decide, "film") for _ in range(ROUNDS))
    busy = median(after(others_buy) for _ in range(ROUNDS))
    own = median(after(all_buy) for _ in range(ROUNDS))
    print(f"{entries:,} entitlements of {each:.0f} bytes each, {VISITORS:,} sessions")
    print(f"decision, steady             {sold:6.2f} us   {sold / free:5.1f} x   limit {LIMIT_US} us")
    print(f"decision, busy               {busy:6.2f} us   {busy / free:5.1f} x   limit {LIMIT_US} us")
    print(f"decision, own                {own:6.2f} us   {own / free:5.1f} x")
    print(f"peer: nothing to be bought   {free:6.2f} us")


def account(number: int) -> str:
    return f"account-{number:08}"


def put(documents: Documents, ledger: Ledger, number: int) -> None:
    """One purchase, as it comes from another node."""
    sale = Sale(
        type=EventType.PURCHASE, channel="shop:shop", source="/orders", event_id=f"evt_{number:024}",
        purchase_id=f"order-{number:08}", issuer=ISSUER, account=account(number), content=bytes(16), accepted_at=NOW,
        streams=("film",), ends_at=NOW + 86_400, voucher_until=NOW + 86_400,
    )  # fmt: skip
    event = DocumentPut(
        origin="0" * 16, seq=number + 1, order=number + 1, kind=EVENT_KIND, name=sale.name, body=encode(sale),
        created_at=NOW, expires_at=sale.expires_at,
    )  # fmt: skip
    read = decode_event(encode_event(event))
    assert isinstance(read, DocumentPut)
    documents.apply(read, NOW)
    ledger.apply([read])


def steady(decide: Callable[[str], None], stream: str) -> float:
    """Microseconds of a decision."""
    decide(stream)
    started = time.perf_counter()
    for _ in range(DECISIONS // VISITORS):
        decide(stream)
    return (time.perf_counter() - started) / DECISIONS * 1e6


if __name__ == "__main__":
    main()
