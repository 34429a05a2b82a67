"""Purchases as documents: whatever comes in whatever order, all nodes come to the same, and a refund wins."""

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.model import TrackType
from keys.seal import Sealer
from relay.facts import Facts
from relay.gate.gate import Gate, GatePolicy, Visitor
from relay.gate.issuers import Issuers
from relay.gate.passes import PassCodec
from relay.gate.revocation import RevocationSet
from relay.model import Session
from relay.purchases.ledger import Ledger
from relay.purchases.records import EVENT_KIND, RETURN_KIND, RETURNED_S, EventType, Return, Sale, encode, read_sale
from relay.purchases.settings import MAX_STREAMS
from relay.state.documents import Documents
from relay.state.events import MAX_DOCUMENT_BYTES, DocumentPut
from relay.verdict import Deny, Reason

NOW = 1_800_000_000
ISSUER = "https://platform.example"
CODEC = PassCodec(Sealer([bytes(32)]))
TRACKS = (TrackType.SD, TrackType.HD, TrackType.UHD)


def sale(number: int, kind: EventType = EventType.PURCHASE, purchase: int | None = None, **given: object) -> Sale:
    fields = {
        "type": kind, "channel": "api", "source": "", "event_id": f"{kind}-{number}", "issuer": ISSUER,
        "purchase_id": f"p{number if purchase is None else purchase}", "account": "a", "content": bytes(16),
        "accepted_at": NOW + 0.5, "streams": ("film",), "ends_at": NOW + 100, "voucher_until": NOW + 100, **given,
    }  # fmt: skip
    return Sale(**fields)  # type: ignore[arg-type]  # of as many types as there are fields


def events_of(one: Sale, order: int) -> list[DocumentPut]:
    """What the till would make of an event."""
    said = [(EVENT_KIND, one.name, encode(one), one.expires_at)]
    if one.type is not EventType.PURCHASE:
        back = Return(issuer=ISSUER, account=one.account, event=one.name)
        said.append((RETURN_KIND, one.purchase, encode(back), NOW + RETURNED_S))
    return [document(kind, name, body, order, end) for kind, name, body, end in said]


def document(kind: str, name: str, body: bytes, order: int = 1, expires_at: float = 0.0) -> DocumentPut:
    return DocumentPut(
        origin="0" * 16, seq=1, order=order, kind=kind, name=name, body=body, created_at=NOW, expires_at=expires_at
    )


@dataclass
class Node:
    """A node as far as purchases go; ``visitor`` is asked about time and again."""

    documents: Documents = field(default_factory=Documents)
    sure: bool = True

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.documents, lambda: self.sure)
        policy = GatePolicy(1000.0, sold=frozenset({"film", "match"}))
        self.gate = Gate(Issuers([]), CODEC, RevocationSet(), policy, entitlements=self.ledger.entitlements)
        self.visitor = Visitor.of(Session("s", "a", ISSUER, NOW + 10_000), "film")

    def apply(self, events: list[DocumentPut], now: float = NOW) -> None:
        for event in events:
            self.documents.apply(event, now)
        self.ledger.apply(events)

    def verdict(self, now: float = NOW, visitor: Visitor | None = None) -> Reason | TrackType:
        """Why a visitor is refused, or else the best that he may have."""
        visitor = visitor or self.visitor
        refused = self.gate.recheck(visitor, lambda: Facts("GET", "/"), now)
        return refused.reason if refused else visitor.ceiling

    def fresh(self, now: float, stream: str = "film") -> Reason | TrackType:
        """The same of one who has never been here."""
        return self.verdict(now, Visitor.of(Session("s", "a", ISSUER, NOW + 10_000), stream))

    def shown(self, one: Sale, now: float = NOW) -> Reason | None:
        """Why the licence of a purchase is refused."""
        session = one.session()
        assert session
        found = self.gate.visit(CODEC.mint(session), "film", lambda: Facts("GET", "/"), now)
        return found.reason if isinstance(found, Deny) else None


@given(st.data())
def test_random_histories_come_to_the_same_on_every_node(data: st.DataObject) -> None:
    numbers = st.integers(0, 5)
    sales = []
    for number in range(data.draw(st.integers(1, 6))):
        begins = data.draw(st.sampled_from([0, NOW + 10, NOW + 20]))
        ends = data.draw(st.sampled_from([NOW + 15, NOW + 30, NOW + 40]))
        if ends > begins:
            sales.append(sale(number, begins_at=begins, ends_at=ends, ceiling=data.draw(st.sampled_from(TRACKS))))
    returned = data.draw(st.sets(numbers, max_size=4))
    kinds = st.sampled_from([EventType.REFUND, EventType.CANCEL])
    backs = [sale(100 + number, data.draw(kinds), number) for number in returned]
    history = [events_of(one, order) for order, one in enumerate([*sales, *backs], start=1)]
    repeated = history + data.draw(st.lists(st.sampled_from(history), max_size=4)) if history else []
    nodes = [Node(), Node()]
    for node in nodes:
        for events in data.draw(st.permutations(repeated)):
            node.apply(events)
            # Whoever asks in between must not be believed later.
            node.verdict()
    late = Node()
    for events in history:
        for event in events:
            late.documents.apply(event, 0.0)
    late.ledger.load()
    for now in (NOW, NOW + 10, NOW + 12, NOW + 15, NOW + 25, NOW + 30, NOW + 50):
        standing = [
            one.ceiling
            for one in sales
            if one.begins_at <= now < one.ends_at and one.purchase not in {back.purchase for back in backs}
        ]
        expected = max(standing, key=lambda track: track.rank) if standing else Reason.NOT_ENTITLED
        for node in (*nodes, late):
            assert node.verdict(now) == node.fresh(now) == expected
        for one in sales:
            if one.purchase in {back.purchase for back in backs}:
                assert nodes[0].shown(one, now) in (Reason.NOT_ENTITLED, Reason.TOKEN_EXPIRED)


