"""Compact signatures: what cannot be spelt, and what bounds the work on what was."""

from typing import Any

import pytest

from keys import base64url
from relay.gate.dialects.claims import BadTokenError
from relay.gate.dialects.jws import seal, strict_json, take_apart
from relay.gate.dialects.keys import Signer
from tests.gate.platform import SECRET

SIGNER = Signer.load("hs-1", "HS256", SECRET)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", float("nan"), float("inf")])
def test_claims_that_json_cannot_spell_are_not_sealed(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        seal({}, {"x": value}, SIGNER)


def test_what_is_sealed_comes_apart_again() -> None:
    jws = take_apart(seal({"kid": "hs-1"}, {"x": ["\u00fc", None, 1]}, SIGNER))
    assert (jws.header, jws.claims) == ({"kid": "hs-1", "alg": "HS256"}, {"x": ["\u00fc", None, 1]})
    jws.check(SIGNER.public())


def test_nesting_is_bounded_before_it_is_parsed() -> None:
    assert strict_json(b'{"x":' + b"[" * 255 + b"]" * 255 + b"}")
    with pytest.raises(BadTokenError, match="more than 256 JSON arrays and objects"):
        strict_json(b'{"x":' + b"[" * 256 + b"]" * 256 + b"}")


def test_the_algorithm_named_is_the_signers() -> None:
    assert take_apart(seal({"alg": "none"}, {}, SIGNER)).header["alg"] == "HS256"


def test_a_token_may_be_as_long_as_its_reader_says() -> None:
    text = seal({}, {"x": "y" * 5000}, SIGNER)
    assert take_apart(text, 10_000).claims["x"] == "y" * 5000
    with pytest.raises(BadTokenError, match="at most 4096 characters"):
        take_apart(text)
    with pytest.raises(BadTokenError):
        take_apart(f"{base64url.encode(b'{}')}..x")
