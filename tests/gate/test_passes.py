"""Passes: a session travels through the player and comes back as it was, or not at all."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.model import TrackType
from keys.seal import Sealer
from relay.bounds import Bounds
from relay.gate.passes import MAX_PASS, PassCodec
from relay.model import LimitCount, LimitMode, LimitScope, Session, StreamLimit

OLD, NEW = b"\x01" * 32, b"\x02" * 32
CODEC = PassCodec(Sealer([NEW]))
SESSION = Session("session-1", "account-1", "https://platform.example", 1_790_000_600)

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
times = st.integers(0, 2**53)
streams = st.none() | st.frozensets(texts, max_size=5)
limits = st.builds(
    StreamLimit,
    st.integers(1, 9),
    st.sampled_from(LimitMode),
    st.sampled_from(LimitScope),
    st.sampled_from(LimitCount),
)
lists = st.lists(texts, max_size=3).map(tuple)
bounds = st.builds(Bounds, lists, lists, lists, texts, st.integers(0, 3600))
sessions = st.builds(
    Session,
    texts,
    texts,
    texts,
    times,
    texts,
    texts,
    streams=streams,
    ceiling=st.sampled_from(TrackType),
    key_id=texts,
    issued_at=times,
    version=times,
    watermark=texts,
    limit=st.none() | limits,
    bounds=bounds,
)


@given(sessions)
def test_a_session_comes_back_as_it_went(session: Session) -> None:
    text = CODEC.mint(session)
    assert CODEC.read(text) == session
    assert CODEC.mint(session) == text
    assert text.isascii()
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_an_empty_entitlement_is_not_an_open_one() -> None:
    none = Session("s", "a", "i", 1, streams=frozenset())
    found = CODEC.read(CODEC.mint(none))
    assert found is not None
    assert found.streams == frozenset()


def test_nobody_reads_the_account_in_a_pass() -> None:
    assert "account" not in CODEC.mint(SESSION)


def test_every_edit_and_truncation_is_refused() -> None:
    text = CODEC.mint(SESSION)
    for at in range(len(text)):
        assert CODEC.read(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]) is None
        assert CODEC.read(text[:at]) is None


@given(st.text(max_size=200))
def test_any_text_is_refused_and_nothing_is_raised(text: str) -> None:
    assert CODEC.read(text) is None


@pytest.mark.parametrize("extra", ["A" * MAX_PASS, "é", "=", "\n"])
def test_what_follows_a_pass_spoils_it(extra: str) -> None:
    assert CODEC.read(CODEC.mint(SESSION) + extra) is None


def test_a_pass_of_another_deployment_is_refused_and_one_under_the_replaced_key_is_not() -> None:
    before, during = PassCodec(Sealer([OLD])), PassCodec(Sealer([NEW, OLD]))
    assert during.read(before.mint(SESSION)) == SESSION
    assert CODEC.read(before.mint(SESSION)) is None


GOOD = {"s": "s", "a": "a", "i": "i", "e": 1}


def sealed(fields: object, context: bytes = b"pass 2") -> str:
    return Sealer([NEW]).seal(msgspec.msgpack.encode(fields), context)


def test_what_the_relay_sealed_for_another_purpose_is_no_pass() -> None:
    assert CODEC.read(sealed(GOOD)) is not None
    assert CODEC.read(sealed(GOOD, b"something else")) is None


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("s", "a", "i", 1),
        "text",
        {"s": "s"},
        {**GOOD, "e": "1"},
        {**GOOD, "c": "8k"},
        {**GOOD, "z": 1},
        {**GOOD, "n": {"networks": 1}},
        {**GOOD, "q": {"most": 1, "mode": "maybe"}},
    ],
)
def test_a_pass_of_another_version_is_refused(fields: object) -> None:
    assert CODEC.read(sealed(fields)) is None
    assert CODEC.read(Sealer([NEW]).seal(b"\xc1", b"pass 2")) is None


def test_a_plain_session_makes_a_short_pass() -> None:
    """It is part of every URL."""
    assert len(CODEC.mint(SESSION)) < 140
