"""Boxes: the containers that ISO base media files are made of (ISO/IEC 14496-12 §4.2).

Nothing here recurses: callers descend by name, only into the boxes they know, so hostile nesting costs
nothing. What is not known is never looked into and is passed on byte for byte.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from relay.errors import MediaError

MAX_BOXES = 4096
"""Most boxes that one ``moov`` or ``moof`` may hold, at all levels that are looked at."""

_HEADER = struct.Struct(">I4s")
_LARGE_HEADER = 16
_MAX_U32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Box:
    """A box within ``view``: header at ``start``, payload at ``body`` (a ``uuid``'s type included), up to ``end``.

    ``where`` is the path to it, for errors.
    """

    kind: bytes
    view: memoryview
    start: int
    body: int
    end: int
    where: str

    @property
    def size(self) -> int:
        """Bytes, header included."""
        return self.end - self.start

    @property
    def raw(self) -> memoryview:
        """The whole box."""
        return self.view[self.start : self.end]

    @property
    def header(self) -> memoryview:
        """The size and type fields: 8 bytes, or 16 with a 64-bit size."""
        return self.view[self.start : self.body]

    @property
    def payload(self) -> memoryview:
        """Everything behind the header."""
        return self.view[self.body : self.end]


class Budget:
    """Counts the boxes read so far, so that a file of empty boxes ends in an error and not in minutes of work."""

    __slots__ = ("_left", "_most")

    def __init__(self, boxes: int = MAX_BOXES) -> None:
        self._left = self._most = boxes

    def spend(self, where: str) -> None:
        """Count one box. Raises :class:`MediaError` when there were too many."""
        self._left -= 1
        if self._left < 0:
            raise MediaError(f"{where}: more than {self._most} boxes")


def read_header(view: memoryview, start: int, where: str = "") -> Box | None:
    """The box whose header is at ``start``; None while ``view`` ends inside the header.

    Its end may lie past that of ``view``. A size of 0 (the box reaches to the end of the file) ends it where
    ``view`` ends now.
    """
    have = len(view) - start
    if have < _HEADER.size:
        return None
    size, kind = _HEADER.unpack_from(view, start)
    path = f"{where}/{name_of(kind)}@{start}" if where else f"{name_of(kind)}@{start}"
    header = _HEADER.size
    if size == 1:
        header = _LARGE_HEADER
        if have < header:
            return None
        size = int.from_bytes(view[start + 8 : start + 16], "big")
    elif size == 0:
        size = have
    if size < header:
        raise MediaError(f"{path}: size {size} is less than its header")
    return Box(kind, view, start, start + header, start + size, path)


def is_open_ended(box: Box) -> bool:
    """Whether the box says no size but reaches to the end of the file."""
    return bytes(box.view[box.start : box.start + 4]) == bytes(4)


def children(parent: Box, budget: Budget, skip: int = 0) -> Iterator[Box]:
    """The boxes inside ``parent``, which start ``skip`` bytes into its payload."""
    at = parent.body + skip
    if at > parent.end:
        raise MediaError(f"{parent.where}: too short for its {skip} bytes of fields")
    view = parent.view[: parent.end]
    while at < parent.end:
        budget.spend(parent.where)
        box = read_header(view, at, parent.where)
        if box is None:
            raise MediaError(f"{parent.where}: {parent.end - at} stray bytes at its end")
        if box.end > parent.end:
            raise MediaError(f"{box.where}: reaches {box.end - parent.end} bytes past its parent")
        if is_open_ended(box):
            raise MediaError(f"{box.where}: only a box of the file's top level may leave out its size")
        yield box
        at = box.end


def only(found: list[Box], kind: bytes, where: str) -> Box:
    """The one box of a kind among ``found``. Raises :class:`MediaError` for none or several."""
    match [box for box in found if box.kind == kind]:
        case [box]:
            return box
        case boxes:
            raise MediaError(f"{where}: {len(boxes)} {name_of(kind)} boxes, expected one")


def name_of(kind: bytes) -> str:
    """A four-character code in printable form."""
    return kind.decode("ascii", "backslashreplace")


def encode_box(kind: bytes, *parts: bytes) -> bytes:
    """A box with a 32-bit size."""
    return _HEADER.pack(_HEADER.size + sum(map(len, parts)), kind) + b"".join(parts)


def encode_full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box that starts with a version and flags."""
    return encode_box(kind, (version << 24 | flags).to_bytes(4, "big"), *parts)


def grow(buffer: bytearray, start: int, by: int, where: str) -> None:
    """Enlarge the size field of the box at ``start`` of ``buffer``, in the width that it has."""
    size = int.from_bytes(buffer[start : start + 4], "big")
    if size == 0:  # It reaches to the end of the file, wherever that is.
        return
    if size == 1:
        large = int.from_bytes(buffer[start + 8 : start + 16], "big")
        buffer[start + 8 : start + 16] = (large + by).to_bytes(8, "big")
    elif size + by <= _MAX_U32:
        buffer[start : start + 4] = (size + by).to_bytes(4, "big")
    else:
        raise MediaError(f"{where}: too large to grow by {by} bytes")
