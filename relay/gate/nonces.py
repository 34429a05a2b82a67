"""Nonces of proofs of possession (RFC 9449 §8, §9): a proof that holds one was made just now, not ahead of time."""

from keys.errors import SealError
from keys.seal import Sealer

SLOT_S = 60
"""How long one nonce is given out. It is taken for that long once more: one to two minutes in all."""
_CONTEXT = b"proof nonce 1"
_MAX_TEXT = 128


class Nonces:
    """Gives nonces out and knows them again: the number of a slot of time, sealed. Nothing is remembered.

    All nodes with the same root keys take each other's. A nonce is every viewer's: that a proof holds once is a matter
    of its ``jti``. ``sealer`` must have keys of this purpose.
    """

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def at(self, now: float) -> str:
        """The nonce to give out now, in seconds since the epoch."""
        return self._sealer.seal(b"%d" % (now // SLOT_S), _CONTEXT)

    def fresh(self, nonce: object, now: float) -> bool:
        """Whether this is a nonce given out lately."""
        if not isinstance(nonce, str) or len(nonce) > _MAX_TEXT:
            return False
        try:
            slot = int(self._sealer.open(nonce, _CONTEXT))
        except SealError:
            return False
        # One slot ahead is from a node whose clock is.
        return -1 <= slot - now // SLOT_S <= 1
