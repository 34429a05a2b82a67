"""CBOR (RFC 8949) from strangers: its structure is walked before the decoder builds anything from it."""

from collections.abc import Collection, Mapping

import cbor2

MAX_DEPTH = 8
_SIMPLE = (20, 21, 22)  # false, true, null
_FLOATS = (25, 26, 27)
_KEY_MAJORS = (0, 1, 3)  # non-negative and negative integers, text


class CborError(ValueError):
    """The bytes are no CBOR that is accepted here; says why."""


def read(data: bytes, tags: Collection[int] = ()) -> object:
    """The one item that the bytes hold, without any tag but ``tags``. Raises :class:`CborError`.

    Refused: trailing bytes, items of indefinite length, nesting beyond :data:`MAX_DEPTH`, map keys that are neither
    integers nor text, duplicate map keys, and simple values without a meaning here.
    """
    if _skip(data, 0, 1, tags) != len(data):
        raise CborError("bytes after the CBOR item")
    try:
        return cbor2.loads(data, allow_indefinite=False, allow_duplicate_keys=False)
    except cbor2.CBORError:
        raise CborError(
            "not CBOR: duplicate map keys, text that is no UTF-8, or a tag around the wrong thing"
        ) from None


def read_map(data: object, most: int, tags: Collection[int] = ()) -> Mapping[object, object]:
    """The map of at most ``most`` entries that a byte string holds, read like :func:`read`. No bytes: no entries."""
    value = read(data, tags) if isinstance(data, bytes) and data else {} if data == b"" else None
    if not isinstance(value, Mapping) or len(value) > most:
        raise CborError(f"not a CBOR map of at most {most} entries")
    return value


def _skip(data: bytes, at: int, depth: int, tags: Collection[int]) -> int:
    """Where the item that begins at ``at`` ends."""
    if depth > MAX_DEPTH:
        raise CborError(f"CBOR nested deeper than {MAX_DEPTH}")
    major, argument, at = _head(data, at)
    match major:
        case 2 | 3:
            at += argument
            if at > len(data):
                raise CborError("CBOR that ends too soon")
        case 4:
            for _ in range(argument):
                at = _skip(data, at, depth + 1, tags)
        case 5:
            for _ in range(argument):
                if _head(data, at)[0] not in _KEY_MAJORS:
                    raise CborError("a CBOR map key that is neither integer nor text")
                at = _skip(data, at, depth + 1, tags)
                at = _skip(data, at, depth + 1, tags)
        case 6:
            if argument not in tags:
                raise CborError(f"CBOR tag {argument} is not accepted here")
            at = _skip(data, at, depth + 1, tags)
    return at


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type, argument, and where the head ends (RFC 8949 §3)."""
    initial = data[at : at + 1]
    if not initial:
        raise CborError("CBOR that ends too soon")
    major, info = initial[0] >> 5, initial[0] & 0x1F
    if major == 7 and info not in _SIMPLE and info not in _FLOATS:
        raise CborError("a CBOR simple value without meaning here")
    if info < 24:
        return major, info, at + 1
    if info > 27:
        raise CborError("CBOR of indefinite length")
    end = at + 1 + (1 << info - 24)
    if end > len(data):
        raise CborError("CBOR that ends too soon")
    return major, int.from_bytes(data[at + 1 : end], "big"), end
