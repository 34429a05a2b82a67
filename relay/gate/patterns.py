"""Regular expressions that a token may bring: a subset that is matched in time linear in the text.

Backtracking engines such as Python's need exponential time for some patterns, so these are matched by simulating an
automaton of positions (Glushkov): per character, at most as many steps as the pattern has positions. The subset:
literals, ``.``, classes, ``\\d \\w \\s`` (ASCII) and their negations, groups, ``|``, the quantifiers ``? * + {m,n}``,
greedy or lazy, which is the same to a match of the whole text, and ``^`` and ``$`` at the ends. Refused, for they go
beyond regular languages or mean different things elsewhere: backreferences, look-around, named groups, flags inside,
word boundaries, possessive and atomic forms. A pattern always has to match the whole text: unanchored ones authorise
more than their issuer meant.
"""

from dataclasses import dataclass
from functools import lru_cache

MAX_PATTERN = 256
MAX_INPUT = 2048
MAX_POSITIONS = 512
"""Characters a pattern can stand for after its counted repeats are written out."""
MAX_NESTING = 16
_MAX_REPEAT = 256
_SPECIAL = frozenset(r"\.[](){}|?*+^$")
_CLASSES = {"d": ("0", "9"), "w": ("0", "9", "A", "Z", "a", "z", "_", "_"), "s": ("\t", "\r", " ", " ")}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}


class PatternError(ValueError):
    """The pattern is malformed, outside the subset, or too large; says which."""


