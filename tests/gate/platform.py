"""A platform that signs tokens: keys of every algorithm, the claims of a good token, and bad tokens' raw parts."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from keys import base64url
from relay.facts import Facts
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.jwt import JwtDialect, mint_token
from relay.gate.dialects.keys import KeySet, Signer

NOW = 1_790_000_000
ISSUER = "https://platform.example"
AUDIENCE = "edge"
SECRET, NEXT_SECRET = bytes(range(32)), bytes(range(1, 33))
LEEWAY, MAX_LIFETIME = 5.0, 86_400.0

EC_KEY = derive_private_key(0x1234567890ABCDEF, SECP256R1())
ED_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "account-1",
    "sid": "session-1",
    "jti": "token-1",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 600,
}
HEADER: Mapping[str, Any] = {"alg": "HS256", "kid": "hs-1", "typ": "session+jwt"}


def private_pem(key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


SIGNERS: Mapping[str, tuple[str, bytes]] = {
    "hs-1": ("HS256", SECRET),
    "hs-2": ("HS256", NEXT_SECRET),
    "es-1": ("ES256", private_pem(EC_KEY)),
    "ed-1": ("EdDSA", private_pem(ED_KEY)),
}


TERMS = Terms(ISSUER, AUDIENCE, LEEWAY, MAX_LIFETIME)
FACTS = Facts("GET", "/watch/news/index.m3u8")


def keys() -> KeySet:
    return KeySet(Signer.load(kid, *signer).public() for kid, signer in SIGNERS.items())


def dialect(plain: bool = False) -> JwtDialect:
    return JwtDialect(TERMS, keys(), plain)


def token(kid: str = "hs-1", without: str = "", **claims: Any) -> str:
    algorithm, key = SIGNERS[kid]
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if name != without}
    return mint_token(said, kid, algorithm, key)


def raw_token(header: bytes | Mapping[str, Any], claims: bytes | Mapping[str, Any], secret: bytes = SECRET) -> str:
    """A token signed with HMAC whatever its parts say, so that only what they say can be wrong."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    signed = ".".join(map(base64url.encode, parts))
    return f"{signed}.{base64url.encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"
