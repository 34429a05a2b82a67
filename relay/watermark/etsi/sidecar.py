"""Sidecars: pace information beside the content (ETSI TS 104 002 V1.1.1 §5.5.3.2), in deterministic CBOR (RFC 8949
§4.2), and the header in which an origin gives the edge a sidecar of one segment (§5.5.3.3)."""

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import cbor2

from keys import base64url
from relay.errors import MediaError
from relay.gate.dialects.cbor import CborError, read_map
from relay.gate.patterns import Pattern, PatternError
from relay.watermark.etsi.pace import NOT_MARKED, VERSION, check_position

CONTENT_TYPE = "application/cbor"
EGRESS_HEADER = "WMPaceInfoEgress"
FOLDER = "WMPaceInfo"
"""The folder of sidecars beside the files that they are about. It is for edges; players are refused (§5.7.5.2)."""
MAX_BYTES = 512 << 10
"""Of a sidecar. The byte ranges of six hours in segments of two seconds take 130 KiB."""
MAX_SEGMENTS = 32_768
MAX_TRIED = 64
"""Patterns that one look-up tries, of those whose letters and digits all occur in the name: what bounds its time."""
MAX_NAME = 255
_MAX_EGRESS = 1024
_MAX_SIZE = 2**63
_ASIDE = re.compile(r"\\.|\[\^?\]?[^]]*\]")
"""What in a regular expression stands for itself: escaped characters and classes."""
_OPTIONAL = re.compile(rf"(?:{_ASIDE.pattern}|[^\\])(?:\{{[^}}]*\}}|[?*])")
"""What may be missing, or occurs a number of times that is not looked at here."""
_RUN = re.compile(r"[A-Za-z0-9_-]+")

