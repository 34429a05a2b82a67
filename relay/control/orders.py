"""What a caller writes about a revocation, and the order it comes to. Pure: ``now`` is an argument.

Bodies may hold ten thousand items, so they are taken apart piece by piece and one call reads one item: whoever
drives it lets the event loop turn in between.
"""

import re
from collections.abc import Iterator

import msgspec

from relay.api.revocations import Item, Moment
from relay.control.errors import BodyError, BodyTooLargeError, Flaw
from relay.control.moments import read_moment
from relay.gate.networks import parse_network
from relay.gate.targets import Target, TargetType
from relay.sessions.revocations import Order
from relay.state.events import Action

MAX_ITEMS = 10_000
MAX_ITEM_BYTES = 48 * 1024
"""More than the longest texts in their longest spelling."""

# Items are flat, so where one ends needs no parser; possessive throughout, so a hostile one costs one pass.
_ELEMENT = re.compile(rb'\s*+(\{(?:[^{}"]++|"(?:[^"\\]++|\\.)*+")*+\})\s*+([,\]])', re.DOTALL)
_BLANK = re.compile(rb"\s*+")
_BY_ISSUER = {
    TargetType.ACCOUNT,
    TargetType.DEVICE,
    TargetType.TOKEN,
    TargetType.ISSUER_KEY,
    TargetType.SESSION_VERSION,
    TargetType.ISSUED_BEFORE,
}
_LIMIT_NAMES = {TargetType.SESSION_VERSION: "max_version", TargetType.ISSUED_BEFORE: "before"}


class ItemError(ValueError):
    """An item makes no sense; ``member`` is the name of what is wrong with it, empty for the whole."""

    def __init__(self, member: str, detail: str) -> None:
        super().__init__(detail)
        self.member = member

    def flaw(self, base: str) -> Flaw:
        """It as a flaw of the item that ``base`` points to."""
        return Flaw(f"{base}/{self.member}" if self.member else base, str(self))


_item: msgspec.json.Decoder[Item] = msgspec.json.Decoder(Item)


def pieces_of(body: bytes, lines: bool) -> Iterator[tuple[str, bytes]]:
    """The items of a body, each with the JSON Pointer to it: of an array, of one object alone, or one a line.

    Raises :class:`BodyError` where the body is none of these, :class:`BodyTooLargeError` past ``MAX_ITEMS``.
    """
    pieces = _lines(body) if lines else _elements(body)
    number = -1
    for number, piece in enumerate(pieces):
        if number == MAX_ITEMS:
            raise BodyTooLargeError(f"more than {MAX_ITEMS} items; send them in several calls")
        yield piece
    if number < 0:
        raise BodyError([Flaw("", "no items")])


def _lines(body: bytes) -> Iterator[tuple[str, bytes]]:
    at = number = 0
    while at < len(body):
        end = body.find(b"\n", at, at + MAX_ITEM_BYTES + 1)
        if end < 0:
            if len(body) - at > MAX_ITEM_BYTES:
                raise BodyError([Flaw(f"/{number}", f"a line of more than {MAX_ITEM_BYTES} bytes")])
            end = len(body)
        line = body[at:end].strip()
        if line:
            yield f"/{number}", line
            number += 1
        at = end + 1


def _elements(body: bytes) -> Iterator[tuple[str, bytes]]:
    at = _after_blank(body, 0)
    if body[at : at + 1] == b"{":
        yield "", body
        return
    if body[at : at + 1] != b"[":
        raise BodyError([Flaw("", "an array of objects, or one object, is required")])
    at, number = at + 1, 0
    if body[_after_blank(body, at) :].rstrip() == b"]":
        return
    while True:
        found = _ELEMENT.match(body, at, at + MAX_ITEM_BYTES)
        if found is None:
            raise BodyError([Flaw(f"/{number}", "not a flat JSON object followed by a comma or the array's end")])
        yield f"/{number}", found[1]
        at, number = found.end(), number + 1
        if found[2] == b"]":
            break
    if _after_blank(body, at) != len(body):
        raise BodyError([Flaw("", "something follows the array")])


def _after_blank(body: bytes, at: int) -> int:
    found = _BLANK.match(body, at)
    return found.end() if found else at


def read_item(raw: bytes) -> Item:
    """One item. Raises :class:`ItemError`."""
    if len(raw) > MAX_ITEM_BYTES:
        raise ItemError("", f"more than {MAX_ITEM_BYTES} bytes")
    try:
        return _item.decode(raw)
    except msgspec.ValidationError as err:
        what, _, where = str(err).partition(" - at `$")
        raise ItemError(where.strip(".`"), what) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise ItemError("", f"not JSON: {err}") from None


def order_of(item: Item, now: float) -> Order:
    """The order that an item asks for. Raises :class:`ItemError` for one that contradicts itself."""
    expires_at = _moment("expires_at", item.expires_at, now)
    effective_at = _moment("effective_at", item.effective_at, now) or 0.0
    if item.duration_s is not None:
        if expires_at is not None:
            raise ItemError("duration_s", "give expires_at or duration_s, not both")
        expires_at = max(effective_at, now) + item.duration_s
    if expires_at is not None and expires_at <= max(effective_at, now):
        raise ItemError("expires_at", "lies before the revocation takes effect")
    return Order(
        target=target_of(item),
        action=item.action,
        reason=item.reason,
        detail=item.detail,
        effective_at=effective_at if effective_at > now else 0.0,
        expires_at=expires_at,
    )


def target_of(item: Item) -> Target:
    """What an item names. Raises :class:`ItemError`."""
    kind, value = item.type, item.value
    if not value and not (kind is TargetType.ISSUED_BEFORE and item.issuer):
        raise ItemError("value", "required; only an issued-before cut-off of a whole issuer goes without")
    if item.issuer and kind not in _BY_ISSUER:
        raise ItemError("issuer", f"a {kind} has none")
    if item.viewer and kind is not TargetType.STREAM:
        raise ItemError("viewer", "goes with a stream")
    if kind is TargetType.NETWORK:
        try:
            value = parse_network(value)
        except ValueError as err:
            raise ItemError("value", str(err)) from None
    return Target(kind, value, item.issuer, item.viewer, _limit(item))


def _limit(item: Item) -> int:
    friendly = _LIMIT_NAMES.get(item.type)
    before = _moment("before", item.before, None)
    given = {"limit": item.limit, "max_version": item.max_version, "before": None if before is None else int(before)}
    limits = []
    for name, value in given.items():
        if value is not None:
            if friendly is None or name not in (friendly, "limit"):
                raise ItemError(name, f"does not go with {item.type}")
            limits.append(value)
    if len(limits) > 1:
        raise ItemError("limit", f"give {friendly} or limit, not both")
    if friendly and not limits and item.action is Action.REVOKE:
        raise ItemError(friendly, f"required for {item.type}")
    return limits[0] if limits else 0


def _moment(name: str, value: Moment | None, now: float | None) -> float | None:
    """Seconds since the epoch; not further ahead of ``now`` than allowed, if that is given."""
    if value is None:
        return None
    try:
        return read_moment(value, now)
    except ValueError as err:
        raise ItemError(name, str(err)) from None
