"""Protecting media segments: samples encrypted in place, fragments rebuilt around them (ISO/IEC 23001-7).

Bytes are only ever added to a ``moof``; every other box is passed on as it is, except the byte tables: ``sidx`` is
corrected where it can be, ``ssix`` and ``mfra``, which players do without, are dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from relay.errors import MediaError
from relay.media.box import Box, Budget, is_open_ended, read_header
from relay.media.boxes.sidx import Sidx
from relay.media.buffer import filled
from relay.media.init_segment import InitSegment
from relay.media.model import Protection, SampleIvs
from relay.media.unit import ProtectedUnit, UnitProtector

MAX_UNIT_BYTES = 64 << 20
"""What :class:`StreamProtector` buffers at most, unless told: six seconds of 80 Mbit/s video."""

MAX_TOP_LEVEL = 100_000
"""Most boxes at the top level of a segment. A whole film in one file has a few ten thousand."""

MAX_SAMPLES = 100_000
"""Most samples of a segment, unless told: half an hour of audio and video. Whole files may hold more."""

_MAX_BETWEEN = 16
"""Most boxes between a ``moof`` and its ``mdat``."""

_DROPPED = frozenset({b"ssix", b"mfra"})


def protect_segment(
    data: bytes | memoryview,
    init: InitSegment,
    protection: Protection,
    ivs: SampleIvs,
    *,
    groups: bool = True,
    position: int = 0,
    max_samples: int = MAX_SAMPLES,
) -> bytes:
    """A media segment, protected.

    It may hold any number of fragments. ``groups`` says whether each names its key in a ``seig`` group; ``position``
    is where ``data`` starts in its file, for fragments that count their offsets from there. Beside the input and the
    result no third copy of the segment is made.

    Raises :class:`AlreadyProtectedError` for encrypted input, else :class:`MediaError`.
    """
    view = memoryview(data)
    protector = UnitProtector(init, protection, ivs, groups=groups, max_samples=max_samples)
    budget = Budget(MAX_TOP_LEVEL)
    starts: list[int] = []
    pieces: list[ProtectedUnit | Sidx | memoryview | None] = []
    at = 0
    while at < len(view):
        budget.spend("segment")
        piece = _next_piece(view, at, complete=True, limit=len(view))
        assert piece is not None, "a complete file always has a next piece"
        starts.append(at)
        at = piece.end
        if piece.mdat is not None:
            pieces.append(protector.plan(piece.box, piece.mdat, position + piece.box.start))
        elif piece.box.kind == b"sidx":
            pieces.append(Sidx.decode(piece.box))
        else:
            pieces.append(None if piece.box.kind in _DROPPED else piece.box.raw)
    if not any(isinstance(piece, ProtectedUnit) for piece in pieces):
        raise MediaError("segment: holds no fragment")
    parts = _correct_indexes(pieces, [*starts, at])
    return filled(sum(map(_size, parts)), lambda out: _write(parts, out))


class StreamProtector:
    """Protects a segment while it arrives, fragment by fragment, as chunked CMAF is made for.

    What it gives out is that of :func:`protect_segment` except for ``sidx``, which would have to be sent before the
    sizes it lists are known, and which CMAF does not need. It holds back one fragment at most; ``max_unit`` bounds it.
    """

    def __init__(
        self,
        init: InitSegment,
        protection: Protection,
        ivs: SampleIvs,
        *,
        groups: bool = True,
        max_unit: int = MAX_UNIT_BYTES,
        position: int = 0,
    ) -> None:
        self._protector = UnitProtector(init, protection, ivs, groups=groups, max_samples=MAX_SAMPLES)
        self._budget = Budget(MAX_TOP_LEVEL)
        self._max_unit = max_unit
        self._position = position
        self._buffer = bytearray()
        self._any = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take what arrived; give what is finished.

        Raises as :func:`protect_segment` does; the stream is broken then and must be ended.
        """
        self._buffer += chunk
        return self._drain(complete=False)

    def finish(self) -> list[bytes]:
        """Give the rest. Raises :class:`MediaError` where the segment ended too early."""
        rest = self._drain(complete=True)
        if not self._any:
            raise MediaError("segment: holds no fragment")
        return rest

    def _drain(self, *, complete: bool) -> list[bytes]:
        out: list[bytes] = []
        at = 0
        with memoryview(self._buffer) as view:
            while at < len(view):
                piece = _next_piece(view, at, complete=complete, limit=self._max_unit)
                if piece is None:
                    break
                self._budget.spend("segment")
                if piece.mdat is not None:
                    unit = self._protector.plan(piece.box, piece.mdat, self._position + at)
                    out.append(filled(unit.size, unit.write))
                    self._any = True
                elif piece.box.kind not in _DROPPED | {b"sidx"}:
                    out.append(bytes(piece.box.raw))
                at = piece.end
            if at:
                # A new buffer for what is left, instead of moving it to the front of one that views still look at.
                self._buffer = bytearray(view[at:])
                self._position += at
        return out


