"""HLS playlists as lines: limits, line ends, tag names, and variables expanded.

A line keeps the text and the line end it came with, so that whoever does not own it writes it back
byte for byte (bytes that are not UTF-8 included).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from relay.errors import ManifestError
from relay.manifest.hls.attributes import Attributes
from relay.manifest.hls.variables import Variables

T = TypeVar("T")

MAX_BYTES = 8 * 1024 * 1024
MAX_LINES = 200_000
MAX_LINE = 64 * 1024

_BLANK = " \t"
_BOM = b"\xef\xbb\xbf"
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One line. ``name`` is that of a tag without its ``#`` (else empty), ``value`` what follows its colon."""

    number: int
    text: str
    end: str = "\n"
    name: str = ""
    value: str = ""

    @property
    def uri(self) -> str:
        """The URI of a URI line; empty for tags, comments and blank lines."""
        text = self.text.strip(_BLANK)
        return "" if text.startswith("#") else text

    def error(self, reason: object) -> ManifestError:
        """What to raise when this line cannot be read."""
        return ManifestError(f"HLS playlist, line {self.number}: {self.name and self.name + ': '}{reason}")

    def read(self, reader: Callable[[str], T], text: str) -> T:
        """``reader(text)``, its :class:`ManifestError` naming this line."""
        try:
            return reader(text)
        except ManifestError as err:
            raise self.error(err) from None

    def attributes(self) -> Attributes:
        """The attribute list of this tag. Raises :class:`ManifestError` naming the line."""
        return self.read(Attributes.parse, self.value)


@dataclass(frozen=True, slots=True)
class Playlist:
    """The lines of a playlist without its EXT-X-DEFINE tags, and the variables those defined."""

    lines: tuple[Line, ...]
    variables: Mapping[str, str]

    @property
    def end(self) -> str:
        """The line end that added lines take: that of the first line."""
        return self.lines[0].end or "\n"

    def names(self) -> frozenset[str]:
        """The names of all tags present."""
        return frozenset(line.name for line in self.lines if line.name)


def parse(data: bytes, imported: Mapping[str, str] | None = None) -> Playlist:
    """Split a playlist into lines and expand its variables.

    ``imported`` are the variables of the multivariant playlist that EXT-X-DEFINE:IMPORT may name. Raises
    :class:`ManifestError` for anything over a limit, without ``#EXTM3U``, with an undefined variable, or
    with a carriage return inside a line (players differ in whether that ends it).
    """
    if len(data) > MAX_BYTES:
        raise ManifestError(f"HLS playlist is longer than {MAX_BYTES} bytes")
    data = data.removeprefix(_BOM)
    if data.count(b"\n") >= MAX_LINES:
        raise ManifestError(f"HLS playlist has more than {MAX_LINES} lines")
    variables = Variables(imported or {}, budget=MAX_BYTES)
    lines: list[Line] = []
    for line in _lines(data.decode("utf-8", "surrogateescape")):
        try:
            if line.name == "EXT-X-DEFINE":
                variables.define(Attributes.parse(variables.expand(line.value)))
            elif "{$" in line.text and (line.name or line.uri):
                lines.append(_line(line.number, variables.expand(line.text, whole=not line.name), line.end))
            else:
                lines.append(line)
        except ManifestError as err:
            raise line.error(err) from None
    if not lines or lines[0].text.strip(_BLANK) != "#EXTM3U":
        raise ManifestError("not an HLS playlist: its first line is not #EXTM3U")
    return Playlist(tuple(lines), variables.defined)


def _lines(text: str) -> Iterator[Line]:
    for number, raw in enumerate(_LINE.findall(text), 1):
        body = raw.rstrip("\r\n")
        line = _line(number, body, raw[len(body) :])
        if len(body) > MAX_LINE:
            raise line.error(f"longer than {MAX_LINE} characters")
        if "\r" in body:
            raise line.error("carriage return inside the line")
        yield line


def _line(number: int, text: str, end: str) -> Line:
    stripped = text.strip(_BLANK)
    if not stripped.startswith("#EXT"):
        return Line(number, text, end)
    name, _, value = stripped[1:].partition(":")
    return Line(number, text, end, name.rstrip(_BLANK), value)
