"""The content key context: what a FairPlay device gets back, with one key in it."""

import hashlib
from collections.abc import Callable

from keys.licences.fairplay.credentials import encrypt_block, encrypt_cbc
from keys.licences.fairplay.limits import Limits, hdcp
from keys.licences.fairplay.spc import VERSION, FairPlayChallenge
from keys.licences.fairplay.tllv import Tag, write_block
from keys.licences.terms import GrantedKey


def write_ckc(
    challenge: FairPlayChallenge,
    granted: GrantedKey,
    limits: Limits,
    content_id: bytes,
    entropy: Callable[[int], bytes],
) -> bytes:
    """The CKC that gives ``granted`` to the device of ``challenge``, and to no other.

    ``content_id`` (16 bytes) names the content in a key that may be kept.
    """
    key = granted.key
    values = [
        (Tag.ENCRYPTED_KEY, key.constant_iv + encrypt_block(challenge.session_key, key.key)),
        (Tag.R1, challenge.r1),
        (Tag.DURATION, limits.duration()),
        (Tag.HDCP, hdcp(granted, challenge)),
        (Tag.OFFLINE_KEY, limits.offline_key(content_id) if limits.kept else b""),
    ]
    blocks = [write_block(tag, value, entropy) for tag, value in values if value]
    # The order is random, so that no place in the message has known plaintext.
    payload = b"".join(sorted([*blocks, *challenge.returned], key=lambda _: entropy(8)))
    iv = entropy(16)
    encrypted = encrypt_cbc(payload_key(challenge.r1, challenge.ar_seed), iv, payload)
    return VERSION.to_bytes(4) + bytes(4) + iv + len(encrypted).to_bytes(4) + encrypted


def payload_key(r1: bytes, ar_seed: bytes) -> bytes:
    """The key of a CKC's payload, of the R1 (44 bytes) and the AR seed (16 bytes) of its SPC."""
    # SHA-1 is the format's; nothing here rests on it being free of collisions.
    return encrypt_block(hashlib.sha1(r1, usedforsecurity=False).digest()[:16], ar_seed)
