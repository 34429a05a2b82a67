"""Bad tokens derived mechanically from a good one: each function yields pairs of a name and a mutated token.

A token is text whose parts are joined by a separator: ``.`` in a JWT, ``~`` in a link token, ``&`` in a signed query;
a CAT has one part. Whatever the dialect, none of these may be taken for the good token, unless a test says why.
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from itertools import combinations

Mutant = tuple[str, str]
_URL_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def flips(token: str) -> Iterator[Mutant]:
    """Every single bit of every character flipped; what leaves ASCII is a character of Latin-1."""
    for at, character in enumerate(token):
        for bit in range(8):
            yield f"bit {bit} of character {at}", token[:at] + chr(ord(character) ^ 1 << bit) + token[at + 1 :]


def byte_flips(token: str, separator: str = "") -> Iterator[Mutant]:
    """Every single bit flipped of every byte that a part spells in base64url, spelt again."""
    yield from _respelt(token, separator, _decode, _encode)


def hex_flips(token: str, value: str) -> Iterator[Mutant]:
    """Every single bit flipped of every byte that ``value``, a part of the token, spells in hexadecimal."""
    before, found, after = token.rpartition(value)
    assert found
    for name, mutant in _respelt(value, "", bytes.fromhex, bytes.hex):
        yield name, before + mutant + after


def truncations(token: str) -> Iterator[Mutant]:
    """The token cut at every length, from its end and from its beginning."""
    for length in range(len(token)):
        yield f"first {length}", token[:length]
        if length:
            yield f"last {length}", token[-length:]


def trailing(token: str, separator: str = "") -> Iterator[Mutant]:
    """More than the token, behind it and before it."""
    extras = ["A", "AA", "AAAA", "=", "\n", "\r\n", " ", "\t", "\0", ",", ";", "%00", "%20", "\u3002", token]
    for extra in [*extras, *([separator, separator + "A"] if separator else [])]:
        yield f"{extra[:4]!r} behind", token + extra
        yield f"{extra[:4]!r} before", extra + token


def swapped(token: str, separator: str) -> Iterator[Mutant]:
    """Any two parts exchanged. Where the order of fields does not matter, these are no negatives."""
    parts = token.split(separator)
    for one, two in combinations(range(len(parts)), 2):
        if parts[one] != parts[two]:
            mixed = list(parts)
            mixed[one], mixed[two] = parts[two], parts[one]
            yield f"parts {one} and {two} swapped", separator.join(mixed)


def dropped(token: str, separator: str) -> Iterator[Mutant]:
    """Each part left out."""
    parts = token.split(separator)
    for at in range(len(parts)):
        yield f"part {at} dropped", separator.join(parts[:at] + parts[at + 1 :])


def emptied(token: str, separator: str) -> Iterator[Mutant]:
    """Each part emptied, its separators kept."""
    parts = token.split(separator)
    for at in range(len(parts)):
        yield f"part {at} emptied", separator.join([*parts[:at], "", *parts[at + 1 :]])


def doubled(token: str, separator: str) -> Iterator[Mutant]:
    """Each part given twice: next to itself, first, and last."""
    parts = token.split(separator)
    for at, part in enumerate(parts):
        yield f"part {at} twice", separator.join([*parts[:at], part, *parts[at:]])
        yield f"part {at} again in front", separator.join([part, *parts])
        yield f"part {at} again behind", separator.join([*parts, part])


def mixed(mine: str, theirs: str, separator: str) -> Iterator[Mutant]:
    """Parts of two good tokens put together, one part of the other token at a time."""
    parts, others = mine.split(separator), theirs.split(separator)
    for at, (part, other) in enumerate(zip(parts, others, strict=False)):
        if part != other:
            yield f"part {at} of another token", separator.join([*parts[:at], other, *parts[at + 1 :]])


def spare_bits(token: str, separator: str = "") -> Iterator[Mutant]:
    """Other spellings of the same bytes: the bits that base64url leaves over in the last character of a part, set."""
    parts = token.split(separator) if separator else [token]
    for at, part in enumerate(parts):
        spare = {2: 4, 3: 2}.get(len(part) % 4, 0)
        value = _URL_ALPHABET.find(part[-1:]) if part else -1
        for bits in range(1, 1 << spare if value >= 0 else 0):
            other = part[:-1] + _URL_ALPHABET[value ^ bits]
            yield f"spare bits {bits} of part {at}", (separator or "").join([*parts[:at], other, *parts[at + 1 :]])


def spellings(token: str) -> Iterator[Mutant]:
    """Other spellings that a lenient reader takes for the same token: case, percent-encoding, blanks, line breaks."""
    middle = len(token) // 2
    for name, mutant in (
        ("upper case", token.upper()),
        ("lower case", token.lower()),
        ("other case", token.swapcase()),
        ("a character percent-encoded", f"{token[:middle]}%{ord(token[middle]):02x}{token[middle + 1 :]}"),
        ("a blank inside", token[:middle] + " " + token[middle:]),
        ("a line break inside", token[:middle] + "\r\n" + token[middle:]),
        ("a zero-width space inside", token[:middle] + "\u200b" + token[middle:]),
        ("full-width letters", "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in token)),
    ):
        if mutant != token:
            yield name, mutant


def all_of(token: str, separator: str = "") -> Iterator[Mutant]:
    """Every derivation that is a negative in any dialect whose parts have an order."""
    yield from flips(token)
    yield from truncations(token)
    yield from trailing(token, separator)
    yield from spellings(token)
    if separator:
        yield from swapped(token, separator)
        yield from dropped(token, separator)
        yield from emptied(token, separator)
        yield from doubled(token, separator)


def _respelt(
    token: str, separator: str, decode: Callable[[str], bytes], encode: Callable[[bytes], str]
) -> Iterator[Mutant]:
    parts = token.split(separator) if separator else [token]
    for at, part in enumerate(parts):
        data = decode(part)
        for byte, bit in ((byte, bit) for byte in range(len(data)) for bit in range(8)):
            other = data[:byte] + bytes([data[byte] ^ 1 << bit]) + data[byte + 1 :]
            name = f"bit {bit} of byte {byte} of part {at}"
            yield name, (separator or "").join([*parts[:at], encode(other), *parts[at + 1 :]])


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encode(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode().rstrip("=").translate(str.maketrans("+/", "-_"))
