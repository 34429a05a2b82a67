"""FairPlay key URIs."""

import pytest

from keys.errors import SignallingError
from keys.signalling.fairplay import skd_uri
from tests.keys.signalling.vectors import VIDEO_KID

URI = "skd://6d5c3a1e0f4b4c2d8e9f10213243546a"


def test_the_uri_names_the_key_id() -> None:
    assert skd_uri(VIDEO_KID) == URI


def test_a_key_id_must_have_16_bytes() -> None:
    with pytest.raises(SignallingError, match="15 bytes, expected 16"):
        skd_uri(bytes(15))
