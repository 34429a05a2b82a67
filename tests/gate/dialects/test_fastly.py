"""Fastly URL tokens."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gate.dialects.fastly import FastlyDialect, FastlyOptions
from relay.gate.dialects.keys import KeySet
from relay.verdict import Deny, Reason
from tests.gate import negatives
from tests.gate.links import END, KEY, NOW, TERMS, TIMES, at, proven, refused, secrets

HERE = at("/live/ch1/seg1.m4s")
# Worked from the check that Fastly publishes, whose editions differ only on URLs with a query.
TOKEN = f"{END}_e9c6dd339d393ec4be5ab342e761ce65b24d01a7"
DIALECT = FastlyDialect(TERMS, secrets(KEY))


def minted(over: str, expiry: object = END, key: bytes = KEY) -> str:
    return f"{expiry}_{hmac.digest(key, f'{over}{expiry}'.encode(), 'sha1').hex()}"


def test_the_vector() -> None:
    session = proven(DIALECT, TOKEN, HERE).session
    assert session.sid == session.account == session.token_id
    assert (session.expires_at, session.key_id, session.issuer) == (END, "k1", "links.example")
    assert refused(DIALECT, TOKEN, HERE) is None
    assert refused(DIALECT, TOKEN, at("/live/ch1/seg2.m4s")) is Reason.TOKEN_SIGNATURE


def test_mechanical_negatives() -> None:
    mac = TOKEN.rpartition("_")[2]
    for name, mutant in (*negatives.all_of(TOKEN, "_"), *negatives.hex_flips(TOKEN, mac)):
        assert isinstance(DIALECT.verify(mutant, HERE, NOW), Deny), name


@pytest.mark.parametrize(("now", "reason"), TIMES)
def test_times(now: float, reason: Reason | None) -> None:
    assert refused(DIALECT, TOKEN, HERE, now) is reason


def test_what_is_over_is_gone() -> None:
    verdict = DIALECT.verify(TOKEN, HERE, END + 10)
    assert isinstance(verdict, Deny)
    assert verdict.answer == (410, {})
    unsigned = DIALECT.verify(TOKEN, at("/x"), END + 10)
    assert isinstance(unsigned, Deny)
    assert unsigned.answer is None


@pytest.mark.parametrize(
    "expiry", [f"0{END}", "1790003600000", f" {END}", f"+{END}", "-1", "1e9", "", "\u0661790003600"]
)
def test_an_expiry_has_one_spelling(expiry: str) -> None:
    assert refused(DIALECT, minted(HERE.path, expiry), HERE) is Reason.TOKEN_MALFORMED


def test_the_query_is_signed_where_the_issuer_signs_it() -> None:
    whole = FastlyDialect(TERMS, secrets(KEY), FastlyOptions(with_query=True))
    here = at("/a", query="scheme=cbcs")
    assert refused(whole, minted("/a?scheme=cbcs"), here) is None
    assert refused(whole, minted("/a"), here) is Reason.TOKEN_SIGNATURE
    assert refused(whole, minted("/a"), at("/a")) is None
    assert refused(DIALECT, minted("/a"), here) is None
    assert refused(whole, minted("/a"), at("/a", query="\udcff")) is Reason.TOKEN_SIGNATURE


def test_paths_that_can_be_read_in_two_ways_are_refused() -> None:
    for path in ("/a/../b", "/a%2fb", "/a\\b"):
        assert refused(DIALECT, minted(path), at(path)) is Reason.SCOPE_PATH
    assert refused(DIALECT, TOKEN, at("/\u00e9")) is Reason.SCOPE_PATH


def test_each_key_of_the_issuer_is_tried() -> None:
    both = FastlyDialect(TERMS, secrets(b"n" * 32, KEY))
    assert proven(both, TOKEN, HERE).session.key_id == "k2"
    assert refused(FastlyDialect(TERMS, KeySet()), TOKEN, HERE) is Reason.TOKEN_SIGNATURE


@given(st.text(max_size=60))
def test_any_text_is_refused(text: str) -> None:
    assert isinstance(DIALECT.verify(text, HERE, NOW), Deny)
