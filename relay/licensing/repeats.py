"""Challenges are good once: a second one alike is a player's that lost the answer, or a stranger's."""

from hashlib import blake2b

from keys.encoding import encode_fields
from relay.gate.replay import SeenOnce

REMEMBERED_S = 600.0
"""Whoever plays a challenge back later gets a licence that only the device which made it can open."""
PATIENCE_S = 10.0
"""How long a player may go on asking with the same challenge."""
_SLOTS = 4096


class Repeats:
    """Remembers the challenges that this node has answered."""

    def __init__(self) -> None:
        self._seen = SeenOnce()
        self._lately: dict[bytes, tuple[bytes, float]] = {}

    def may(self, once: bytes, sid: str, issuer: str, now: float) -> bool:
        """Whether a session may be answered a challenge: a new one, or its own of a moment ago."""
        digest = blake2b(once, digest_size=16).digest()
        asker = encode_fields(issuer.encode(), sid.encode())
        if not self._seen.first_time(digest, now + REMEMBERED_S, now):
            before, until = self._lately.get(digest, (b"", 0.0))
            # Rather a licence once more, for the device that asked the first time, than none for anybody.
            return self._seen.full or (before == asker and now < until)
        self._lately[digest] = asker, now + PATIENCE_S
        if len(self._lately) > _SLOTS:
            del self._lately[next(iter(self._lately))]
        return True
