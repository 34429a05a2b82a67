"""Clear Key licences: the formats of EME §9.1, and every request that is not one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url
from keys.errors import LicenceRequestError
from keys.licences.clearkey import (
    MAX_KIDS,
    MAX_REQUEST_BYTES,
    ClearKeyRequest,
    SessionType,
    licence,
    parse_request,
)
from keys.material import ContentKey

KID = bytes.fromhex("6d5c3a1e0f4b4c2d8e9f10213243546a")
KEY = ContentKey(KID, bytes.fromhex("b4e1f7a90c2d5e638817f4d2a06b9c35"), bytes(16), bytes(32))
OTHER = ContentKey(b"\xff" * 16, b"\xfe" * 16, bytes(16), bytes(32))


def body(*kids: str, **members: object) -> bytes:
    return json.dumps({"kids": kids, "type": "temporary"} | members).encode()


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        (b'{"kids":["bVw6Hg9LTC2OnxAhMkNUag"],"type":"temporary"}', ClearKeyRequest((KID,), SessionType.TEMPORARY)),
        (
            b' {"type": "persistent-license", "kids": ["_____________________w", "bVw6Hg9LTC2OnxAhMkNUag=="] } ',
            ClearKeyRequest((OTHER.kid, KID), SessionType.PERSISTENT_LICENSE),
        ),
        (b'{"kids":["bVw6Hg9LTC2OnxAhMkNUag"]}', ClearKeyRequest((KID,), SessionType.TEMPORARY)),
        (
            body("bVw6Hg9LTC2OnxAhMkNUag", "bVw6Hg9LTC2OnxAhMkNUag==", more={"deep": [1, None]}),
            ClearKeyRequest((KID,), SessionType.TEMPORARY),
        ),
    ],
    ids=["as Chromium writes it", "padded, persistent", "without a type", "repeated, more members"],
)
def test_requests_are_read(request_body: bytes, expected: ClearKeyRequest) -> None:
    assert parse_request(request_body) == expected


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=MAX_KIDS, unique=True))
def test_every_key_id_is_read_in_order(kids: list[bytes]) -> None:
    assert parse_request(body(*map(base64url.encode, kids))).kids == tuple(kids)


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\x08\x04", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"kids":["\xff"]}', "not JSON"),
        (b'{"kids":["\\ud800"]}', "not JSON"),
        (body("bVw6Hg9LTC2OnxAhMkNUag") + b"x", "not JSON"),
        (b'{"x":' + b"[" * 30_000, "not JSON"),
        (b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b',"kids":[]}', "not JSON"),
        (b'{"kids":' + b"[" * 30_000, "Expected `str`, got `array`"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b"{}", "missing required field `kids`"),
        (b'{"kids":null}', "got `null` - at `\\$.kids`"),
        (b'{"kids":"bVw6Hg9LTC2OnxAhMkNUag"}', "got `str` - at `\\$.kids`"),
        (b'{"kids":[1]}', "got `int` - at `\\$.kids\\[0\\]`"),
        (body(), "Expected `array` of length >= 1"),
        (body(*["bVw6Hg9LTC2OnxAhMkNUag"] * (MAX_KIDS + 1)), "Expected `array` of length <= 256"),
        (body("bVw6Hg9LTC2OnxAhMkNUag", "bVw6"), r"kids\[1\] has 3 bytes, expected 16"),
        (body(""), r"kids\[0\] has 0 bytes, expected 16"),
        (body("bVw6Hg9LTC2OnxAhMkNUagAA"), r"kids\[0\] has 18 bytes"),
        (body("bVw6Hg9LTC2OnxAhMkNUah"), r"kids\[0\] is not base64url"),
        (body("bVw6Hg9LTC2OnxAhMkNUag="), r"kids\[0\] is not base64url"),
        (body("++//Hg9LTC2OnxAhMkNUag"), r"kids\[0\] is not base64url"),
        (body("bVw6Hg9LTC2OnxAhMkNUé"), r"kids\[0\] is not base64url"),
        (body("bVw6Hg9LTC2OnxAhMkNUag", type="forever"), "type is none of temporary, persistent-license"),
        (body("bVw6Hg9LTC2OnxAhMkNUag", type=None), "got `null` - at `\\$.type`"),
        (b" " * (MAX_REQUEST_BYTES + 1), "65537 bytes, more than 65536"),
    ],
)
def test_what_is_no_request_is_refused(request_body: bytes, message: str) -> None:
    with pytest.raises(LicenceRequestError, match=message):
        parse_request(request_body)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["kids", "type", "bVw6Hg9LTC2OnxAhMkNUag"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["kids", "type"]) | st.text(), inner),
    max_leaves=10,
)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_reading_raises_only_its_own_error(request_body: bytes) -> None:
    try:
        found = parse_request(request_body)
    except LicenceRequestError:
        return
    assert found.kids
    assert all(len(kid) == 16 for kid in found.kids)


def test_an_error_repeats_nothing_of_what_was_sent() -> None:
    with pytest.raises(LicenceRequestError) as caught:
        parse_request(body("bVw6Hg9LTC2OnxAhMkNUag", type="secret\nforged log line"))
    assert "secret" not in str(caught.value)


def test_a_licence_is_a_set_of_json_web_keys() -> None:
    assert json.loads(licence(iter([KEY, OTHER]), SessionType.TEMPORARY)) == {
        "keys": [
            {"kty": "oct", "kid": "bVw6Hg9LTC2OnxAhMkNUag", "k": "tOH3qQwtXmOIF_TSoGucNQ"},
            {"kty": "oct", "kid": "_____________________w", "k": "_v7-_v7-_v7-_v7-_v7-_g"},
        ],
        "type": "temporary",
    }


def test_a_licence_repeats_the_type_asked_for() -> None:
    assert json.loads(licence([KEY], SessionType.PERSISTENT_LICENSE))["type"] == "persistent-license"


def test_a_licence_without_keys_is_never_written() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        licence([], SessionType.TEMPORARY)
