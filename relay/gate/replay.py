"""What may be presented once: tokens and proofs seen, remembered until they expire."""

from hashlib import blake2b

from keys.encoding import encode_fields
from relay.model import Session

_SLOT_S = 8
"""Seconds of expiry that are forgotten together."""


class SeenOnce:
    """Remembers digests until they expire, ``limit`` of them at most; an entry takes about 200 bytes.

    When it is full it refuses what is new: forgetting what is old would let it be replayed.
    """

    def __init__(self, limit: int = 200_000) -> None:
        self._limit = limit
        self._seen: set[bytes] = set()
        self._slots: dict[int, list[bytes]] = {}
        self._slot = 0

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def full(self) -> bool:
        """Whether there is no room for anything new."""
        return len(self._seen) >= self._limit

    def first_time(self, digest: bytes, expires_at: float, now: float) -> bool:
        """Whether a digest comes for the first time, which it then has; False also when there is no room for it.

        Once past ``expires_at``, in seconds since the epoch, it may be forgotten.
        """
        self._forget(now)
        if digest in self._seen or self.full:
            return False
        self._seen.add(digest)
        self._slots.setdefault(int(expires_at // _SLOT_S), []).append(digest)
        return True

    def _forget(self, now: float) -> None:
        slot = int(now // _SLOT_S)
        if slot == self._slot:
            return
        self._slot = slot
        for past in [known for known in self._slots if known < slot]:
            self._seen.difference_update(self._slots.pop(past))


def digest_of_token(session: Session) -> bytes:
    """What stands for the token that a session came with, however it was spelt; another expiry is another token."""
    fields = encode_fields(session.issuer.encode(), session.token_id.encode(), str(session.expires_at).encode())
    return blake2b(fields, digest_size=16).digest()