def test_a_node_that_may_lack_something_turns_nobody_away_for_good() -> None:
    node = Node(sure=False)
    assert node.verdict() is Reason.STATE_STALE
    node.apply(events_of(sale(1), 1))
    assert node.verdict() is TrackType.UHD
    node.apply(events_of(sale(2, EventType.REFUND, 1), 2))
    assert node.verdict() is Reason.STATE_STALE
    node.sure = True
    assert node.verdict() is Reason.NOT_ENTITLED


def test_the_licence_needs_nobody_to_know_of_it() -> None:
    node, one = Node(sure=False), sale(1, begins_at=NOW + 10)
    assert node.shown(one, NOW + 9) is Reason.NOT_ENTITLED
    assert node.shown(one, NOW + 10) is None
    assert node.shown(one, NOW + 100) is Reason.TOKEN_EXPIRED


def test_nothing_is_looked_up_again_before_something_of_the_account_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    node.apply(events_of(sale(1), 1))
    assert node.verdict() is TrackType.UHD
    reads: list[str] = []
    monkeypatch.setattr(node.ledger.entitlements, "_read", lambda name, now: reads.append(name))
    for number in range(50):
        node.apply(events_of(sale(100 + number, account=f"other-{number}"), number))
        assert node.verdict() is TrackType.UHD
    assert reads == []
    node.apply(events_of(sale(9), 9))
    assert node.verdict() is Reason.NOT_ENTITLED
    assert len(reads) == 2


def test_two_events_under_one_name_come_to_the_one_that_stands() -> None:
    """Told to two nodes at once that could not ask each other."""
    one, other = sale(1), sale(1, account="b", content=b"o" * 16)
    assert one.name == other.name
    for first, second in ((one, other), (other, one)):
        node = Node()
        node.apply(events_of(first, 1 if first is one else 2))
        node.apply(events_of(second, 2 if first is one else 1))
        assert node.verdict() is Reason.NOT_ENTITLED
        assert node.ledger.of_account(ISSUER, "a", NOW) == []


def test_what_somebody_relies_on_lapses_once() -> None:
    node = Node()
    node.apply(events_of(sale(1), 1))
    assert not node.gate.lapsed(NOW + 500)
    assert node.verdict() is TrackType.UHD
    assert not node.gate.lapsed(NOW + 100)
    assert node.gate.lapsed(NOW + 101)
    assert not node.gate.lapsed(NOW + 102)


def test_who_was_cleared_asks_anew_when_streams_change_what_they_ask_for() -> None:
    node = Node()
    visitor = Visitor.of(Session("s", "a", ISSUER, NOW + 10_000), "free")
    assert node.verdict(NOW, visitor) is TrackType.UHD
    policy = GatePolicy(1000.0, sold=frozenset({"free"}))
    node.gate = Gate(Issuers([]), CODEC, RevocationSet(), policy, entitlements=node.ledger.entitlements)
    node.ledger.entitlements.reconsider()
    assert node.verdict(NOW, visitor) is Reason.NOT_ENTITLED


def test_accounts_are_forgotten_with_their_purchases() -> None:
    node, shuffled = Node(), Random(1)
    for number in range(200):
        at = NOW + number * 86_400
        node.apply(events_of(sale(number, account=f"account-{number}", accepted_at=at, ends_at=at + 60), number), at)
        if shuffled.random() < 0.5:
            node.documents.forget(at)
    node.documents.forget(at)
    assert len(node.ledger.entitlements) < 40


@pytest.mark.parametrize("body", [b"\xc1", b"", b"\x90", b"\x91\xa4gift"])
def test_what_cannot_be_read_holds_up_nothing(body: bytes) -> None:
    node = Node()
    for number, kind in enumerate((EVENT_KIND, RETURN_KIND)):
        node.apply([document(kind, f"n{number}", body)])
    node.apply(events_of(sale(1), 1))
    assert node.verdict() is TrackType.UHD
    node.ledger.load()


def test_the_largest_purchase_makes_a_document_and_a_pass_that_can_be_read() -> None:
    text, streams = "\U0001f3ac" * 128, tuple(f"{number:064}" for number in range(MAX_STREAMS))
    one = sale(1, account=text, device=text, watermark=text, issuer="i" * 512, streams=streams, event_id=text)
    session = one.session()
    assert session
    assert CODEC.read(CODEC.mint(session)) == session
    assert len(encode(one)) < MAX_DOCUMENT_BYTES


def test_a_record_reads_back_as_it_was_written() -> None:
    one = sale(1, begins_at=5, device="tv", watermark="w", product="season", ceiling=TrackType.SD)
    assert read_sale(encode(one)) == one
    session = one.session()
    assert session
    assert CODEC.read(CODEC.mint(session)) == session
