"""What is revoked. The set every request is checked against: exact, in memory, bounded by expiry."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

from keys.encoding import encode_fields
from relay.model import Session


class TargetType(StrEnum):
    """What kind of thing a revocation names."""

    SESSION = "session"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Target:
    """One revocable thing. An account belongs to an issuer; an empty issuer means that account at any."""

    type: TargetType
    value: str
    issuer: str = ""

    def digest(self) -> bytes:
        """16 bytes that stand for the target in sets."""
        fields = encode_fields(self.type.encode(), self.issuer.encode(), self.value.encode())
        return blake2b(fields, digest_size=16).digest()


def digests_of(session: Session) -> tuple[bytes, ...]:
    """Digests of every target that would revoke a session."""
    return tuple(
        target.digest()
        for target in (
            Target(TargetType.SESSION, session.sid),
            Target(TargetType.ACCOUNT, session.account, session.issuer),
            Target(TargetType.ACCOUNT, session.account),
        )
    )


class RevocationSet:
    """Live revocations by digest, each until its expiry (seconds since the epoch).

    ``version`` grows with every change, so work that took time can tell whether to ask again.
    """

    def __init__(self) -> None:
        self._expiry: dict[bytes, float] = {}
        self._sweep_at = _FIRST_SWEEP
        self.version = 0

    def __len__(self) -> int:
        return len(self._expiry)

    def add(self, target: Target, expires_at: float, now: float) -> None:
        """Revoke a target. A second revocation never shortens the first."""
        digest = target.digest()
        self._expiry[digest] = max(expires_at, self._expiry.get(digest, 0.0))
        self.version += 1
        if len(self._expiry) >= self._sweep_at:
            self._drop_expired(now)

    def covers(self, digests: Iterable[bytes], now: float) -> bool:
        """Whether any of a session's digests is revoked."""
        return any(digest in self._expiry and self._expiry[digest] > now for digest in digests)

    def _drop_expired(self, now: float) -> None:
        # Swept when the set has doubled since the last sweep: constant cost per entry, no timer.
        self._expiry = {digest: expiry for digest, expiry in self._expiry.items() if expiry > now}
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._expiry))


_FIRST_SWEEP = 1024
