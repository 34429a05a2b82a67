"""Signatures of webhooks (Standard Webhooks 1.0): HMAC-SHA-256 over the message's id, its time and its body. Pure."""

import hmac
from base64 import b64decode
from binascii import Error
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Protocol, TypeVar

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE_S = 300
"""How far a message's time may be from ours, either way."""
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
PREFIX = "whsec_"
MAX_SIGNATURES = 8
_MAX_ID = 256
_VERSION = "v1,"


class SignatureError(Exception):
    """Why a message is not believed; says nothing of what would have been right."""


class Signing(Protocol):
    """Whoever signs messages, with any of its secrets."""

    @property
    def secrets(self) -> Sequence[bytes]:
        """The secrets."""
        ...


S = TypeVar("S", bound=Signing)


def read_secret_text(text: str) -> bytes:
    """A secret as shops show it, ``whsec_`` and base64, or as hex. Raises ValueError."""
    try:
        secret = b64decode(text.removeprefix(PREFIX), validate=True) if text.startswith(PREFIX) else bytes.fromhex(text)
    except (Error, ValueError):
        raise ValueError("neither whsec_ and base64 nor hexadecimal") from None
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise ValueError(f"a webhook secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
    return secret


def check_signature(headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: float) -> bool:
    """Whether any of the secrets has signed a message. Raises :class:`SignatureError` for one that none could."""
    message_id, written = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    if not message_id or len(message_id) > _MAX_ID:
        raise SignatureError(f"{ID}: required, at most {_MAX_ID} characters")
    if not (written.isascii() and written.isdecimal()) or len(written) > 15:
        raise SignatureError(f"{TIMESTAMP}: seconds since the epoch are required")
    if abs(now - int(written)) > TOLERANCE_S:
        raise SignatureError(f"{TIMESTAMP}: more than {TOLERANCE_S} s from now")
    given = [signature for signature in map(_decoded, headers.get(SIGNATURE, "").split()[:MAX_SIGNATURES]) if signature]
    if not given:
        raise SignatureError(f"{SIGNATURE}: {_VERSION} and base64 is required")
    signed = f"{message_id}.{written}.".encode("utf-8", "surrogateescape") + body
    found = False
    # All are compared, so that the time does not tell which secret it is.
    for secret in secrets:
        expected = hmac.digest(secret, signed, sha256)
        for signature in given:
            found |= hmac.compare_digest(expected, signature)
    return found


def signer_of(signers: Iterable[S], headers: Mapping[str, str], body: bytes, now: float) -> S:
    """Who of several has signed a message. Raises :class:`SignatureError` where none has."""
    found = None
    for signer in signers:
        if check_signature(headers, body, signer.secrets, now):
            found = signer
    if found is None:
        raise SignatureError("no source has signed this")
    return found


def _decoded(text: str) -> bytes:
    if not text.startswith(_VERSION):
        return b""
    try:
        return b64decode(text.removeprefix(_VERSION), validate=True)
    except (Error, ValueError):
        return b""
