"""Control events: what is written is read again, and nothing else is."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gate.targets import Target, TargetType
from relay.state.events import (
    MAX_BATCH,
    MAX_EVENT_BYTES,
    Action,
    Event,
    Revocation,
    SaltDrawn,
    decode_batch,
    decode_event,
    encode_batch,
    encode_event,
)

ORIGIN = "00112233445566aa"
REVOKED = Revocation(
    origin=ORIGIN, seq=1, order=65536, action=Action.REVOKE, type=TargetType.SESSION, value="s1", created_at=1.5,
    expires_at=99.25,
)  # fmt: skip
SALT = SaltDrawn(origin=ORIGIN, seq=2, stream="news", period=600_000, salt=bytes(range(32)))
WRITTEN = bytes.fromhex(
    "de0009a56576656e74aa7265766f636174696f6ea66f726967696eb030303131323233333434353536366161a373657101a56f72646572ce"
    "00010000a6616374696f6ea67265766f6b65a474797065a773657373696f6ea576616c7565a27331aa637265617465645f6174cb3ff80000"
    "00000000aa657870697265735f6174cb4058d00000000000"
)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
seconds = st.floats(0, 2**40)
numbers = st.integers(1, 2**53 - 1)
revocations = st.builds(
    Revocation,
    origin=st.just(ORIGIN),
    seq=numbers,
    order=st.integers(0, 2**63 - 1),
    action=st.sampled_from(Action),
    type=st.sampled_from(TargetType),
    value=words,
    issuer=words,
    viewer=words,
    limit=st.integers(0, 2**53 - 1),
    reason=words,
    detail=words,
    actor=words,
    created_at=seconds,
    effective_at=seconds,
    expires_at=seconds,
    sources=st.lists(words, max_size=3).map(tuple),
)
salts = st.builds(
    SaltDrawn,
    origin=st.just(ORIGIN),
    seq=numbers,
    stream=words,
    period=st.integers(0, 2**60),
    salt=st.binary(min_size=1, max_size=64),
)


@given(revocations | salts)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


@given(st.lists(revocations | salts, max_size=5))
def test_a_batch_is_read_as_it_was_written(events: list[Event]) -> None:
    assert decode_batch(encode_batch(events)) == events


def test_the_written_form_never_changes() -> None:
    """Journals of earlier versions must stay readable."""
    assert decode_event(WRITTEN) == REVOKED
    assert encode_event(REVOKED) == WRITTEN


def test_an_event_names_itself_and_its_target() -> None:
    assert REVOKED.id == f"{ORIGIN}-1"
    assert REVOKED.target == Target(TargetType.SESSION, "s1")


GOOD = msgspec.to_builtins(REVOKED)


@pytest.mark.parametrize(
    "changed",
    [
        {"event": "restored"},
        {"origin": "x"},
        {"origin": ORIGIN + "\n"},
        {"seq": 0},
        {"seq": 2**53},
        {"order": -1},
        {"action": "pardon"},
        {"type": "planet"},
        {"value": "x" * 513},
        {"limit": -1},
        {"created_at": "now"},
        {"expires_at": None},
        {"sources": "x"},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_event_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec words it
        decode_event(msgspec.msgpack.encode({**GOOD, **changed}))


@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_a_value_error(data: bytes) -> None:
    for decode in (decode_event, decode_batch):
        try:
            found = decode(data)
        except ValueError:
            continue
        assert found == []


def test_a_message_larger_than_any_batch_is_not_even_parsed() -> None:
    with pytest.raises(ValueError, match="larger"):
        decode_batch(bytes(MAX_BATCH * MAX_EVENT_BYTES + 1))
