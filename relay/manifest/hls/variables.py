"""Variables of HLS playlists (RFC 8216bis §4.3, §4.4.2.3).

They are expanded and their tags removed: their values may be parts of origin addresses.
"""

import re
from collections.abc import Mapping

from relay.errors import ManifestError
from relay.manifest.hls.attributes import Attributes

MAX_EXPANDED = 64 * 1024

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_REFERENCE = re.compile(r"\{\$([A-Za-z0-9_-]+)\}")
_QUOTED = re.compile(r'"[^"]*"')


class Variables:
    """The variables defined so far. ``budget`` bounds the characters that all expansions may add up to,
    since definitions can refer to each other and grow without end."""

    def __init__(self, imported: Mapping[str, str], budget: int) -> None:
        self.defined: dict[str, str] = {}
        self._imported = imported
        self._budget = budget

    def define(self, attributes: Attributes) -> None:
        """Take in one EXT-X-DEFINE. Raises :class:`ManifestError` for one that is malformed, repeated,
        imports what is not known, or takes its value from the playlist's URL."""
        if "QUERYPARAM" in attributes:
            raise ManifestError("QUERYPARAM is not supported: the origin's query is not shown to players")
        name = attributes.get("IMPORT")
        if name is not None:
            if name not in self._imported:
                raise ManifestError("IMPORT names a variable that the multivariant playlist is not known to define")
            value = self._imported[name]
        else:
            name, value = attributes.require("NAME"), attributes.get("VALUE") or ""
        if not _NAME.fullmatch(name):
            raise ManifestError("bad variable name")
        if name in self.defined:
            raise ManifestError("variable defined twice")
        self.defined[name] = value

    def expand(self, text: str, *, whole: bool = False) -> str:
        """``text`` with references replaced, in quoted strings only unless ``whole`` (a URI line).

        A playlist that defines no variable has no references either, whatever its text looks like.
        Raises :class:`ManifestError` for an undefined variable and for text that grows past the limits.
        """
        if not self.defined:
            return text
        if whole:
            expanded = _REFERENCE.sub(self._value, text)
        else:
            expanded = _QUOTED.sub(lambda quoted: _REFERENCE.sub(self._value, quoted[0]), text)
        if len(expanded) > MAX_EXPANDED:
            raise ManifestError(f"variables expand to more than {MAX_EXPANDED} characters")
        return expanded

    def _value(self, reference: re.Match[str]) -> str:
        value = self.defined.get(reference[1])
        if value is None:
            raise ManifestError("variable is not defined")
        self._budget -= len(value)
        if self._budget < 0:
            raise ManifestError("variables expand to more than the size limit")
        return value
