"""The parts of a request's URL that a token may restrict, spelt in one way (CTA-5007, claim catu)."""

from enum import StrEnum
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from relay.facts import Facts

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_HEX = frozenset("0123456789abcdefABCDEF")


class Part(StrEnum):
    """A part of a URL, by its name in JSON."""

    SCHEME = "scheme"
    HOST = "host"
    PORT = "port"
    PATH = "path"
    QUERY = "query"
    PARENT_PATH = "parent-path"
    FILENAME = "filename"
    STEM = "stem"
    EXTENSION = "extension"


def spellings(part: Part, facts: Facts) -> tuple[str, ...]:
    """How a part of a request may be spelt: one that fits is enough; none for a path that cannot be trusted.

    The query comes with its parameters sorted. Implementations of CTA-5007 disagree on the slash behind a parent path
    and the dot before an extension, so both spellings are given.
    """
    match part:
        case Part.SCHEME:
            return (facts.scheme.lower(),)
        case Part.HOST:
            return (_host_and_port(facts)[0],)
        case Part.PORT:
            return (_host_and_port(facts)[1],)
        case Part.QUERY:
            return (sorted_query(facts.query),)
    path = normal_path(facts.path)
    return () if path is None else _path_part(part, path)


def sorted_query(query: str) -> str:
    """A query with its parameters in order."""
    return "&".join(sorted(pair for pair in query.split("&") if pair))


@lru_cache(maxsize=1024)
def normal_path(raw: str) -> str | None:
    """A path percent-decoded once, without dot segments (RFC 3986 §5.2.4), repeated slashes kept.

    None for what two readers could take for two paths: an encoded slash, a backslash, control characters, broken
    escapes, and bytes that are no UTF-8, overlong forms among them.
    """
    if not raw.startswith("/") or "\\" in raw or not _escapes_are_whole(raw):
        return None
    try:
        path = unquote_to_bytes(raw).decode()
    except ValueError:
        return None
    if path.count("/") != raw.count("/") or "\\" in path or any(char < " " or char == "\x7f" for char in path):
        return None
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _escapes_are_whole(raw: str) -> bool:
    return all(len(piece) >= 2 and piece[0] in _HEX and piece[1] in _HEX for piece in raw.split("%")[1:])


def _path_part(part: Part, path: str) -> tuple[str, ...]:
    parent, _, filename = path.rpartition("/")
    stem, dot, extension = filename.rpartition(".")
    match part:
        case Part.PARENT_PATH:
            return (parent or "/", parent + "/")
        case Part.FILENAME:
            return (filename,)
        case Part.STEM:
            return (stem if dot else filename,)
        case Part.EXTENSION:
            return (extension, "." + extension) if dot else ("",)
        case _:
            return (path,)


def _host_and_port(facts: Facts) -> tuple[str, str]:
    host, colon, port = facts.host.rpartition(":")
    if not colon or facts.host.endswith("]"):
        host, port = facts.host, ""
    return host.lower().removesuffix("."), port or _DEFAULT_PORTS.get(facts.scheme.lower(), "")
