"""Sealed values: what went in comes out, and nothing else ever does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url
from keys.errors import SealError
from keys.seal import Sealer

OLD, NEW = b"\x01" * 32, b"\x02" * 32
CONTEXT = b"stream and class"


@given(st.binary(min_size=1, max_size=300), st.binary(max_size=40))
def test_a_value_opens_as_it_was_sealed(value: bytes, context: bytes) -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(value, context)
    assert sealer.open(sealed, context) == value
    assert sealed == sealer.seal(value, context)
    assert set(sealed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.binary(min_size=1, max_size=40), st.binary(max_size=20), st.binary(max_size=20))
def test_a_value_opens_in_its_own_context_only(value: bytes, mine: bytes, other: bytes) -> None:
    sealer = Sealer([NEW])
    if mine != other:
        with pytest.raises(SealError):
            sealer.open(sealer.seal(value, mine), other)


def test_every_flipped_bit_is_noticed() -> None:
    sealer = Sealer([NEW])
    sealed = base64url.decode(sealer.seal(b"token=origin", CONTEXT))
    for at in range(len(sealed)):
        for bit in range(8):
            forged = bytearray(sealed)
            forged[at] ^= 1 << bit
            with pytest.raises(SealError):
                sealer.open(base64url.encode(bytes(forged)), CONTEXT)


def test_every_truncation_is_noticed() -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(b"token=origin", CONTEXT)
    for size in range(len(sealed)):
        with pytest.raises(SealError):
            sealer.open(sealed[:size], CONTEXT)


def other_spellings() -> list[str]:
    # One byte is sealed as 17, so the last character carries four stray bits.
    sealed = Sealer([NEW]).seal(b"?", CONTEXT)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    stray = sealed[:-1] + alphabet[alphabet.index(sealed[-1]) ^ 1]
    return [
        sealed + "=",
        sealed + " ",
        " " + sealed,
        sealed + "\n",
        sealed[:4] + "!" + sealed[4:],
        stray,
        sealed.replace("-", "+").replace("_", "/") + "==",
    ]


@pytest.mark.parametrize("text", other_spellings())
def test_another_spelling_of_a_sealed_value_is_refused(text: str) -> None:
    with pytest.raises(SealError, match="not canonical base64url"):
        Sealer([NEW]).open(text, CONTEXT)


@given(st.text(max_size=60) | st.binary(max_size=60).map(base64url.encode))
def test_foreign_text_raises_nothing_but_a_seal_error(text: str) -> None:
    with pytest.raises(SealError):
        Sealer([OLD, NEW]).open(text, CONTEXT)


def test_a_replaced_key_still_opens_and_no_longer_seals() -> None:
    before, during, after = Sealer([OLD]), Sealer([NEW, OLD]), Sealer([NEW])
    assert during.open(before.seal(b"value"), b"") == b"value"
    assert during.seal(b"value") == after.seal(b"value")
    with pytest.raises(SealError):
        after.open(before.seal(b"value"))
