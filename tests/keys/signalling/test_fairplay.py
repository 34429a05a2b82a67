"""FairPlay key URIs, written and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SignallingError
from keys.signalling.fairplay import parse_skd_uri, skd_uri
from tests.keys.signalling.vectors import VIDEO_KID

URI = "skd://6d5c3a1e0f4b4c2d8e9f10213243546a"


def test_the_uri_names_the_key_id() -> None:
    assert skd_uri(VIDEO_KID) == URI


@given(st.binary(min_size=16, max_size=16))
def test_the_key_id_is_read_back_in_any_case(kid: bytes) -> None:
    assert parse_skd_uri(skd_uri(kid)) == kid
    assert parse_skd_uri(skd_uri(kid).upper()) == kid


@pytest.mark.parametrize(
    "uri",
    ["", "skd://", URI[:-1], URI + "0", URI + "\n", " " + URI, URI[6:], URI.replace("skd", "https"), URI[:-1] + "٣"],
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(SignallingError, match="expected skd:// and 32 hexadecimal digits"):
        parse_skd_uri(uri)


@given(st.text())
def test_foreign_text_raises_only_a_signalling_error(uri: str) -> None:
    with pytest.raises(SignallingError):
        parse_skd_uri(uri)


def test_a_key_id_must_have_16_bytes() -> None:
    with pytest.raises(SignallingError, match="15 bytes, expected 16"):
        skd_uri(bytes(15))
