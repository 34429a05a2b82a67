from collections.abc import Callable

import pytest

from relay.errors import MediaError
from relay.media.cursor import Cursor


def cursor(data: bytes) -> Cursor:
    return Cursor(memoryview(data), "box")


def test_fields_are_read_in_order() -> None:
    fields = cursor(bytes.fromhex("0102 00000003 fffffffe 0000000000000004 00000005 00000006 07"))
    assert (fields.u16(), fields.u32(), fields.i32(), fields.u64()) == (0x102, 3, -2, 4)
    assert fields.words(2) == (5, 6)
    assert fields.remaining == 1
    assert bytes(fields.take(1)) == b"\7"


@pytest.mark.parametrize("read", [Cursor.u16, Cursor.u32, Cursor.i32, Cursor.u64, lambda fields: fields.words(1 << 30)])
def test_the_end_is_an_error_that_says_where(read: Callable[[Cursor], object]) -> None:
    with pytest.raises(MediaError, match=r"box: \d+ bytes wanted at 0, 1 left"):
        read(cursor(b"\0"))


def test_full_box_refuses_other_versions() -> None:
    assert cursor(b"\1\0\0\7").full_box(0, 1) == (1, 7)
    with pytest.raises(MediaError, match="unknown version 2"):
        cursor(b"\2\0\0\0").full_box(0, 1)
