"""Pace information: which bit of a viewer's pattern a segment carries (ETSI TS 104 002 V1.1.1 §5.5.2). It is spelt as
the header of pushed content (§5.5.3.3) and as the five bytes of every in-band form (§5.5.3.4)."""

import json
from dataclasses import dataclass
from typing import Any

from relay.errors import MediaError

VERSION = 1
NOT_MARKED = -1
"""The position of what carries no mark: every viewer gets variant a of it."""
MAX_POSITION = 0x7FFF
"""Positions have 15 bits on the wire."""
INGEST_HEADER = "WMPaceInfoIngest"
MAX_INGEST = 500
"""Characters of the header. What encoders send has about 80; AWS MediaPackage takes as many at most."""
DATA_BYTES = 5
OVERWRITTEN = b"\xff" * DATA_BYTES
"""What in-band forms are replaced by. Its version is none, so it says nothing, and no start code can arise of it."""

_MAX_VARIANT = 0xFF
_INGEST_TYPES: dict[str, type] = {"version": int, "variant": int, "position": int, "firstpart": bool, "lastpart": bool}
_MARKER = 0x8000
_MARKER_8, _FIRST, _LAST = 0x80, 0x40, 0x20


@dataclass(frozen=True, slots=True)
class PaceInfo:
    """What an encoder says of a piece of content. ``variant`` 0 is a, 1 is b.

    ``firstpart`` and ``lastpart`` say whether it is the first and the last piece of its position: packagers join no
    others. Raises ValueError for a variant or position that the wire cannot carry.
    """

    position: int
    variant: int = 0
    firstpart: bool = True
    lastpart: bool = True

    def __post_init__(self) -> None:
        check_position(self.position)
        if not 0 <= self.variant <= _MAX_VARIANT:
            raise ValueError(f"variant {self.variant} is not 0 to {_MAX_VARIANT}")

    def encode_ingest(self) -> str:
        """The value of :data:`INGEST_HEADER`."""
        named = {
            "version": VERSION,
            "variant": self.variant,
            "position": self.position,
            "firstpart": self.firstpart,
            "lastpart": self.lastpart,
        }
        return json.dumps(named, separators=(",", ":"))

    def encode(self) -> bytes:
        """The five bytes of class WMPaceInfo.

        Its position is unsigned there, so that "not marked" is -1 in two's complement, all bits set. Raises ValueError
        for :data:`MAX_POSITION`, which nobody could tell from it.
        """
        if self.position == MAX_POSITION:
            raise ValueError(f"position {MAX_POSITION} reads as not marked in five bytes")
        parts = _MARKER_8 | _FIRST * self.firstpart | _LAST * self.lastpart
        return bytes((VERSION, self.variant)) + (_MARKER | self.position & MAX_POSITION).to_bytes(2) + bytes((parts,))


def wire_position(position: int) -> int:
    """A position of ours, which may be any whole number that is not negative, as the wire has it."""
    return position & MAX_POSITION


def check_position(position: int) -> None:
    """Raises ValueError for a position that the wire cannot carry."""
    if not NOT_MARKED <= position <= MAX_POSITION:
        raise ValueError(f"position {position} is not {NOT_MARKED} to {MAX_POSITION}")


def read_ingest(text: str) -> PaceInfo:
    """The pace information in the header of pushed content. Raises :class:`MediaError` that says what is wrong."""
    if len(text) > MAX_INGEST:
        raise MediaError(f"{INGEST_HEADER}: longer than {MAX_INGEST} characters")
    try:
        given = json.loads(text, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        raise MediaError(f"{INGEST_HEADER}: not a JSON object without repeated members") from None
    if not isinstance(given, dict) or given.keys() != _INGEST_TYPES.keys():
        raise MediaError(f"{INGEST_HEADER}: the members {', '.join(_INGEST_TYPES)} are required, and no others")
    for name, kind in _INGEST_TYPES.items():
        if type(given[name]) is not kind:
            raise MediaError(
                f"{INGEST_HEADER}: {name}: {'true or false' if kind is bool else 'a whole number'} required"
            )
    if given["version"] != VERSION:
        raise MediaError(f"{INGEST_HEADER}: version {given['version']} is not known")
    try:
        return PaceInfo(given["position"], given["variant"], given["firstpart"], given["lastpart"])
    except ValueError as err:
        raise MediaError(f"{INGEST_HEADER}: {err}") from None


def decode(data: bytes, where: str) -> PaceInfo | None:
    """Class WMPaceInfo; None where it was overwritten. Raises :class:`MediaError` for anything else."""
    if len(data) != DATA_BYTES:
        raise MediaError(f"{where}: {len(data)} bytes of pace information, expected {DATA_BYTES}")
    if data == OVERWRITTEN:
        return None
    if data[0] != VERSION:
        raise MediaError(f"{where}: pace information of version {data[0]} is not known")
    position, parts = int.from_bytes(data[2:4]), data[4]
    if not (position & _MARKER and parts & _MARKER_8):
        raise MediaError(f"{where}: pace information without its marker bits")
    position &= MAX_POSITION
    return PaceInfo(
        NOT_MARKED if position == MAX_POSITION else position, data[1], bool(parts & _FIRST), bool(parts & _LAST)
    )


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("repeated member")
    return dict(pairs)
