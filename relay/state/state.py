"""State = fold(events). The one place where an event changes anything."""

from relay.gate.revocation import RevocationSet, Target
from relay.state.events import Event, Revoked, SaltDrawn

MAX_SALTS = 4096
"""Of one stream: more periods than any window holds. One stream's must never push out another's."""


class State:
    """What the events so far amount to."""

    def __init__(self) -> None:
        self.revocations = RevocationSet()
        self._salts: dict[str, dict[int, bytes]] = {}

    def apply(self, event: Event, now: float) -> None:
        """Fold one event in. Applying one twice changes nothing more."""
        match event:
            case Revoked():
                target = Target(event.target, event.value, event.issuer)
                self.revocations.add(target, event.expires_at, now)
            case SaltDrawn():
                # The first draw stands: whatever was encrypted under it must stay decryptable.
                salts = self._salts.setdefault(event.stream, {})
                salts.setdefault(event.period, event.salt)
                while len(salts) > MAX_SALTS:
                    del salts[next(iter(salts))]

    def salt(self, stream: str, period: int) -> bytes | None:
        """The salt drawn for a period, if any."""
        return self._salts.get(stream, {}).get(period)
