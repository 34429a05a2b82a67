"""Attribute lists of HLS tags (RFC 8216 §4.2) and the numbers written in them.

An attribute that nobody touches is written back as it was read.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from relay.errors import ManifestError

MAX_ATTRIBUTES = 256
MAX_INTEGER = 2**63 - 1

# Possessive throughout: backtracking over a line of blanks would take time cubic in its length.
_ATTRIBUTE = re.compile(r'[ \t]*+([A-Za-z0-9_-]++)[ \t]*+=[ \t]*+("[^"]*+"|[^",]*+)[ \t]*+(?:,|$)')
_INTEGER = re.compile(r"[0-9]{1,19}")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{0,32})?|\.[0-9]{1,32}")


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of one tag in their order, values as written (a quoted one with its quotes)."""

    items: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> "Attributes":
        """Read a list. Raises :class:`ManifestError` for bad syntax, a repeated name (players differ in
        which one they take) or more than ``MAX_ATTRIBUTES``."""
        items: list[tuple[str, str]] = []
        at = 0
        while at < len(text):
            found = _ATTRIBUTE.match(text, at)
            if found is None:
                raise ManifestError(f"attribute list cannot be read from its character {at + 1} on")
            items.append((found[1], found[2].rstrip(" \t")))
            if len(items) > MAX_ATTRIBUTES:
                raise ManifestError(f"more than {MAX_ATTRIBUTES} attributes")
            at = found.end()
        if len(dict(items)) != len(items):
            raise ManifestError("attribute given twice")
        return cls(tuple(items))

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.items)

    def __contains__(self, name: str) -> bool:
        return any(name == known for known, _ in self.items)

    def get(self, name: str) -> str | None:
        """The value without quotes; None where the attribute is absent."""
        for known, value in self.items:
            if known == name:
                return value[1:-1] if value.startswith('"') else value
        return None

    def require(self, name: str) -> str:
        """The value without quotes. Raises :class:`ManifestError` where it is absent or empty."""
        value = self.get(name)
        if not value:
            raise ManifestError(f"attribute {name} is missing")
        return value

    def without(self, *names: str) -> "Attributes":
        """The same list less these attributes."""
        return Attributes(tuple(item for item in self.items if item[0] not in names))

    def quoting(self, name: str, value: str) -> "Attributes":
        """The same list with attribute ``name``, which it holds, set to the quoted string ``value``."""
        return Attributes(tuple((known, f'"{value}"' if known == name else old) for known, old in self.items))


def integer(text: str) -> int:
    """A decimal-integer below 2^63."""
    text = text.strip(" \t")
    if not _INTEGER.fullmatch(text) or int(text) > MAX_INTEGER:
        raise ManifestError(f"not a decimal integer below 2^63: {_shown(text)}")
    return int(text)


def microseconds(text: str) -> int:
    """A duration in seconds (decimal-floating-point) as whole microseconds.

    Decimal all the way: sums of binary fractions drift, and would move segments across a boundary.
    """
    text = text.strip(" \t")
    if not _DECIMAL.fullmatch(text):
        raise ManifestError(f"not a duration in seconds: {_shown(text)}")
    return int((Decimal(text) * 1_000_000).to_integral_value())


def byte_range(text: str) -> tuple[int, int | None]:
    """``length[@offset]`` (RFC 8216 §4.3.2.2): length, and the offset where it is given."""
    length, at, offset = text.strip(" \t").partition("@")
    size = integer(length)
    start = integer(offset) if at else None
    if size == 0 or (start or 0) + size > MAX_INTEGER:
        raise ManifestError(f"byte range is empty or ends past 2^63: {_shown(text)}")
    return size, start


def resolution(text: str) -> tuple[int, int]:
    """Width and height of a decimal-resolution."""
    width, _, height = text.partition("x")
    return integer(width), integer(height)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
