"""Wildcard patterns as link tokens write them: ``*`` for any run of characters, ``?`` for one."""

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

MAX_TEXT = 2048
"""A longer text fits no pattern."""


@dataclass(frozen=True, slots=True)
class Glob:
    """A comparison with a wildcard pattern, among those of :mod:`relay.gate.scope`."""

    pattern: str

    def holds(self, text: str) -> bool:
        """Whether the whole text fits."""
        return len(text) <= MAX_TEXT and glob_matches(self.pattern, text)


def glob_matches(pattern: str, text: str) -> bool:
    """Whether a whole text fits a pattern; ``*`` takes slashes, too.

    Every way to match is followed at once, each a bit of one number: four operations on it for a character of the
    text, whatever the pattern. Backtracking, by hand or in a regular expression, took a third of a second for a
    pattern of a thousand characters.
    """
    wanted, stars, end = _compiled(pattern)
    anything = wanted["?"]
    # Bit n: the first n characters of the pattern are matched, its stars not counted.
    reached = 1
    for character in text:
        reached = (reached & wanted.get(character, anything)) << 1 | reached & stars
        if not reached:
            return False
    return bool(reached & end)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> tuple[dict[str, int], int, int]:
    """Where each character is wanted, where a star stands, and where the pattern ends, as bits."""
    places: dict[str, int] = defaultdict(int)
    stars, bit = 0, 1
    for character in pattern:
        if character == "*":
            stars |= bit
        else:
            places[character] |= bit
            bit <<= 1
    anything = places.pop("?", 0)
    return {"?": anything, **{character: place | anything for character, place in places.items()}}, stars, bit
