"""What changed lately, so that who was cleared before need not be looked up among millions again."""

from collections.abc import Iterable

LIMIT = 4096
"""Changes that are remembered at least, and half of what is at most: eight seconds at 500 a second."""


class RecentChanges:
    """The digests of the targets that changed last, and from which version on they are all."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()
        self._newer: set[bytes] = set()
        self._since = self._newer_since = 0

    def add(self, digest: bytes, version: int) -> None:
        """Note a change that made ``version``."""
        if len(self._newer) >= LIMIT:
            self._digests, self._since = set(self._newer), self._newer_since
            self._newer, self._newer_since = set(), version - 1
        self._newer.add(digest)
        self._digests.add(digest)

    def forget(self, version: int) -> None:
        """Anything may have changed before ``version``."""
        self._digests, self._newer = set(), set()
        self._since = self._newer_since = version

    def touch(self, digests: Iterable[bytes], since: int) -> bool:
        """Whether a change after version ``since`` may concern any of ``digests``."""
        return since < self._since or not self._digests.isdisjoint(digests)
