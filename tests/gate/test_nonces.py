"""Nonces of proofs: known again for a minute or two by every node, and made by nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.seal import Sealer
from relay.gate.nonces import SLOT_S, Nonces
from tests.gate import negatives
from tests.gate.platform import NOW

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
NONCES = Nonces(Sealer([NEW]))
START = float(NOW // SLOT_S * SLOT_S)


def test_one_nonce_is_given_out_for_a_slot_and_then_another() -> None:
    assert NONCES.at(START) == NONCES.at(START + SLOT_S - 0.001)
    assert NONCES.at(START) != NONCES.at(START + SLOT_S)


@pytest.mark.parametrize("given_at", [START, START + SLOT_S - 0.001])
def test_it_is_fresh_for_one_to_two_slots(given_at: float) -> None:
    nonce = NONCES.at(given_at)
    for now in (given_at, given_at + SLOT_S, START + 2 * SLOT_S - 0.001):
        assert NONCES.fresh(nonce, now)
    for now in (START + 2 * SLOT_S, START + 100 * SLOT_S):
        assert not NONCES.fresh(nonce, now)


def test_nodes_may_differ_by_a_slot() -> None:
    nonce = NONCES.at(START)
    assert NONCES.fresh(nonce, START - SLOT_S)
    assert not NONCES.fresh(nonce, START - SLOT_S - 0.001)


def test_all_nodes_take_each_others_while_a_root_key_is_added() -> None:
    during = Nonces(Sealer([NEW, OLD]))
    assert during.fresh(Nonces(Sealer([OLD])).at(NOW), NOW)
    assert NONCES.fresh(during.at(NOW), NOW)
    assert not NONCES.fresh(Nonces(Sealer([OLD])).at(NOW), NOW)


@pytest.mark.parametrize("nonce", [None, 1, True, [], {}, "", "x", NONCES.at(NOW) + "=", "A" * 4096, "\ud800", "ä"])
def test_what_is_no_nonce(nonce: object) -> None:
    assert not NONCES.fresh(nonce, NOW)


def test_what_is_sealed_for_another_use_is_no_nonce() -> None:
    assert not NONCES.fresh(Sealer([NEW]).seal(b"%d" % (NOW // SLOT_S), b"pass 2"), NOW)


def test_every_negative_of_a_nonce_is_refused() -> None:
    nonce = NONCES.at(NOW)
    for name, mutant in (*negatives.all_of(nonce, "."), *negatives.spare_bits(nonce, ".")):
        assert not NONCES.fresh(mutant, NOW), name


@given(st.text(max_size=200))
def test_any_text_is_refused_and_nothing_is_raised(text: str) -> None:
    assert not NONCES.fresh(text, NOW)
