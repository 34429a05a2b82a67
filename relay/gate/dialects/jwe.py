"""JSON Web Encryption (RFC 7516) in the one form that URI signing uses: compact, a shared AES key used directly."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys import base64url
from relay.gate.dialects.claims import malformed, unsupported
from relay.gate.dialects.jws import strict_json

MAX_TEXT = 1024
_NONCE, _TAG = 12, 16


def is_encrypted(text: str) -> bool:
    """Whether a text has the five parts of a compact JWE, the second empty as there is no wrapped key."""
    return text.count(".") == 4 and ".." in text


def decrypt(text: str, key: bytes, claim: str) -> str:
    """The text in a JWE of algorithm ``dir`` and A128GCM or A256GCM. Raises :class:`BadTokenError`."""
    if len(text) > MAX_TEXT:
        raise malformed(f"claim {claim}: longer than {MAX_TEXT} characters")
    try:
        protected, wrapped, nonce, sealed, tag = text.split(".")
        header = strict_json(base64url.decode(protected))
        parts = [base64url.decode(part) for part in (nonce, sealed, tag)]
    except ValueError:
        raise malformed(f"claim {claim}: not a compact JWE") from None
    if wrapped or (header.get("alg"), header.get("enc")) != ("dir", f"A{len(key) * 8}GCM") or "zip" in header:
        raise unsupported(f"claim {claim}: encrypted in another way than with the key configured")
    if "crit" in header or len(parts[0]) != _NONCE or len(parts[2]) != _TAG:
        raise malformed(f"claim {claim}: not a compact JWE")
    try:
        return AESGCM(key).decrypt(parts[0], parts[1] + parts[2], protected.encode()).decode()
    except (InvalidTag, UnicodeDecodeError):
        raise malformed(f"claim {claim}: does not decrypt") from None
