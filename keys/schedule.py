"""The key schedule: HKDF-SHA256 (RFC 5869) from a root secret to everything one key slot needs.

Each purpose has a label of its own, so that knowing one output says nothing of another, and each
field of a slot is encoded with its length, so that no two slots share an info string.
"""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keys.encoding import encode_fields
from keys.material import ContentKey, RootKey
from keys.model import KeySlot, root_of

LABEL_CONTENT_KEY = b"segmentgate/1 content key"
LABEL_KID = b"segmentgate/1 key id"
LABEL_CONSTANT_IV = b"segmentgate/1 constant iv"
LABEL_IV_KEY = b"segmentgate/1 sample iv key"
LABEL_SERVICE = b"segmentgate/1 service key"


def expand(secret: bytes, info: bytes, length: int, salt: bytes | None = None) -> bytes:
    """HKDF-SHA256, extract then expand (RFC 5869 §2)."""
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def derive_kid(root: RootKey, slot: KeySlot) -> bytes:
    """The 16-byte key ID of a slot.

    Without the period's salt: a key ID is public and must be known before the period's salt is drawn.
    """
    return expand(root.secret, _info(LABEL_KID, slot), 16)


def derive_content_key(root: RootKey, slot: KeySlot, salt: bytes | None = None) -> ContentKey:
    """All material of a slot. ``salt`` is the period's random salt where the stream asks for one (SVTA 6.3.7)."""
    if root.generation != root_of(slot.generation):
        raise ValueError(f"slot of generation {slot.generation} derived from root {root.generation}")
    return ContentKey(
        kid=derive_kid(root, slot),
        key=expand(root.secret, _info(LABEL_CONTENT_KEY, slot), 16, salt),
        constant_iv=expand(root.secret, _info(LABEL_CONSTANT_IV, slot), 16, salt),
        iv_key=expand(root.secret, _info(LABEL_IV_KEY, slot), 32, salt),
    )


def derive_service_key(root: RootKey, purpose: str, length: int = 32) -> bytes:
    """A key of the relay itself (passes, URL signatures), independent of every content key."""
    return expand(root.secret, encode_fields(LABEL_SERVICE, purpose.encode()), length)


def _info(label: bytes, slot: KeySlot) -> bytes:
    period = b"stable" if slot.period is None else b"period %d" % slot.period
    return encode_fields(
        label, slot.stream.encode(), slot.track.encode(), slot.scheme.encode(), b"%d" % slot.generation, period
    )
