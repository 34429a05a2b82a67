"""ElGamal encryption on P-256: how PlayReady gives a key to a device, and a device its data to a server.

A message is a point. The ciphertext is two, 128 bytes: k·G, and the message plus k times the receiver's key.
"""

from collections.abc import Callable

from keys.licences.playready.curve import POINT_BYTES, Point, Scalar

CIPHERTEXT_BYTES = 2 * POINT_BYTES
_TRIES = 256
"""Half of all tries find a point, so real entropy never comes near."""


def encrypt(message: Point, receiver: Point, k: Scalar) -> bytes:
    """Encrypt; ``k`` must be random and used once."""
    return k.base().encode() + message.plus(k.times(receiver)).encode()


def decrypt(ciphertext: bytes, secret: Scalar) -> Point:
    """The message. Raises :class:`ValueError` unless the ciphertext is two points with a message between them.

    Any two points decrypt, under any secret, to some point: that it is the right one must show elsewhere.
    """
    if len(ciphertext) != CIPHERTEXT_BYTES:
        raise ValueError(f"ElGamal: {len(ciphertext)} bytes, expected {CIPHERTEXT_BYTES}")
    ephemeral = Point.decode(ciphertext[:POINT_BYTES])
    masked = Point.decode(ciphertext[POINT_BYTES:])
    return masked.plus(secret.times(ephemeral).negated())


def key_message(key: bytes, entropy: Callable[[int], bytes]) -> tuple[bytes, Point]:
    """A fresh integrity key (16 bytes) and the point whose x is that key followed by ``key``, 16 bytes, too.

    Raises :class:`ValueError` for a key of another length, and when ``entropy`` is none.
    """
    if len(key) != 16:
        raise ValueError(f"content key: {len(key)} bytes, expected 16")
    for _ in range(_TRIES):
        integrity_key = entropy(16)
        point = Point.lift(int.from_bytes(integrity_key + key, "big"))
        # Clients have been seen to drop leading zeros of x, and so to read a shorter integrity key.
        if point is not None and integrity_key[0]:
            return integrity_key, point
    raise ValueError("entropy: the same bytes again and again")