_VERSION, _SEGMENTS, _FILE_SIZE, _START, _REGEX, _POSITION, _FIRST, _LAST = range(1, 9)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment in a file of its own, or all those whose names match ``regex``. The parts: see
    :class:`relay.watermark.etsi.pace.PaceInfo`; None where nothing is said of them."""

    position: int
    regex: str = ""
    firstpart: bool | None = None
    lastpart: bool | None = None


class Discrete:
    """A sidecar of segments that are files."""

    def __init__(self, *segments: Segment) -> None:
        """Raises ValueError for positions that cannot be."""
        if not 0 < len(segments) <= MAX_SEGMENTS:
            raise ValueError(f"{len(segments)} segments, expected 1 to {MAX_SEGMENTS}")
        for segment in segments:
            check_position(segment.position)
        self.segments = segments
        self._literals = [_literals(segment.regex) for segment in segments]

    def position_of(self, name: str) -> int | None:
        """The position of a file, by the name behind the last slash: that of the first segment which fits.

        Raises :class:`MediaError` for a pattern that is not understood, or where too many would have to be tried.
        """
        if len(name) > MAX_NAME:
            return None
        tried = 0
        for segment, literals in zip(self.segments, self._literals, strict=True):
            if not segment.regex:
                return segment.position
            if not all(literal in name for literal in literals):
                continue
            tried += 1
            if tried > MAX_TRIED:
                raise MediaError(f"segmentRegex: more than {MAX_TRIED} of them may fit one name")
            if _pattern(segment.regex).matches(name):
                return segment.position
        return None

    def encode(self) -> bytes:
        """The sidecar as bytes."""
        maps = [
            {
                key: value
                for key, value in (
                    (_REGEX, segment.regex or None),
                    (_POSITION, segment.position),
                    (_FIRST, segment.firstpart),
                    (_LAST, segment.lastpart),
                )
                if value is not None
            }
            for segment in self.segments
        ]
        return cbor2.dumps({_VERSION: VERSION, _SEGMENTS: maps}, canonical=True)


@dataclass(frozen=True, slots=True)
class ByteRanges:
    """A sidecar of segments that lie in one file of ``file_size`` bytes: each reaches to where the next ``starts``.

    Raises ValueError for starts that do not ascend, or positions that cannot be.
    """

    file_size: int
    starts: tuple[int, ...]
    positions: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.starts) == len(self.positions) <= MAX_SEGMENTS:
            raise ValueError(f"{len(self.starts)} segments, expected 1 to {MAX_SEGMENTS}")
        edges = (-1, *self.starts, self.file_size)
        if any(one >= two for one, two in pairwise(edges)) or self.file_size >= _MAX_SIZE:
            raise ValueError("startRange: not ascending, or past the file's end")
        for position in self.positions:
            check_position(position)

    def position_of(self, first: int, last: int) -> int | None:
        """The one position of the bytes from ``first`` to ``last``, both included.

        None where they are not all of the file, or of several positions: such a request is refused (§5.7.5.4).
        """
        if not self.starts[0] <= first <= last < self.file_size:
            return None
        ends = bisect_right(self.starts, first) - 1, bisect_right(self.starts, last)
        found = set(self.positions[ends[0] : ends[1]])
        return found.pop() if len(found) == 1 else None

    def encode(self) -> bytes:
        """The sidecar as bytes."""
        maps = [
            {_START: start, _POSITION: position} for start, position in zip(self.starts, self.positions, strict=True)
        ]
        return cbor2.dumps({_VERSION: VERSION, _SEGMENTS: maps, _FILE_SIZE: self.file_size}, canonical=True)


def read_sidecar(data: bytes, where: str = "sidecar") -> Discrete | ByteRanges:
    """A sidecar of either kind. Takes milliseconds for thousands of segments.

    Raises :class:`MediaError` for one that is malformed, over a limit or of another version.
    """
    if not 0 < len(data) <= MAX_BYTES:
        raise MediaError(f"{where}: {len(data)} bytes, expected 1 to {MAX_BYTES}")
    try:
        given = read_map(data, 3)
        of_ranges = _FILE_SIZE in given
        _only(given, {_VERSION, _SEGMENTS, _FILE_SIZE} if of_ranges else {_VERSION, _SEGMENTS}, "the sidecar")
        if given[_VERSION] != VERSION or given[_VERSION] is True:
            raise ValueError("a version that is not known")
        segments = given[_SEGMENTS]
        if not isinstance(segments, list | tuple):
            raise ValueError("segments: an array required")
        return _ranges(given[_FILE_SIZE], segments) if of_ranges else Discrete(*map(_segment, segments))
    except (CborError, ValueError) as err:
        raise MediaError(f"{where}: {err}") from None


def encode_egress(position: int) -> str:
    """The value of :data:`EGRESS_HEADER` for a segment. Parts and patterns stay with the origin (§5.6.5)."""
    return base64url.encode(Discrete(Segment(position)).encode())


def read_egress(text: str) -> int:
    """The position in :data:`EGRESS_HEADER`. Raises :class:`MediaError`."""
    if len(text) > _MAX_EGRESS:
        raise MediaError(f"{EGRESS_HEADER}: longer than {_MAX_EGRESS} characters")
    try:
        data = base64url.decode(text.rstrip("="))
    except ValueError:
        raise MediaError(f"{EGRESS_HEADER}: not base64url") from None
    sidecar = read_sidecar(data, EGRESS_HEADER)
    if not isinstance(sidecar, Discrete) or len(sidecar.segments) != 1:
        raise MediaError(f"{EGRESS_HEADER}: exactly one segment required")
    return sidecar.segments[0].position


def _ranges(file_size: object, segments: list[Any] | tuple[Any, ...]) -> ByteRanges:
    starts, positions = [], []
    for segment in segments:
        _only(segment, {_START, _POSITION}, "a segment")
        starts.append(_whole(segment[_START], "startRange"))
        positions.append(_whole(segment[_POSITION], "position"))
    return ByteRanges(_whole(file_size, "fileSize"), tuple(starts), tuple(positions))


def _segment(given: object) -> Segment:
    if not isinstance(given, Mapping) or _POSITION not in given or given.keys() - {_REGEX, _POSITION, _FIRST, _LAST}:
        raise ValueError("a segment with a key that is missing, or not known")
    regex = given.get(_REGEX, "")
    if not isinstance(regex, str):
        raise ValueError("segmentRegex: text required")
    parts = [given.get(key) for key in (_FIRST, _LAST)]
    if any(type(part) is not bool for key, part in zip((_FIRST, _LAST), parts, strict=True) if key in given):
        raise ValueError("firstpart, lastpart: true or false required")
    return Segment(_whole(given[_POSITION], "position"), regex, *parts)


def _only(given: object, keys: set[int], what: str) -> None:
    if not isinstance(given, Mapping) or given.keys() != keys:
        raise ValueError(f"{what} with a key that is missing, or not known")


def _whole(value: object, name: str) -> int:
    if type(value) is not int or not NOT_MARKED <= value < _MAX_SIZE:
        raise ValueError(f"{name}: a whole number required")
    return value


def _literals(regex: str) -> list[str]:
    """Runs of characters that a name must hold to match. None are found in what has groups or alternatives."""
    if "(" in regex or "|" in regex:
        return []
    return _RUN.findall(_ASIDE.sub(".", _OPTIONAL.sub(".", regex)))


@lru_cache(maxsize=1024)
def _pattern(regex: str) -> Pattern:
    """The pattern of a ``segmentRegex``, a POSIX extended regular expression.

    Origins write them for edges that look for a match anywhere in the name, so that is what is done here: another
    reading of the same sidecar would serve other bits. It is one of :mod:`relay.gate.patterns`, linear in the name
    whatever the origin wrote; what that leaves out (classes by name, backreferences) is refused, never guessed.
    """
    inside = regex.removeprefix("^")
    before = inside.removesuffix("$")
    ends = before != inside and (len(before) - len(before.rstrip("\\"))) % 2 == 0
    inside = before if ends else inside
    # An anchor next to an alternative would hold for that alternative alone.
    if (ends or regex.startswith("^")) and _has_alternatives(inside):
        raise MediaError("segmentRegex: an anchor beside alternatives")
    try:
        return Pattern(f"{'' if regex.startswith('^') else '.*'}(?:{inside}){'' if ends else '.*'}")
    except PatternError as err:
        raise MediaError(f"segmentRegex: {err}") from None


def _has_alternatives(regex: str) -> bool:
    """Whether a bar stands outside of all groups."""
    depth = 0
    for character in _ASIDE.sub("", regex):
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            return True
    return False
