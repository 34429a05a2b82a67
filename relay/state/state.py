"""State = fold(events). The one place where an event changes anything."""

from relay.gate.revocation import RevocationSet, Target
from relay.state.events import Event, Revoked, SaltDrawn

MAX_SALTS = 100_000


class State:
    """What the events so far amount to."""

    def __init__(self) -> None:
        self.revocations = RevocationSet()
        self._salts: dict[tuple[str, int], bytes] = {}

    def apply(self, event: Event, now: float) -> None:
        """Fold one event in. Applying one twice changes nothing more."""
        match event:
            case Revoked():
                target = Target(event.target, event.value, event.issuer)
                self.revocations.add(target, event.expires_at, now)
            case SaltDrawn():
                # The first draw stands: whatever was encrypted under it must stay decryptable.
                self._salts.setdefault((event.stream, event.period), event.salt)
                while len(self._salts) > MAX_SALTS:
                    del self._salts[next(iter(self._salts))]

    def salt(self, stream: str, period: int) -> bytes | None:
        """The salt drawn for a period, if any."""
        return self._salts.get((stream, period))
