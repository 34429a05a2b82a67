"""Dates and times as both kinds of manifests write them (ISO 8601; xs:dateTime is one of its forms)."""

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from relay.errors import ManifestError

_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,32}))?(?:[Zz]|([+-])(\d\d):?(\d\d)?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def date_time(text: str) -> int:
    """A date and time as microseconds since 1970.

    One without a zone is taken for UTC (ISO/IEC 23009-1 §5.3.1.2). A second of 60 runs on into the next
    minute. Raises :class:`ManifestError`.
    """
    found = _DATE_TIME.fullmatch(text.strip())
    if not found:
        raise ManifestError(f"not a date and time: {text[:40]!r}")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction, sign, zone_hours, zone_minutes = found.groups()[6:]
    offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
    try:
        whole = datetime(year, month, day, hour, minute, tzinfo=timezone(-offset if sign == "-" else offset))
    except ValueError:
        raise ManifestError(f"no such date and time: {text[:40]!r}") from None
    if second > 60:
        raise ManifestError(f"no such date and time: {text[:40]!r}")
    return (whole - _EPOCH) // _MICROSECOND + second * 1_000_000 + round(Decimal(f"0.{fraction or 0}") * 1_000_000)
