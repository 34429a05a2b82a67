"""PlayReady through a licence server built on Microsoft's SDK: the challenge as it is, and what to make of it beside.

That server decrypts and verifies the challenge, signs and encrypts the licence. What it is to put in comes in a header,
:data:`HEADER`, as a JSON Web Encryption in compact form (RFC 7516: ``dir``, ``A256GCM``) under a secret of 32 bytes
that both know: keys are in it. Its claims, also in ``docs/operations.md``:

- ``iat``, ``exp``: seconds since the epoch; the server refuses one outside them.
- ``challenge``: SHA-256 (base64url) of the body that it is for.
- ``content``: the stream's name. ``begin``, ``end``: validity (seconds since the epoch; ``end`` 0: none).
  ``play_for``: seconds from the first frame on, 0: not limited. ``persistent``.
- ``keys``: of each ``kid`` (hex, big-endian), ``key`` (hex), ``scheme``, ``track``, ``security_level`` (150, 2000,
  3000), ``opl`` (compressed and uncompressed digital video, analogue video, compressed and uncompressed digital audio),
  ``hdcp_type_1``, ``play_enablers`` (GUIDs).
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys import base64url
from keys.errors import BridgeError, LicenceRefusedError, LicenceRequestError
from keys.licences.playready.challenge import ProtocolVersionError, read_request
from keys.licences.playready.header import Header
from keys.licences.playready.response import Status
from keys.licences.playready.restrictions import (
    CLOCK_TOLERANCE_S,
    SL2000,
    end_date,
    minimum_level,
    needs_hdcp_type_1,
    output_levels,
    play_enablers,
)
from keys.licences.terms import GrantedKey, Term
from keys.model import Scheme

HEADER = "X-Licence-Order"
GOOD_FOR_S = 60
MAX_KEYS = 24
"""In one order: more would be too much for a header."""

_PROTECTED = base64url.encode(b'{"alg":"dir","enc":"A256GCM","typ":"licence-order+jwe"}')
_FAULT_CODE = re.compile(rb"<(?:\w+:)?StatusCode[^<>]*>\s*(0x[0-9A-Fa-f]{1,8})\s*<")


@dataclass(frozen=True, slots=True)
class ServerChallenge:
    """What a challenge shows to whoever cannot decrypt it. Nothing of it is proven."""

    challenge: bytes = field(repr=False)
    header: Header
    nonce: bytes

    @property
    def kids(self) -> tuple[bytes, ...]:
        """The key IDs asked for."""
        return self.header.kids


def read_challenge(challenge: bytes) -> ServerChallenge:
    """Read what a challenge shows. Raises :class:`LicenceRequestError`."""
    request = read_request(challenge)
    return ServerChallenge(challenge, request.header, request.nonce)


def licence_order(
    secret: bytes,
    challenge: ServerChallenge,
    keys: Sequence[GrantedKey],
    term: Term,
    *,
    content: str,
    scheme: Scheme,
    now: float,
    entropy: Callable[[int], bytes],
    software_level: int = SL2000,
) -> str:
    """The value of :data:`HEADER`.

    Raises :class:`LicenceRefusedError` where no key that was asked for is granted, and when the term is over.
    """
    if term.until and term.until <= now:
        raise LicenceRefusedError("expired", "PlayReady: the term of the licence is over")
    wanted = [granted for granted in keys if challenge.header.several or granted.key.kid in challenge.kids]
    if not wanted:
        raise LicenceRefusedError("no-key", "PlayReady: none of the keys asked for is granted")
    schemes = dict(challenge.header.keys)
    claims = {
        "iat": int(now),
        "exp": int(now) + GOOD_FOR_S,
        "challenge": base64url.encode(hashlib.sha256(challenge.challenge).digest()),
        "content": content,
        "begin": int(now) - CLOCK_TOLERANCE_S,
        "end": end_date(term, now),
        "play_for": term.play_for,
        "persistent": term.persistent,
        "keys": [
            _key(granted, schemes.get(granted.key.kid) or scheme, software_level) for granted in wanted[:MAX_KEYS]
        ],
    }
    nonce = entropy(12)
    sealed = AESGCM(secret).encrypt(nonce, msgspec.json.encode(claims), _PROTECTED.encode())
    return f"{_PROTECTED}..{base64url.encode(nonce)}.{base64url.encode(sealed[:-16])}.{base64url.encode(sealed[-16:])}"


def read_answer(status: int, body: bytes) -> bytes:
    """The response for the player, unchanged.

    A SOAP fault comes with status 500. Raises :class:`LicenceRequestError` and :class:`LicenceRefusedError` for one
    that blames the client, and :class:`BridgeError` for everything else.
    """
    if status == 200 and b"AcquireLicenseResponse" in body:
        return body
    found = _FAULT_CODE.search(body) if status == 500 else None
    if found is None:
        raise BridgeError(f"PlayReady server: answered {status}, neither a licence nor a fault")
    code = int(found[1], 16)
    if code == Status.DEVICE_REVOKED:
        raise LicenceRefusedError("device-revoked", "PlayReady: the device's certificate is revoked")
    if code == Status.PROTOCOL_VERSION:
        raise ProtocolVersionError("PlayReady challenge: of a version that the licence server does not speak")
    if code == Status.INVALID_MESSAGE:
        raise LicenceRequestError("PlayReady challenge: the licence server could not verify it")
    if code == Status.SERVICE_SPECIFIC:
        raise LicenceRefusedError("server-refused", "PlayReady: the licence server refuses the device")
    raise BridgeError(f"PlayReady server: fault {code:#010x}")


def _key(granted: GrantedKey, scheme: Scheme, software_level: int) -> dict[str, object]:
    return {
        "kid": granted.key.kid.hex(),
        "key": granted.key.key.hex(),
        "scheme": scheme.value,
        "track": granted.track.value,
        "security_level": minimum_level(granted, software_level),
        "opl": output_levels(granted.outputs),
        "hdcp_type_1": needs_hdcp_type_1(granted.outputs),
        "play_enablers": [str(guid) for guid in play_enablers(granted.outputs)],
    }
