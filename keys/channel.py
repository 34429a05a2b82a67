"""Next keys sealed for one session, so that any response may carry them to its player and nobody else reads them.

The channel key belongs to the session and goes to its player with its first keys. What is sealed under it is
``version ‖ period ‖ nonce ‖ ciphertext and tag``: one byte, eight bytes big-endian (ms of stream time), twelve
bytes, AES-256-GCM (NIST SP 800-38D). Stream name and period are authenticated with it.
"""

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys import base64url
from keys.encoding import encode_fields
from keys.schedule import expand

LABEL_CHANNEL = b"segmentgate/1 session channel"
LABEL_NEXT_KEYS = b"segmentgate/1 next keys"
VERSION = b"\x01"
NONCE_BYTES = 12


def derive_channel_key(secret: bytes, issuer: str, sid: str) -> bytes:
    """The 32-byte key of a session's channel, from one of the relay's own secrets (HKDF, RFC 5869).

    Every node derives the same. Session ids belong to the issuer of their tokens.
    """
    return expand(secret, encode_fields(LABEL_CHANNEL, issuer.encode(), sid.encode()), 32)


def seal_next_keys(channel_key: bytes, keys: bytes, stream: str, period: int, nonce: bytes) -> str:
    """Seal ``keys`` of the period that starts at ``period`` for one session, as base64url.

    ``nonce`` is 12 random bytes. A counter would not do, as every node seals on its own; random ones are safe
    for 2^32 sealings under one key (NIST SP 800-38D §8.3), and a session sees one for each node and period.
    """
    start = period.to_bytes(8, "big")
    bound = encode_fields(LABEL_NEXT_KEYS, stream.encode(), start)
    return base64url.encode(VERSION + start + nonce + AESGCM(channel_key).encrypt(nonce, keys, bound))
