"""Attribute values of MPDs: XML Schema's lexical forms, read strictly and with limits."""

import re
from fractions import Fraction

from lxml.etree import _Element as Element

from relay.errors import ManifestError
from relay.manifest.dash.mpd import local
from relay.manifest.dates import date_time
from relay.sources import ByteRange

MAX_NUMBER = 2**62
"""Above every number of a sane MPD; sums of two still fit the 63 bits that a URL may carry."""

_NUMBER = re.compile(r"-?[0-9]{1,19}")
_DURATION = re.compile(
    r"P(?:([0-9]{1,4})Y)?(?:([0-9]{1,5})M)?(?:([0-9]{1,6})D)?"
    r"(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,10})M)?(?:([0-9]{1,12}(?:\.[0-9]{1,18})?)S)?)?"
)
_DURATION_UNITS_S = (365 * 86400, 30 * 86400, 86400, 3600, 60, 1)
_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


def integer(element: Element, name: str, default: int | None = None, low: int = 0) -> int:
    """A whole number of at least ``low``. Raises :class:`ManifestError` for anything else, or none without default."""
    text = element.get(name)
    if text is None:
        if default is None:
            raise ManifestError(f"MPD: {local(element)} has no @{name}")
        return default
    if not _NUMBER.fullmatch(text.strip()) or not low <= (value := int(text)) <= MAX_NUMBER:
        raise ManifestError(f"MPD: {local(element)}@{name} is not a whole number from {low} to 2^62")
    return value


def duration_s(element: Element, name: str) -> Fraction | None:
    """An xs:duration in seconds; a year counts 365 days, a month 30. None where the attribute is missing."""
    text = element.get(name)
    if text is None:
        return None
    match = _DURATION.fullmatch(text.strip())
    if match is None or text.strip()[-1] in "PT":
        raise ManifestError(f"MPD: {local(element)}@{name} is not a duration like PT1M30.5S")
    return sum((Fraction(g or 0) * unit for g, unit in zip(match.groups(), _DURATION_UNITS_S, strict=True)), Fraction())


def write_duration(seconds: Fraction) -> str:
    """The xs:duration of a time that is not negative, rounded down to microseconds."""
    whole, micros = divmod(int(seconds * 1_000_000), 1_000_000)
    return f"PT{whole}" + (f".{micros:06d}".rstrip("0") if micros else "") + "S"


def date_time_ms(element: Element, name: str) -> int | None:
    """An xs:dateTime in ms since 1970, rounded down. None where the attribute is missing."""
    text = element.get(name)
    if text is None:
        return None
    try:
        return date_time(text) // 1000
    except ManifestError as error:
        raise ManifestError(f"MPD: {local(element)}@{name}: {error}") from None


def byte_range(element: Element, name: str) -> ByteRange | None:
    """A range of bytes, ``first-last`` (RFC 9110 §14.1.2). None where the attribute is missing."""
    text = element.get(name)
    if text is None:
        return None
    match = _RANGE.fullmatch(text.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise ManifestError(f"MPD: {local(element)}@{name} is not a byte range like 0-1023")
    return ByteRange(int(match[1]), int(match[2]) - int(match[1]) + 1)
