"""Entity tags and what requests make depend on them (RFC 9110 §8.8.3, §13.1). Pure."""

from hashlib import blake2b


def entity_tag(content: bytes) -> str:
    """The strong entity tag of a representation: the same bytes, the same tag."""
    return f'"{blake2b(content, digest_size=12).hexdigest()}"'


def matches(header: str, tag: str) -> bool:
    """Whether a list of tags, or ``*``, names the current one; weakly, as If-None-Match compares."""
    return any(candidate.strip().removeprefix("W/") in ("*", tag) for candidate in header.split(","))


def matches_strongly(header: str, tag: str) -> bool:
    """Whether a list of tags, or ``*``, names the current one; strongly, as If-Match compares."""
    return any(candidate.strip() in ("*", tag) for candidate in header.split(","))
