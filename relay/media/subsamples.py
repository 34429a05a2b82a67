"""From the protected ranges a codec finds in a sample to the subsample list that ``senc`` carries.

A codec says only where coded picture data lies. Alignment, the 16-bit clear counter and the subsample
limit are the same for every codec and live here.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from keys.model import Scheme
from relay.errors import MediaError

Range = tuple[int, int]
"""First byte of coded picture data within a sample, and one past its last."""

Subsample = tuple[int, int]
"""Clear bytes, then protected bytes: one entry of a sample's list (ISO/IEC 23001-7 §7.2 and §9.5)."""

MAX_SUBSAMPLES: Mapping[Scheme, int] = {Scheme.CENC: 40, Scheme.CBCS: 42}
"""Most subsamples a sample may have: ``saiz`` gives one byte to IV + 2 + 6 per subsample (ISO/IEC 14496-12
§8.7.8), and a ``cenc`` sample spends 8 of them on its IV."""

_MAX_CLEAR = 0xFFFF


class SampleMapper(Protocol):
    """Maps the samples of one segment, in decoding order: it follows parameter sets and reference frames."""

    def map(self, sample: memoryview) -> list[Subsample]:
        """The subsamples of one whole sample: all its bytes, in order, never an empty list.

        Raises :class:`MediaError` for a sample that cannot be parsed.
        """
        ...


class RangeFinder(Protocol):
    """What a codec supplies: where the coded picture data of each sample lies."""

    def find(self, sample: memoryview) -> list[Range]:
        """The ranges to protect, ascending, disjoint and within the sample.

        Raises :class:`MediaError` for a sample that cannot be parsed.
        """
        ...


class VideoCodec(Protocol):
    """What a track's sample entry says about its samples. Immutable, shared by all segments of the track."""

    def mapper(self, scheme: Scheme) -> SampleMapper:
        """A mapper for the samples of one segment."""
        ...


class RangeMapper:
    """The :class:`SampleMapper` of every codec.

    ``aligned`` asks for protected runs of whole AES blocks, as ``cenc`` does (ISO/IEC 23001-7 §9.5.2.2).
    """

    __slots__ = ("_aligned", "_finder", "_limit")

    def __init__(self, finder: RangeFinder, scheme: Scheme, *, aligned: bool) -> None:
        self._finder = finder
        self._aligned = aligned
        self._limit = MAX_SUBSAMPLES[scheme]

    def map(self, sample: memoryview) -> list[Subsample]:
        """See :meth:`SampleMapper.map`."""
        size = len(sample)
        ranges = self._finder.find(sample)
        if self._aligned:
            # The odd bytes go before the run, not after it: every subsample then starts at a NAL unit or
            # ends with a tile, which some decrypters in television sets insist on.
            ranges = [(start + (end - start & 15), end) for start, end in ranges]
        subsamples = _subsamples(size, ranges)
        return subsamples if len(subsamples) <= self._limit else _fewer_subsamples(size, ranges, self._limit)


def _subsamples(size: int, ranges: Sequence[Range]) -> list[Subsample]:
    subsamples: list[Subsample] = []
    clear_start = 0
    for start, end in ranges:
        if start == end:
            continue
        clear = start - clear_start
        if clear > _MAX_CLEAR:
            clear = _split(clear, subsamples)
        subsamples.append((clear, end - start))
        clear_start = end
    if clear_start < size or not subsamples:
        subsamples.append((_split(size - clear_start, subsamples), 0))
    return subsamples


def _split(clear: int, subsamples: list[Subsample]) -> int:
    """Append what exceeds the 16-bit clear counter; the rest, which does not."""
    while clear > _MAX_CLEAR:
        subsamples.append((_MAX_CLEAR, 0))
        clear -= _MAX_CLEAR
    return clear


def _fewer_subsamples(size: int, ranges: Sequence[Range], limit: int) -> list[Subsample]:
    """Leave the shortest ranges clear until the list fits: the least picture data goes unprotected."""
    by_length = sorted((span for span in ranges if span[0] != span[1]), key=lambda span: span[0] - span[1])
    for kept in range(min(limit, len(by_length)), -1, -1):
        subsamples = _subsamples(size, sorted(by_length[:kept]))
        if len(subsamples) <= limit:
            return subsamples
    raise MediaError(f"sample: {size} bytes with too many clear ones to describe in {limit} subsamples")
