"""Documents are a fold of events: the latest stands, whatever came when."""

from hypothesis import given
from hypothesis import strategies as st

from relay.state.documents import Documents
from relay.state.events import REMEMBERED_S, DocumentPut, decode_event, encode_event
from relay.state.state import State

NOW = 1000.0
ORIGIN = "00112233445566aa"


def put(
    body: bytes = b"text", order: int = 1, name: str = "n", kind: str = "k", expires_at: float = 0.0
) -> DocumentPut:
    return DocumentPut(
        origin=ORIGIN,
        seq=order + 1,
        order=order,
        kind=kind,
        name=name,
        body=body,
        created_at=NOW,
        expires_at=expires_at,
    )


def folded(*events: DocumentPut, now: float = NOW) -> Documents:
    documents = Documents()
    for event in events:
        documents.apply(event, now)
    return documents


def texts(documents: Documents, kind: str = "k", now: float = NOW) -> dict[str, bytes]:
    return {name: document.body for name, document in documents.of(kind, now)}


def test_what_was_put_is_there_until_it_is_removed_or_expires() -> None:
    documents = folded(put(b"one", 1), put(b"", 2, "gone"), put(b"short", 3, "short", expires_at=NOW + 10))
    assert texts(documents) == {"n": b"one", "short": b"short"}
    assert texts(documents, now=NOW + 10) == {"n": b"one"}
    assert texts(documents, kind="other") == {}
    found = documents.get("k", "n", NOW)
    assert found is not None
    assert (found.order, found.body, found.created_at) == (1, b"one", NOW)
    assert documents.get("k", "gone", NOW) is None
    assert documents.get("k", "short", NOW + 10) is None


events = st.builds(
    put,
    body=st.sampled_from([b"", b"a", b"b"]),
    order=st.integers(1, 4),
    name=st.sampled_from(["n", "m"]),
    expires_at=st.sampled_from([0.0, NOW + 50]),
)


@given(st.lists(events, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(changes: list[DocumentPut], random: object) -> None:
    shuffled = list(changes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert texts(folded(*changes)) == texts(folded(*shuffled))


@given(st.lists(events, max_size=8))
def test_a_dump_holds_everything_removals_included(changes: list[DocumentPut]) -> None:
    state, copy = State(), State()
    for event in changes:
        state.apply(event, NOW)
    for piece in state.dump():
        copy.load(piece)
    assert copy.documents.kept("k") == state.documents.kept("k")
    assert copy.latest == state.latest


def test_what_changes_nothing_says_so_and_keeps_the_version() -> None:
    documents = Documents()
    assert documents.apply(put(b"b", 2), NOW)
    version = documents.version
    assert not documents.apply(put(b"b", 2), NOW)
    assert not documents.apply(put(b"a", 2), NOW)
    assert not documents.apply(put(b"c", 1), NOW)
    assert documents.version == version


def test_a_removal_is_remembered_for_a_while_and_then_forgotten() -> None:
    documents = folded(put(b"one", 1), put(b"", 2))
    assert not documents.apply(put(b"late", 1), NOW)
    documents.forget(NOW + REMEMBERED_S - 1)
    assert documents.kept("k")
    documents.forget(NOW + REMEMBERED_S)
    assert not documents.kept("k")


def test_what_has_expired_is_forgotten_and_what_never_does_is_not() -> None:
    documents = folded(put(b"one", 1), put(b"short", 2, "short", expires_at=NOW + 10))
    documents.forget(NOW + 10)
    assert list(documents.kept("k")) == ["n"]


def test_an_event_reads_back_as_it_was_written() -> None:
    event = put(b"\x00text", 7, expires_at=NOW)
    assert decode_event(encode_event(event)) == event
