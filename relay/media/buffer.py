"""Large results without a spare copy."""

from collections.abc import Callable
from io import BytesIO


def filled(size: int, fill: Callable[[memoryview], None]) -> bytes:
    """A ``bytes`` object of ``size``, written in place by ``fill``.

    A ``bytearray`` would have to be copied once more to become immutable, and joining parts needs room for both.
    ``BytesIO`` owns its bytes alone until ``getvalue`` hands them out.
    """
    buffer = BytesIO(bytes(size))
    with buffer.getbuffer() as view:
        fill(view)
    return buffer.getvalue()
