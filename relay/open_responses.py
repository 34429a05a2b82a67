"""What is flowing now, by whom: so that a revocation can cut it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from relay.gate.gate import Visitor


@dataclass(frozen=True, slots=True)
class Cut:
    """What a revocation stopped."""

    sessions: int
    responses: int


@dataclass(eq=False, slots=True)
class _Open:
    sid: str
    cut: Callable[[], None]


class OpenResponses:
    """Open responses and channels under the digests that would revoke them."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, set[_Open]] = {}
        self.count = 0

    @contextmanager
    def holding(self, visitor: Visitor, cut: Callable[[], None]) -> Iterator[None]:
        """Keep a response in the registry while the block runs; ``cut`` stops it at once."""
        entry = _Open(visitor.session.sid, cut)
        for digest in visitor.digests:
            self._by_digest.setdefault(digest, set()).add(entry)
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
            for digest in visitor.digests:
                entries = self._by_digest[digest]
                entries.discard(entry)
                if not entries:
                    del self._by_digest[digest]

    def cut(self, digest: bytes) -> Cut:
        """Stop everything a revoked target has open."""
        entries = list(self._by_digest.get(digest, ()))
        for entry in entries:
            entry.cut()
        return Cut(len({entry.sid for entry in entries}), len(entries))
