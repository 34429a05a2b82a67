"""Key sets that issuers publish (RFC 7517).

A good refresh replaces all that was fetched before, so that a key its issuer withdrew is gone. When the last good one
is too old, only the configured keys are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from prometheus_client import Gauge

from relay.gate.dialects.jwk import keys_of
from relay.gate.dialects.keys import KeySet, TokenKey
from relay.telemetry.metrics import KEY_SET_AGE


@dataclass(frozen=True, slots=True)
class PinnedSet:
    """A key set and where it comes from. Times are seconds; ``fixed`` are the keys of the configuration."""

    kind: ClassVar[str] = "key_set"
    accept: ClassVar[str] = "application/jwk-set+json, application/json"
    max_bytes: ClassVar[int] = 256 * 1024
    age_metric: ClassVar[Gauge] = KEY_SET_AGE

    keys: KeySet
    url: str = field(repr=False)
    fixed: tuple[TokenKey, ...] = ()
    refresh_s: float = 300.0
    keep_s: float = 86_400.0

    def take(self, body: bytes) -> bool:
        """Put the keys of a JWK set, and the configured ones, in place of all others. Raises ValueError.

        That ends no session: a key that goes is no revocation.
        """
        self.keys.replace(self._merged(keys_of(body)))
        return False

    def lapse(self) -> None:
        """Leave the configured keys alone."""
        self.keys.replace(self.fixed)

    def _merged(self, fetched: Sequence[TokenKey]) -> list[TokenKey]:
        """The configured keys and the fetched ones. One key ID never means two algorithms: raises ValueError then."""
        fixed = {key.kid: key for key in self.fixed}
        for key in fetched:
            if key.kid in fixed and fixed[key.kid].algorithm != key.algorithm:
                raise ValueError(f"the kid {key.kid!r} is configured with another algorithm")
        return [*self.fixed, *(key for key in fetched if key.kid not in fixed)]
