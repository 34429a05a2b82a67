"""Lists in pages: every list of the API takes ``limit`` and ``cursor`` and answers with ``next``.

A cursor is the place of the last entry seen, in whatever way the list is sorted. Callers hand it back and read nothing
into it.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from relay.errors import RequestError

DEFAULT_PAGE = 100
MAX_PAGE = 1000
MAX_CURSOR = 1024
POSITIONS: msgspec.msgpack.Decoder[int] = msgspec.msgpack.Decoder(Annotated[int, Meta(ge=0, le=2**63 - 1)])
"""Reads the cursors of lists that are sorted by a position in the journal."""
NAMES: msgspec.msgpack.Decoder[str] = msgspec.msgpack.Decoder(str)
"""Reads the cursors of lists that are sorted by name."""
T = TypeVar("T")


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``limit`` is how many entries to answer with at most, ``cursor`` the ``next`` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE
    cursor: Annotated[str, Meta(max_length=MAX_CURSOR)] = ""


def cursor_of(place: int | str) -> str:
    """The cursor that says how far a list was read."""
    return urlsafe_b64encode(msgspec.msgpack.encode(place)).decode().rstrip("=")


def place_of(cursor: str, places: msgspec.msgpack.Decoder[T]) -> T | None:
    """How far a list was read, None where reading begins. Raises :class:`RequestError` for no cursor of ours."""
    if not cursor:
        return None
    try:
        return places.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, msgspec.MsgspecError):
        raise RequestError("cursor: not one that was given out here") from None


def page_after(names: Sequence[str], place: str | None, limit: int) -> tuple[Sequence[str], str | None]:
    """The names of a page that follow a place in a sorted list, and the cursor of the next, None after the last."""
    at = 0 if place is None else bisect_right(names, place)
    page = names[at : at + limit]
    return page, cursor_of(page[-1]) if at + limit < len(names) else None
