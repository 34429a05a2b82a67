"""RSA as the formats of DRM systems and of key exchange fix it: OAEP and PSS (RFC 8017), mostly over SHA-1."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

SHA1 = hashes.SHA1()  # noqa: S303 - the formats' choice
OAEP = padding.OAEP(padding.MGF1(SHA1), SHA1, None)
"""RSAES-OAEP with SHA-1, MGF1-SHA-1 and an empty label."""
_SALT_BYTES = 20


def verifies(key: RSAPublicKey, signature: bytes, message: bytes, algorithm: hashes.HashAlgorithm = SHA1) -> bool:
    """Whether a signature is RSASSA-PSS by a key, with MGF1 of the same hash and a salt of 20 bytes."""
    try:
        key.verify(signature, message, padding.PSS(padding.MGF1(algorithm), _SALT_BYTES), algorithm)
    except (InvalidSignature, ValueError):
        return False
    return True
