"""base64url: one spelling for each value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url


# RFC 4648 §10, without the padding, and one value that shows both characters of §5.
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"f", "Zg"),
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"foob", "Zm9vYg"),
        (b"fooba", "Zm9vYmE"),
        (b"foobar", "Zm9vYmFy"),
        (b"\xfb\xef\xff", "--__"),
    ],
)
def test_published_values(data: bytes, text: str) -> None:
    assert base64url.encode(data) == text
    assert base64url.decode(text) == data


@pytest.mark.parametrize("text", ["Zg==", "Zh", "Z", "Zm9v\n", "Zm 9v", "++//", "Zm9v!", "Zm9é", "\ud800", "="])
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        base64url.decode(text)


@given(st.text(max_size=12))
def test_what_decodes_encodes_back(text: str) -> None:
    try:
        data = base64url.decode(text)
    except ValueError:
        return
    assert base64url.encode(data) == text
