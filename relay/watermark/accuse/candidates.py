"""Who may have leaked: the bits that each session would have left, in chunks of many sessions."""

from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from relay.watermark.accuse.readings import Floats, Integers
from relay.watermark.code import BLOCK, DRAWS, SCALE, AssetCode

Bits = npt.NDArray[np.bool_]
_AES_BLOCK: Final = 16


@dataclass(frozen=True, slots=True)
class Served:
    """Which positions sessions fetched: in interval i, session ``rows[i]`` all from ``first[i]`` to ``last[i]``.

    ``rows`` are places among the candidates, ascending; a session may have several intervals or none. Leave out of
    the intervals what a session was served in a fixed variant for want of the other. Positions are those of readings:
    of a pattern that repeats, those of its bits.
    """

    rows: Integers
    first: Integers
    last: Integers

    def __post_init__(self) -> None:
        if not self.rows.shape == self.first.shape == self.last.shape or self.rows.ndim != 1:
            raise ValueError("intervals need a session, a first and a last position each")
        if np.any(np.diff(self.rows) < 0):
            raise ValueError("intervals must come in the order of the sessions")

    def known(self, start: int, stop: int, positions: Integers) -> Bits:
        """Which of ``positions`` (ascending) the sessions ``start`` to ``stop`` fetched."""
        low, high = np.searchsorted(self.rows, (start, stop))
        row = self.rows[low:high] - start
        steps = np.zeros((stop - start, positions.size + 1), dtype=np.int16)
        np.add.at(steps, (row, np.searchsorted(positions, self.first[low:high])), 1)
        np.add.at(steps, (row, np.searchsorted(positions, self.last[low:high], side="right")), -1)
        return np.asarray(np.cumsum(steps[:, :-1], axis=1, dtype=steps.dtype) > 0)

    def take(self, chosen: Integers) -> "Served":
        """The intervals of some sessions, renumbered in the order given."""
        low, high = np.searchsorted(self.rows, chosen), np.searchsorted(self.rows, chosen, side="right")
        counts = high - low
        rows = np.repeat(np.arange(chosen.size), counts)
        which = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
        return Served(rows, self.first[which], self.last[which])


class Candidates(Protocol):
    """Sessions, by their place, with the bits of each. For an innocent one these must be independent of the leak."""

    def __len__(self) -> int: ...

    def shares(self, positions: Integers) -> Floats:
        """How often a session's bit is 1 at each position, exactly."""

    def bits(self, start: int, stop: int, positions: Integers) -> Bits:
        """One row for each session from ``start`` to ``stop``."""

    def known(self, start: int, stop: int, positions: Integers) -> Bits | None:
        """Which positions the sessions were served by their bits; ``None``: all."""

    def take(self, chosen: Integers) -> "Candidates":
        """Some of the sessions, in the order given."""


class DerivedCandidates:
    """Sessions whose bits the asset's code gives, by their 64-bit numbers."""

    def __init__(self, code: AssetCode, numbers: npt.NDArray[np.uint64], served: Served | None = None) -> None:
        """Without ``served``, every session is taken to have fetched everything.

        Raises :class:`ValueError` where numbers repeat, which nothing can tell apart, or an interval is of no session.
        """
        self._code = code
        self._numbers = np.asarray(numbers, dtype=np.uint64)
        self._served = served
        if np.unique(self._numbers).size != self._numbers.size:
            raise ValueError("numbers repeat; sessions that share one are one candidate")
        if served is not None and served.rows.size and (served.rows[0] < 0 or served.rows[-1] >= len(self)):
            raise ValueError(f"an interval is of no session: there are {len(self)}")

    def __len__(self) -> int:
        return int(self._numbers.size)

    def shares(self, positions: Integers) -> Floats:
        """As the profile's biases were drawn for the asset."""
        return self._thresholds(positions) / SCALE

    def bits(self, start: int, stop: int, positions: Integers) -> Bits:
        """Draws of all sessions at once: one AES call for the chunk."""
        blocks, block = np.unique(positions // DRAWS, return_inverse=True)
        counters = np.empty((stop - start, blocks.size, 2), dtype=">u8")
        counters[:, :, 0] = self._numbers[start:stop, None]
        counters[:, :, 1] = blocks
        size = counters.size * 8
        buffer = np.empty(size + _AES_BLOCK - 1, dtype=np.uint8)
        self._code.draw(counters.view(np.uint8).reshape(-1).data, buffer.data)
        draws = buffer[:size].view("<u2").reshape(stop - start, blocks.size * DRAWS)
        columns = block * DRAWS + positions % DRAWS
        if columns.size and columns[-1] - columns[0] + 1 == columns.size:
            draws = draws[:, columns[0] : columns[-1] + 1]  # no gap: a view instead of a copy
        else:
            draws = draws[:, columns]
        return np.asarray(draws < self._thresholds(positions).astype(np.uint16))

    def known(self, start: int, stop: int, positions: Integers) -> Bits | None:
        """What the intervals say."""
        return None if self._served is None else self._served.known(start, stop, positions)

    def take(self, chosen: Integers) -> Self:
        """Their numbers and intervals."""
        served = None if self._served is None else self._served.take(chosen)
        return type(self)(self._code, self._numbers[chosen], served)

    def _thresholds(self, positions: Integers) -> Integers:
        blocks, block = np.unique(positions // BLOCK, return_inverse=True)
        table = np.array([self._code.thresholds(int(index)) for index in blocks], dtype=np.int64).reshape(-1, BLOCK)
        return table[block, positions % BLOCK]


class GivenCandidates:
    """Sessions whose patterns another vendor's system drew and exported, such as those of direct tokens.

    The bound holds as far as that vendor drew patterns at random, with ones as often as ``share`` says.
    """

    def __init__(self, patterns: npt.NDArray[np.uint8], length: int, share: float = 0.5) -> None:
        """``patterns`` has a row of bytes for each session, big-endian, of ``length`` bits."""
        if patterns.ndim != 2 or not 0 < length <= patterns.shape[1] * 8:
            raise ValueError(f"patterns of shape {patterns.shape} do not hold {length} bits each")
        if not 0 < share < 1:
            raise ValueError(f"a share of ones of {share}")
        self._patterns = patterns
        self._length = length
        self._share = share

    def __len__(self) -> int:
        return int(self._patterns.shape[0])

    def shares(self, positions: Integers) -> Floats:
        """The same everywhere."""
        return np.full(positions.size, self._share)

    def bits(self, start: int, stop: int, positions: Integers) -> Bits:
        """Raises :class:`ValueError` for a position past the patterns: they repeat, which readings must know."""
        if positions.size and positions[-1] >= self._length:
            raise ValueError(f"position {positions[-1]} of patterns of {self._length} bits")
        return (self._patterns[start:stop, positions // 8] >> (7 - positions % 8).astype(np.uint8) & 1).astype(np.bool_)

    def known(self, start: int, stop: int, positions: Integers) -> Bits | None:
        """All of them."""
        return None

    def take(self, chosen: Integers) -> Self:
        """Their patterns."""
        return type(self)(self._patterns[chosen], self._length, self._share)