@dataclass(frozen=True, slots=True)
class _Piece:
    """A top-level box, or a ``moof`` with everything up to the end of its ``mdat``."""

    box: Box
    mdat: Box | None = None

    @property
    def end(self) -> int:
        return (self.mdat or self.box).end


def _next_piece(view: memoryview, at: int, *, complete: bool, limit: int) -> _Piece | None:
    """The piece at ``at``; None if more bytes are needed and ``complete`` does not say that there are none.

    Raises :class:`MediaError` for a truncated piece, for one longer than ``limit`` and for boxes that have no place
    in a media segment.
    """
    box = _next_box(view, at, at, complete=complete, limit=limit)
    if box is None:
        return None
    if box.kind in {b"mdat", b"moov"}:
        raise MediaError(f"{box.where}: has no place here; segments hold fragments")
    if box.kind != b"moof":
        return _Piece(box)
    end = box.end
    for _ in range(_MAX_BETWEEN):
        between = _next_box(view, end, at, complete=complete, limit=limit)
        if between is None:
            return None
        if between.kind == b"mdat":
            return _Piece(box, between)
        if between.kind in _DROPPED | {b"moof", b"moov", b"sidx"}:
            break
        end = between.end
    raise MediaError(f"{box.where}: no mdat follows")


def _next_box(view: memoryview, at: int, start: int, *, complete: bool, limit: int) -> Box | None:
    box = read_header(view, at)
    waiting = box is None or box.end > len(view) or (is_open_ended(box) and not complete)
    if waiting and complete:
        raise MediaError(f"segment: truncated in the box at {at}, {len(view) - at} bytes of it are there")
    if (len(view) if box is None else box.end) - start > limit:
        raise MediaError(f"segment: the piece at {start} is longer than {limit} bytes")
    return None if waiting else box


def _correct_indexes(
    pieces: Sequence[ProtectedUnit | Sidx | memoryview | None], bounds: Sequence[int]
) -> list[ProtectedUnit | memoryview]:
    """Give each ``sidx`` the sizes that its spans have now; ``bounds`` are where the pieces were, and their end.

    One whose spans are not made of whole pieces, such as that of a segment of which this is but a part, cannot be
    corrected and is dropped.
    """
    known = set(bounds)
    kept = [None if isinstance(piece, Sidx) and not known.issuperset(piece.spans()) else piece for piece in pieces]
    sizes = [0 if piece is None else _size(piece) for piece in kept]
    moved = dict(zip(bounds, accumulate(sizes, initial=0), strict=True))
    return [
        memoryview(piece.encode_moved(moved.__getitem__)) if isinstance(piece, Sidx) else piece
        for piece in kept
        if piece is not None
    ]


def _size(piece: ProtectedUnit | Sidx | memoryview) -> int:
    return len(piece) if isinstance(piece, memoryview) else piece.size


def _write(parts: Sequence[ProtectedUnit | memoryview], out: memoryview) -> None:
    at = 0
    for part in parts:
        end = at + _size(part)
        if isinstance(part, memoryview):
            out[at:end] = part
        else:
            part.write(out[at:end])
        at = end
