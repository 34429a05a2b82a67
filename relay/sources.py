"""Where a resource lies in the origin, and the one gate through which origin URLs enter.

Every URI met in a manifest and every redirect passes :meth:`OriginScope.resolve`, so nothing outside
the configured bases can ever be fetched, and what travels in our URLs is a path, not an address.
"""

import re
import string
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote, urljoin, urlsplit

from relay.errors import OriginForeignError

MAX_URI = 4096
_SAFE = "/!&'()*+,;=:@~"  # not $: DASH templates give it a meaning
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
# With a path parameter behind them, some servers still read dots as a dot segment.
_ENCODED_DOTS = re.compile(r"(?i)(^|/)(%2e|\.){1,2}(;|%3b|/|$)|%2f|%5c|%00")


@dataclass(frozen=True, slots=True)
class Source:
    """A resource of a stream's origin.

    ``path`` is percent-encoded, relative to base number ``base``; ``query`` is the origin's own (it may
    hold credentials, so it leaves the relay only sealed).
    """

    path: str
    query: str = ""
    base: int = 0


@dataclass(frozen=True, slots=True)
class ByteRange:
    """``length`` bytes from ``start``; a length of None runs to the end."""

    start: int
    length: int | None

    def header(self) -> str:
        """The value of a Range request header (RFC 9110 §14.2)."""
        return f"bytes={self.start}-" + ("" if self.length is None else str(self.start + self.length - 1))


@dataclass(frozen=True, slots=True)
class OriginScope:
    """The absolute base URLs, each ending in a slash, that one stream may be fetched from."""

    bases: tuple[str, ...]

    def url(self, source: Source) -> str:
        """The absolute origin URL of a source. Raises :class:`OriginForeignError` for a base that is gone."""
        if source.base >= len(self.bases):
            # Our own URL, of a time when the stream had more bases.
            raise OriginForeignError("URL names an origin that is configured no more")
        return self.bases[source.base] + source.path + (f"?{source.query}" if source.query else "")

    def resolve(self, uri: str, against: Source | None = None) -> Source:
        """The source that ``uri``, found in the resource ``against``, points to.

        Raises :class:`OriginForeignError` for anything but http(s) below one of the bases, and for
        spellings that servers read differently (encoded slashes or dots, control characters, bytes
        that are not UTF-8).
        """
        if len(uri) > MAX_URI or _FORBIDDEN.search(uri.strip()):
            raise OriginForeignError("URI refused: too long, or holds control characters, spaces or \\")
        try:
            parts = urlsplit(_join(self.url(against) if against else self.bases[0], uri.strip()))
            path, query = canonical_path(parts.path), quote(parts.query, safe=string.punctuation)
        except ValueError:
            raise OriginForeignError("URI refused: not a URI (RFC 3986), or not UTF-8") from None
        if _ENCODED_DOTS.search(parts.path):
            raise OriginForeignError("URI refused: encoded slash, backslash or dot segment")
        for number, base in enumerate(self.bases):
            wanted = urlsplit(base)
            if (parts.scheme.lower(), parts.netloc.lower()) != (wanted.scheme.lower(), wanted.netloc.lower()):
                continue
            base_path = canonical_path(wanted.path)
            if path.startswith(base_path):
                return Source(path[len(base_path) :], query, number)
        raise OriginForeignError("URI points outside the configured origin of this stream")

    def addressed_in(self, text: str) -> bool:
        """Whether ``text`` holds the address of a base's host, on whatever port."""
        return _patterns(self.bases)[0].search(text) is not None

    def named_in(self, text: str) -> bool:
        """Whether ``text`` holds the address or the name of a base's host.

        A name of one label may be an everyday word (a container called "video"), so it counts only in an address.
        """
        return _patterns(self.bases)[1].search(text) is not None


@lru_cache(maxsize=256)
def _patterns(bases: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What addresses and, more widely, names of the hosts look like."""
    hosts = sorted({urlsplit(base).hostname or "" for base in bases} - {""})
    names = [host for host in hosts if "." in host or ":" in host]
    address = rf'//(?:[^/\s"]*@)?\[?(?:{_any_of(hosts)})(?!\.?[\w-])'
    name = rf"(?<![\w.-])(?:{_any_of(names)})(?!\.?[\w-])"
    return re.compile(address, re.IGNORECASE), re.compile(f"{address}|{name}", re.IGNORECASE)


def _any_of(words: list[str]) -> str:
    return "|".join(map(re.escape, words)) or r"(?!)"


def canonical_path(path: str) -> str:
    """One spelling for equal paths: decoded once, then encoded our way. Raises ValueError where it is not UTF-8."""
    return quote(unquote(path, errors="strict"), safe=_SAFE)


def _join(base: str, uri: str) -> str:
    """Resolve a reference (RFC 3986 §5.2). Raises ValueError."""
    parts = urlsplit(uri)
    if parts.path[:1] not in ("", "/") and not parts.scheme and not parts.netloc:
        # urljoin drops the empty segments of relative paths, but object stores tell a//b from a/b.
        uri = urlsplit(base).path.rpartition("/")[0] + "/" + uri
    return urljoin(base, uri)
