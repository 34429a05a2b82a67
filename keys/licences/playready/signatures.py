"""Signatures in PlayReady's form: ECDSA on P-256 with SHA-256, written as r and s, 32 bytes each."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from keys.licences.playready.curve import Point

SIGNATURE_BYTES = 64


def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Sign, deterministically (RFC 6979): the same data gives the same signature."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(key: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether ``signature`` over ``signed`` is by ``key``, an encoded point."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        public = Point.decode(key).public_key()
        public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        return False
    return True
