"""Who may have been served what a copy shows, put down as it is told: numbers for the scan, names for afterwards.

In two files beside the upload, so that a million sessions weigh on nobody's memory; erased with it.
"""

from collections.abc import Iterable
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Final, Self

import msgspec

from relay.watermark.jobs.errors import AnalysisLimitError
from relay.watermark.serving.servings import ServedRow

INTERVAL: Final = Struct("<Qii")
"""A session's number, and the first and the last position of an interval."""
MAX_INTERVALS: Final = 16_000_000
_HEAD: Final = Struct("<QI")
"""Of a name: its number, so that few need to be decoded, and its length."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ServedRow)


class Gathered:
    """The two files, for one asset. A context; leaving it closes them."""

    def __init__(self, folder: Path) -> None:
        self.intervals = folder / "intervals"
        self._names = folder / "names"
        self._numbers_file = self.intervals.open("wb")
        self._names_file = self._names.open("wb")
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._numbers_file.close()
        self._names_file.close()

    def add(self, rows: Iterable[ServedRow]) -> None:
        """Put down some. Raises :class:`AnalysisLimitError` past :data:`MAX_INTERVALS`.

        What was served as variant a, whatever the code says, tells nothing of a session, nor does what is not known.
        """
        for row in rows:
            marked = [one for one in row.intervals if one.marked and one.last >= 0]
            self._count += len(marked)
            if self._count > MAX_INTERVALS:
                raise AnalysisLimitError(f"more than {MAX_INTERVALS} intervals were served of the asset")
            number = row.number
            self._numbers_file.write(b"".join(INTERVAL.pack(number, one.first, one.last) for one in marked))
            name = _encoder.encode(row)
            self._names_file.write(_HEAD.pack(number, len(name)) + name)

    def done(self) -> None:
        """All were told."""
        self._numbers_file.flush()
        self._names_file.flush()

    def rows_of(self, numbers: frozenset[int]) -> dict[int, list[ServedRow]]:
        """The rows of some numbers."""
        found: dict[int, list[ServedRow]] = {number: [] for number in numbers}
        if not numbers:
            return found
        with self._names.open("rb") as names:
            while head := names.read(_HEAD.size):
                number, length = _HEAD.unpack(head)
                name = names.read(length)
                if number in found:
                    found[number].append(_decoder.decode(name))
        return found
