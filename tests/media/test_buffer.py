import pytest

from relay.media.buffer import filled


def test_what_is_written_is_what_comes_back() -> None:
    def fill(view: memoryview) -> None:
        view[1:3] = b"ab"

    assert filled(4, fill) == b"\0ab\0"
    assert filled(0, lambda view: None) == b""


def test_errors_of_the_writer_pass() -> None:
    def fill(view: memoryview) -> None:
        part = view[1:]
        raise ValueError(len(part))

    with pytest.raises(ValueError, match="3"):
        filled(4, fill)
