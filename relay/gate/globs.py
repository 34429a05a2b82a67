"""Wildcard patterns as link tokens write them: ``*`` for any run of characters, ``?`` for one."""

from dataclasses import dataclass

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

    Two pointers and one place to go back to: at most ``len(pattern) * len(text)`` steps, and one pass over the text
    for a pattern with a single ``*``. A regular expression could be made to backtrack exponentially.
    """
    at, star, resume = 0, -1, 0
    place = 0
    while place < len(text):
        wanted = pattern[at] if at < len(pattern) else ""
        if wanted == "*":
            star, resume = at, place
            at += 1
        elif wanted in ("?", text[place]):
            at += 1
            place += 1
        elif star >= 0:
            # Only the last star needs to give back: what an earlier one took leaves the rest no more room.
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return all(left == "*" for left in pattern[at:])