@dataclass(frozen=True, slots=True)
class _Set:
    """The characters one position accepts."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def holds(self, character: str, ignore_case: bool) -> bool:
        others = {character, character.swapcase()} if ignore_case and character.isascii() else {character}
        return any(low <= other <= high for low, high in self.ranges for other in others) is not self.negated


@dataclass(frozen=True, slots=True)
class _Sequence:
    items: "tuple[_Node, ...]"


@dataclass(frozen=True, slots=True)
class _Choice:
    items: "tuple[_Node, ...]"


@dataclass(frozen=True, slots=True)
class _Repeat:
    item: "_Node"
    least: int
    most: int | None


_Node = _Set | _Sequence | _Choice | _Repeat
_ANY = _Set((), negated=True)


@dataclass(frozen=True, slots=True)
class _Fragment:
    """Part of an automaton: whether it matches nothing, and bit masks of the positions it begins and ends with."""

    nullable: bool
    first: int = 0
    last: int = 0


_NOTHING = _Fragment(nullable=True)


class Pattern:
    """A compiled pattern. Use :func:`compile_pattern`, which keeps them."""

    def __init__(self, text: str, ignore_case: bool = False) -> None:
        if len(text) > MAX_PATTERN:
            raise PatternError(f"longer than {MAX_PATTERN} characters")
        node = _Parser(text).parse()
        if _size(node) > MAX_POSITIONS:
            raise PatternError(f"its repeats add up to more than {MAX_POSITIONS} positions")
        self._ignore_case = ignore_case
        self._sets: list[_Set] = []
        self._follow: list[int] = []
        self._whole = self._build(node)

    def matches(self, text: str) -> bool:
        """Whether the whole text matches. Text beyond :data:`MAX_INPUT` characters never does."""
        if not text or len(text) > MAX_INPUT:
            return not text and self._whole.nullable
        accepted: dict[str, int] = {}
        reachable, here = self._whole.first, 0
        for character in text:
            if character not in accepted:
                accepted[character] = self._accepting(character)
            here = reachable & accepted[character]
            if not here:
                return False
            reachable = 0
            for position in _bits(here):
                reachable |= self._follow[position]
        return bool(here & self._whole.last)

    def _accepting(self, character: str) -> int:
        held = (1 << at for at, chars in enumerate(self._sets) if chars.holds(character, self._ignore_case))
        return sum(held)

    def _build(self, node: _Node) -> _Fragment:
        match node:
            case _Set():
                bit = 1 << len(self._sets)
                self._sets.append(node)
                self._follow.append(0)
                return _Fragment(False, bit, bit)
            case _Choice(items):
                built = [self._build(item) for item in items]
                return _Fragment(
                    any(part.nullable for part in built),
                    sum(part.first for part in built),
                    sum(part.last for part in built),
                )
            case _Sequence(items):
                whole = _NOTHING
                for item in items:
                    whole = self._join(whole, self._build(item))
                return whole
            case _Repeat():
                return self._repeat(node)

    def _repeat(self, node: _Repeat) -> _Fragment:
        whole = _NOTHING
        for copy in range(_copies(node)):
            part = self._build(node.item)
            if node.most is None and copy == _copies(node) - 1:
                self._link(part.last, part.first)
            if copy >= node.least:
                part = _Fragment(True, part.first, part.last)
            whole = self._join(whole, part)
        return whole

    def _join(self, one: _Fragment, two: _Fragment) -> _Fragment:
        self._link(one.last, two.first)
        return _Fragment(
            one.nullable and two.nullable,
            one.first | (two.first if one.nullable else 0),
            two.last | (one.last if two.nullable else 0),
        )

    def _link(self, last: int, first: int) -> None:
        for position in _bits(last):
            self._follow[position] |= first


@lru_cache(maxsize=256)
def compile_pattern(text: str, ignore_case: bool = False) -> Pattern:
    """The pattern of a regular expression. Raises :class:`PatternError`."""
    return Pattern(text, ignore_case)


def _bits(mask: int) -> list[int]:
    positions = []
    while mask:
        low = mask & -mask
        positions.append(low.bit_length() - 1)
        mask ^= low
    return positions


def _copies(node: _Repeat) -> int:
    return max(node.least, 1) if node.most is None else node.most


def _size(node: _Node) -> int:
    """How large a node is once its repeats are written out; every node counts, so that empty groups do, too."""
    match node:
        case _Set():
            return 1
        case _Sequence(items) | _Choice(items):
            return sum(map(_size, items), 1)
        case _Repeat(item):
            return _copies(node) * _size(item) + 1


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def parse(self) -> _Node:
        if self._text.startswith("^"):
            self._at = 1
        node = self._choice()
        if self._at < len(self._text):
            raise PatternError("an unmatched )")
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        if not character:
            raise PatternError("it ends too soon")
        self._at += 1
        return character

    def _choice(self) -> _Node:
        branches = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _Choice(tuple(branches))

    def _sequence(self) -> _Node:
        items: list[_Node] = []
        while (character := self._peek()) and character not in "|)":
            if character == "$" and self._at == len(self._text) - 1:
                self._at += 1
                break
            items.append(self._quantified(self._atom()))
        return _Sequence(tuple(items))

    def _quantified(self, item: _Node) -> _Node:
        limits = self._quantifier()
        if limits is None:
            return item
        if self._peek() == "?":  # lazy
            self._at += 1
        if self._peek() and self._peek() in "?*+{":
            raise PatternError("possessive or stacked quantifiers are not accepted")
        return _Repeat(item, *limits)

    def _quantifier(self) -> tuple[int, int | None] | None:
        simple: dict[str, tuple[int, int | None]] = {"?": (0, 1), "*": (0, None), "+": (1, None)}
        character = self._peek()
        if character in simple:
            self._at += 1
            return simple[character]
        if character != "{":
            return None
        inside, closed, _ = self._text[self._at + 1 :].partition("}")
        low, comma, high = inside.partition(",")
        numbers = [part for part in (low, high) if part]
        # Three digits at most: int() of a longer run would be work.
        if not closed or not low or not all(part.isascii() and part.isdecimal() and len(part) < 4 for part in numbers):
            raise PatternError("a { that begins no {m}, {m,} or {m,n}")
        self._at += len(inside) + 2
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if max(least, most or 0) > _MAX_REPEAT or (most is not None and most < least):
            raise PatternError(f"a repeat that is empty or beyond {_MAX_REPEAT}")
        return least, most

    def _atom(self) -> _Node:
        character = self._next()
        match character:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case ".":
                return _ANY
            case "\\":
                return self._escape()
            case "^" | "$":
                raise PatternError(f"{character} is accepted at the ends alone")
            case _ if character in _SPECIAL:
                raise PatternError(f"a {character} that is neither escaped nor in its place")
        return _Set(((character, character),))

    def _group(self) -> _Node:
        if self._peek() == "?":
            if not self._text.startswith("?:", self._at):
                raise PatternError("look-around, named groups, atomic groups and flags inside are not accepted")
            self._at += 2
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise PatternError(f"groups nested deeper than {MAX_NESTING}")
        node = self._choice()
        self._next()  # a closing parenthesis, or the end, which is too soon: nothing else ends a choice
        self._depth -= 1
        return node

    def _escape(self) -> _Set:
        character = self._next()
        if character.lower() in _CLASSES:
            ends = _CLASSES[character.lower()]
            return _Set(tuple(zip(ends[::2], ends[1::2], strict=True)), negated=character.isupper())
        character = _CONTROLS.get(character, character)
        if character.isalnum():
            raise PatternError(f"the escape \\{character} is not accepted")
        return _Set(((character, character),))

    def _class(self) -> _Set:
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[str, str]] = []
        while self._peek() != "]":
            low = self._member()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._member()
                ends = [low[0][0], low[-1][1], high[0][0], high[-1][1]]
                if ends[0] != ends[1] or ends[2] != ends[3] or ends[0] > ends[2]:
                    raise PatternError("a range of characters that has no order")
                ranges.append((ends[0], ends[2]))
            else:
                ranges += low
        self._at += 1
        if not ranges:
            raise PatternError("an empty class")
        return _Set(tuple(ranges), negated)

    def _member(self) -> tuple[tuple[str, str], ...]:
        character = self._next()
        if character != "\\":
            return ((character, character),)
        escaped = self._escape()
        if escaped.negated:
            raise PatternError("a negated class inside a class")
        return escaped.ranges
