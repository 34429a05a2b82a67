"""JSON Web Keys: the specification's examples, and what is left out or refused."""

import contextlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url
from relay.gate.dialects.jwk import MAX_KEYS, keys_of, public_key
from relay.gate.dialects.keys import TokenKey
from tests.gate.platform import EC_KEY, ED_KEY

# RFC 7517, appendix A.1, without its second key, and RFC 8037, appendix A.2.
EC = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "kid": "1",
}
OKP = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "2"}


def rsa(bits: int = 2048, exponent: int = 65537) -> dict[str, Any]:
    numbers = generate_private_key(exponent, bits).public_key().public_numbers()
    n, e = (base64url.encode(value.to_bytes((value.bit_length() + 7) // 8)) for value in (numbers.n, numbers.e))
    return {"kty": "RSA", "n": n, "e": e, "kid": "3"}


RSA = rsa()


def read(*jwks: Any) -> list[TokenKey]:
    return keys_of(json.dumps({"keys": list(jwks)}).encode())


def test_keys_of_every_kind() -> None:
    assert [(key.kid, key.algorithm) for key in read(EC, OKP, RSA)] == [("1", "ES256"), ("2", "EdDSA"), ("3", "PS256")]


@pytest.mark.parametrize(("private", "jwk"), [(EC_KEY, EC), (ED_KEY, OKP)])
def test_a_key_verifies_what_its_private_part_signed(private: Any, jwk: dict[str, str]) -> None:
    numbers = private.public_key()
    if jwk is EC:
        point = numbers.public_numbers()
        own = {**EC, "x": base64url.encode(point.x.to_bytes(32)), "y": base64url.encode(point.y.to_bytes(32))}
    else:
        own = {**OKP, "x": base64url.encode(numbers.public_bytes_raw())}
    assert read(own)[0].key == numbers
    assert public_key(own, "k") == TokenKey("k", read(own)[0].algorithm, numbers)


@pytest.mark.parametrize(
    "jwk",
    [
        {**EC, "kid": None},
        {**EC, "kid": 7},
        {**EC, "kid": ""},
        {**EC, "kid": "k" * 513},
        {name: value for name, value in EC.items() if name != "kid"},
        {**EC, "use": "enc"},
        {**EC, "key_ops": ["sign"]},
        {**EC, "key_ops": "verify"},
        {**EC, "alg": "ES384"},
        {**EC, "crv": "P-384"},
        {**EC, "crv": ["P-256"]},
        {**OKP, "crv": "X25519"},
        {**RSA, "alg": "RS256"},
        {"kty": "oct", "k": "AAAA", "kid": "4"},
        {"kty": "oct", "k": base64url.encode(bytes(32)), "alg": "HS256", "kid": "4"},
        {"kty": "unknown", "kid": "5"},
        {"kty": ["EC"], "kid": "5"},
        {},
    ],
)
def test_keys_of_other_kinds_and_uses_are_left_out(jwk: dict[str, Any]) -> None:
    assert [key.kid for key in read(jwk, OKP)] == ["2"]


@pytest.mark.parametrize(
    "jwk",
    [
        "key",
        None,
        {**EC, "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"},
        {**EC, "k": "AAAA"},
        {**EC, "x": EC["y"]},
        {**EC, "x": "AAAA"},
        {**EC, "y": EC["y"] + "="},
        {**EC, "y": None},
        {**EC, "x": "A" * 3000},
        {**OKP, "x": ""},
        {**OKP, "x": EC["x"][:-4]},
        {**RSA, "e": base64url.encode(bytes([1, 0, 0, 0, 1]))},
        {**RSA, "e": base64url.encode(bytes([2]))},
        {**RSA, "n": "AQAB"},
        {"kty": "RSA", "kid": "3"},
        rsa(1024),
    ],
)
def test_a_malformed_key_refuses_the_set(jwk: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read(OKP, jwk)


def test_one_key_id_is_one_key() -> None:
    for second in ({**OKP, "kid": "1"}, {**EC, "x": EC["x"]}):
        with pytest.raises(ValueError, match="two keys have the same kid"):
            read(EC, second)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":null}',
        b"\xff",
        b"[" * 100_000,
        json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode(),
    ],
)
def test_what_is_no_set_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not a JWK set"):
        keys_of(raw)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), lambda x: st.lists(x, max_size=2))


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"]), JSON), max_size=3
    )
)
def test_any_set_is_read_or_refused(jwks: list[dict[str, Any]]) -> None:
    with contextlib.suppress(ValueError):
        read(*({**EC, **jwk} for jwk in jwks))
