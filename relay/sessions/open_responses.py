"""What is flowing now, by whom: so that a revocation can cut it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from relay.gate.gate import FactsOf, Visitor
from relay.gate.targets import Target, TargetType
from relay.model import Cut

_log = structlog.get_logger()
FOUND_BY_NAME = {
    TargetType.SESSION,
    TargetType.ACCOUNT,
    TargetType.DEVICE,
    TargetType.TOKEN,
    TargetType.WATERMARK,
    TargetType.SESSION_VERSION,
    TargetType.ISSUED_BEFORE,
}
"""Their value is a name that visitors carry; of others every open response must be looked at."""


@dataclass(eq=False, slots=True)
class OpenResponse:
    """One response or channel in flight; ``cut`` stops it at once."""

    visitor: Visitor
    facts: FactsOf
    cut: Callable[[], None]


class OpenResponses:
    """Open responses and channels, found by any name of their visitor."""

    def __init__(self) -> None:
        self._by_name: dict[str, set[OpenResponse]] = {}
        self._all: set[OpenResponse] = set()

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._all)

    def add(self, entry: OpenResponse) -> None:
        """Register a response until :meth:`discard`."""
        self._all.add(entry)
        for name in entry.visitor.names:
            self._by_name.setdefault(name, set()).add(entry)

    def discard(self, entry: OpenResponse) -> None:
        """Forget a response that has ended."""
        self._all.discard(entry)
        for name in entry.visitor.names:
            entries = self._by_name.get(name)
            if entries:
                entries.discard(entry)
                if not entries:
                    del self._by_name[name]

    def hit_by(self, targets: Iterable[Target], revoked: Callable[[OpenResponse], bool]) -> list[OpenResponse]:
        """The open responses that revocations of ``targets`` could stop and ``revoked`` says are."""
        return [entry for entry in self.found_by(targets) if _holds(revoked, entry)]

    def found_by(self, targets: Iterable[Target]) -> list[OpenResponse]:
        """The open responses that revocations of ``targets`` could stop, as far as can be told at a glance."""
        found: set[OpenResponse] = set()
        for target in targets:
            if target.type in FOUND_BY_NAME and target.value:
                found |= self._by_name.get(target.value, _NONE)
            else:
                found = self._all
                break
        return list(found)

    def cut(self, targets: Iterable[Target], revoked: Callable[[OpenResponse], bool]) -> Cut:
        """Stop everything that revocations of ``targets`` hit."""
        return self._cut(self.hit_by(targets, revoked))

    def cut_all(self, refused: Callable[[OpenResponse], bool]) -> Cut:
        """Stop every open response that is ``refused``."""
        return self._cut([entry for entry in self._all if _holds(refused, entry)])

    def cut_session(self, sid: str) -> Cut:
        """Stop all of one session."""
        return self._cut([entry for entry in self._by_name.get(sid, ()) if entry.visitor.session.sid == sid])

    def _cut(self, entries: list[OpenResponse]) -> Cut:
        for entry in entries:
            try:
                entry.cut()
            except Exception:
                # One that cannot be cut must not save the others.
                _log.exception("cut_failed")
        return Cut(len({entry.visitor.session.sid for entry in entries}), len(entries))


_NONE: set[OpenResponse] = set()


def _holds(predicate: Callable[[OpenResponse], bool], entry: OpenResponse) -> bool:
    try:
        return predicate(entry)
    except Exception:
        # Whoever cannot be judged is not let off.
        _log.exception("not_judged")
        return True
