"""The registry of codecs: by the name of a sample entry, from its configuration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import MediaError, UnsupportedMediaError
from relay.media.codec_names import CONFIG_BOX
from relay.media.codecs import codec_of


@pytest.mark.parametrize("name", [b"vp08", b"mp4v", b"encv", b"vvc1", b"\xff\0\0\0", b""])
def test_other_formats_are_refused_by_name(name: bytes) -> None:
    with pytest.raises(UnsupportedMediaError, match="sample entry"):
        codec_of(name, bytes(64))


@pytest.mark.parametrize("name", CONFIG_BOX)
@pytest.mark.parametrize("config", [None, b"", b"\x01", b"\x81", bytes(64)])
def test_a_bad_configuration_is_refused(name: bytes, config: bytes | None) -> None:
    with pytest.raises(MediaError):
        codec_of(name, config)


@given(st.sampled_from(sorted(CONFIG_BOX)), st.binary(max_size=80))
def test_any_configuration_is_read_or_refused(name: bytes, config: bytes) -> None:
    try:
        codec_of(name, config)
    except MediaError:
        return
