"""A compact map from 16-byte digests to small values that expire, for millions of entries.

Digests are uniform, so their first two bytes choose one of 65,536 *shelves*: ``bytes`` of records, back to back in
no order. A shelf is rewritten whole when it changes, which keeps it without slack and the heap without holes, and
means that nothing ever has to be grown or rehashed at once. A filter answers nearly all look-ups of what is not
there: one bit a record, chosen by the bytes of the digest that follow. Measured with 5 million entries
(``bench/state.py``): a third of the memory of a dict, and about its speed.
"""

from array import array
from collections.abc import Iterable
from itertools import accumulate, pairwise
from struct import Struct

DIGEST_BYTES = 16
ROWS = 256
"""A table is dumped and loaded by the first byte of the digests."""
FOR_EVER = 2**32 - 1
"""The latest second that can be kept."""
_SHELVES = ROWS * 256
_CELLS = 256 * 256
# A row with few records does without a filter of its own: 64 KiB would weigh more than they do.
_UNFILTERED = 64
_EVERYTHING = bytearray(b"\xff") * _CELLS
_BITS = tuple(1 << (byte & 7) for byte in range(256))
_SIZES = Struct(f"<{ROWS}I")


class Table:
    """Maps digests to values of ``value_size`` bytes, each kept until a second since the epoch (32 bits)."""

    def __init__(self, value_size: int) -> None:
        self._records = Struct(f"<{DIGEST_BYTES}sI{value_size}s")
        self._width = self._records.size
        self._shelves = [[b""] * 256 for _ in range(ROWS)]
        self._filters = [_EVERYTHING] * ROWS
        self._counts = [0] * ROWS
        self._size = 0
        # By shelf: no record of it leaves before this second.
        self._earliest = array("I", [FOR_EVER]) * _SHELVES
        self._hand = 0

    def __len__(self) -> int:
        return self._size

    def get(self, digest: bytes) -> tuple[int, bytes] | None:
        """Until when an entry is kept, and its value."""
        at = self._find(digest)
        if at < 0:
            return None
        _, keep, value = self._records.unpack_from(self._shelves[digest[0]][digest[1]], at)
        return keep, value

    def found(self, digests: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
        """Those of the digests that are there, with their values. The hot path: most often none is."""
        filters, shelves, bits, found = self._filters, self._shelves, _BITS, []
        for digest in digests:
            # Spelled out here, for a call would take longer than the look-up.
            cell = filters[digest[0]][digest[1] << 8 | digest[2]]
            if cell and cell & bits[digest[3]] and shelves[digest[0]][digest[1]]:
                entry = self.get(digest)
                if entry:
                    found.append((digest, entry[1]))
        return found

    def put(self, digest: bytes, keep: int, value: bytes) -> None:
        """Add an entry, or replace the one of this digest."""
        first, second = digest[0], digest[1]
        row = self._shelves[first]
        shelf, record = row[second], self._records.pack(digest, keep, value)
        at = self._find(digest)
        if at >= 0:
            row[second] = shelf[:at] + record + shelf[at + self._width :]
        else:
            row[second] = shelf + record
            self._counts[first] += 1
            self._size += 1
            self._filter(first, digest)
        number = first << 8 | second
        if keep < self._earliest[number]:
            self._earliest[number] = keep

    def sweep(self, now: float, shelves: int) -> list[tuple[bytes, bytes]]:
        """Drop what is kept no longer from the next so many shelves, in turn. Returns digests and values dropped."""
        dropped: list[tuple[bytes, bytes]] = []
        for number in range(self._hand, self._hand + shelves):
            if self._earliest[number % _SHELVES] <= now:
                dropped += self._clear(number % _SHELVES, now)
        self._hand = (self._hand + shelves) % _SHELVES
        return dropped

    def dump(self, row: int) -> bytes:
        """All entries whose digest begins with a byte, for :meth:`load`; nothing where there is none."""
        if not self._counts[row]:
            return b""
        shelves, cells = self._shelves[row], self._filters[row]
        sizes = _SIZES.pack(*map(len, shelves))
        return b"".join([sizes, *shelves, b"" if cells is _EVERYTHING else cells])

    def load(self, row: int, data: bytes) -> None:
        """Put a dumped row in the place of what is there. Raises ValueError."""
        if len(data) < _SIZES.size:
            raise ValueError("a row without its sizes")
        sizes = _SIZES.unpack_from(data)
        total = sum(sizes)
        filtered = len(data) - _SIZES.size - total
        if any(size % self._width for size in sizes) or filtered not in (0, _CELLS):
            raise ValueError("a row of another size than it says")
        shelves = [data[start:end] for start, end in pairwise(accumulate(sizes, initial=_SIZES.size))]
        self._shelves[row] = shelves
        self._size += total // self._width - self._counts[row]
        self._counts[row] = total // self._width
        self._filters[row] = bytearray(data[-_CELLS:]) if filtered else _EVERYTHING
        # Not known before the sweep has looked.
        self._earliest[row << 8 : row + 1 << 8] = array("I", [0 if shelf else FOR_EVER for shelf in shelves])

    def column(self, row: int, at: int) -> bytes:
        """The byte at a place of each value of a row."""
        return b"".join(self._shelves[row])[DIGEST_BYTES + 4 + at :: self._width]

    def _find(self, digest: bytes) -> int:
        if not self._filters[digest[0]][digest[1] << 8 | digest[2]] & _BITS[digest[3]]:
            return -1
        shelf = self._shelves[digest[0]][digest[1]]
        at = shelf.find(digest)
        while at > 0 and at % self._width:
            # The bytes of a digest may also stand across two records.
            at = shelf.find(digest, at + 1)
        return at

    def _filter(self, row: int, digest: bytes) -> None:
        if self._filters[row] is not _EVERYTHING:
            self._filters[row][digest[1] << 8 | digest[2]] |= _BITS[digest[3]]
        elif self._counts[row] > _UNFILTERED:
            self._filters[row] = bytearray(_CELLS)
            for second in range(256):
                self._mark(row, second)

    def _mark(self, row: int, second: int) -> None:
        cells, shelf = self._filters[row], self._shelves[row][second]
        for at in range(0, len(shelf), self._width):
            cells[second << 8 | shelf[at + 2]] |= _BITS[shelf[at + 3]]

    def _clear(self, number: int, now: float) -> list[tuple[bytes, bytes]]:
        first, second = number >> 8, number & 255
        shelf, width = self._shelves[first][second], self._width
        dropped, kept, earliest = [], [], FOR_EVER
        for at, (digest, keep, value) in enumerate(self._records.iter_unpack(shelf)):
            if keep <= now:
                dropped.append((digest, value))
            else:
                kept.append(shelf[at * width : (at + 1) * width])
                earliest = min(earliest, keep)
        self._earliest[number] = earliest
        if dropped:
            self._shelves[first][second] = b"".join(kept)
            self._counts[first] -= len(dropped)
            self._size -= len(dropped)
            if self._counts[first] <= _UNFILTERED // 2:
                self._filters[first] = _EVERYTHING
            elif self._filters[first] is not _EVERYTHING:
                self._filters[first][second << 8 : second + 1 << 8] = bytes(256)
                self._mark(first, second)
        return dropped
