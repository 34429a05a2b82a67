"""The encrypted pattern of a watermark token: COSE_Encrypt0 under a key that both sides have, and COSE_Encrypt to a
key pair by ECDH-SS and AES key wrap (RFC 9052 §5; RFC 9053 §4.1, §5.2, §6.4), as ETSI TS 104 002 V1.1.1 §5.4 names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keys.schedule import expand
from relay.gate.dialects.cbor import CborError, read, read_map
from relay.gate.dialects.claims import malformed, unsupported

ENCRYPT0, ENCRYPT = 16, 96
TAGS = (ENCRYPT0, ENCRYPT)
MAX_RECIPIENTS = 4
NONCE_BYTES = 12
_NAME = "claim wmpattern"
_ALG, _CRIT, _KID, _IV = 1, 2, 4, 5
_KEY_BYTES = {1: 16, 2: 24, 3: 32}
"""Of A128GCM, A192GCM and A256GCM."""
_ALGORITHMS = {size: algorithm for algorithm, size in _KEY_BYTES.items()}
_ECDH_SS_A128KW, _A128KW, _KEK_BYTES = -32, -3, 16
_STATIC_KEY, _SALT = -2, -20
_PARTY_U, _PARTY_V = (-21, -22, -23), (-24, -25, -26)
_MAX_HEADERS = 16


@dataclass(frozen=True, slots=True)
class PatternKeys:
    """What opens a vendor's patterns: a shared AES key, a private key on P-256, or both."""

    shared: bytes = field(default=b"", repr=False)
    agreement: EllipticCurvePrivateKey | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        return bool(self.shared) or self.agreement is not None

    @classmethod
    def load(cls, shared: bytes = b"", agreement_pem: bytes = b"") -> "PatternKeys":
        """Raises ValueError for a shared key of another size than AES has, or a PEM of something else."""
        if shared and len(shared) not in _ALGORITHMS:
            raise ValueError("a pattern key has 16, 24 or 32 bytes")
        agreement = load_pem_private_key(agreement_pem, None) if agreement_pem else None
        if agreement is not None and not (
            isinstance(agreement, EllipticCurvePrivateKey) and isinstance(agreement.curve, SECP256R1)
        ):
            raise ValueError("the key that patterns are encrypted to is not one on P-256")
        return cls(shared, agreement)


def decrypt(value: object, keys: PatternKeys) -> bytes:
    """The pattern in a claim: a tagged message, or bytes that hold one, as deployed edges have it.

    Raises :class:`relay.gate.dialects.claims.BadTokenError`.
    """
    if isinstance(value, bytes):
        try:
            value = read(value, TAGS)
        except CborError as err:
            raise malformed(f"{_NAME}: {err}") from None
    if not isinstance(value, cbor2.CBORTag) or value.tag not in TAGS:
        raise malformed(f"{_NAME}: not encrypted, as this vendor's must be")
    match value.tag, value.value:
        case 16, [bytes() as protected, Mapping() as unprotected, bytes() as ciphertext]:
            key, context = keys.shared, "Encrypt0"
            if not key:
                raise unsupported(f"{_NAME}: no shared key of this vendor is known")
        case 96, [bytes() as protected, Mapping() as unprotected, bytes() as ciphertext, [*recipients]]:
            key, context = _content_key(recipients, keys.agreement), "Encrypt"
        case _:
            raise malformed(f"{_NAME}: not a COSE message with one ciphertext")
    headers = _headers(protected, unprotected)
    nonce = headers.get(_IV)
    if _KEY_BYTES.get(_algorithm(headers)) != len(key):
        raise unsupported(f"{_NAME}: encrypted in another way than AES-GCM with the vendor's key")
    if not isinstance(nonce, bytes) or len(nonce) != NONCE_BYTES:
        raise malformed(f"{_NAME}: an IV of {NONCE_BYTES} bytes required")
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, cbor2.dumps([context, protected, b""]))
    except InvalidTag:
        raise malformed(f"{_NAME}: does not decrypt") from None


def encrypt0(pattern: bytes, key: bytes, nonce: bytes) -> bytes:
    """A pattern as COSE_Encrypt0 in bytes, which every edge takes; ``nonce`` is 12 fresh random bytes."""
    protected = cbor2.dumps({_ALG: _ALGORITHMS[len(key)]})
    ciphertext = AESGCM(key).encrypt(nonce, pattern, cbor2.dumps(["Encrypt0", protected, b""]))
    return cbor2.dumps(cbor2.CBORTag(ENCRYPT0, [protected, {_IV: nonce}, ciphertext]))


def _content_key(recipients: Sequence[object], private: EllipticCurvePrivateKey | None) -> bytes:
    """The content key that one of the recipients holds for us. A key ID helps nobody: there is one key to try."""
    if private is None:
        raise unsupported(f"{_NAME}: no private key of this vendor's patterns is known")
    if not 0 < len(recipients) <= MAX_RECIPIENTS:
        raise malformed(f"{_NAME}: {len(recipients)} recipients, expected 1 to {MAX_RECIPIENTS}")
    for recipient in recipients:
        match recipient:
            case [bytes() as protected, Mapping() as unprotected, bytes() as wrapped]:
                pass
            case _:
                raise malformed(f"{_NAME}: a recipient has three parts: headers, headers, the wrapped key")
        headers = _headers(protected, unprotected)
        if _algorithm(headers) != _ECDH_SS_A128KW:
            continue
        secret = private.exchange(ECDH(), _public_key(headers.get(_STATIC_KEY)))
        # COSE_KDF_Context (RFC 9053 §5.2): what the wrapping key is for, and between whom.
        parties = [[headers.get(label) for label in party] for party in (_PARTY_U, _PARTY_V)]
        context = cbor2.dumps([_A128KW, *parties, [_KEK_BYTES * 8, protected]])
        salt = headers.get(_SALT)
        if salt is not None and not isinstance(salt, bytes):
            raise malformed(f"{_NAME}: a salt is bytes")
        try:
            return aes_key_unwrap(expand(secret, context, _KEK_BYTES, salt), wrapped)
        except (InvalidUnwrap, ValueError):
            continue
    raise malformed(f"{_NAME}: no recipient by ECDH-SS+A128KW whose key unwraps")


def _public_key(given: object) -> EllipticCurvePublicKey:
    """The sender's static key, a COSE_Key on P-256 (RFC 9053 §7.1.1)."""
    try:
        match given:
            case {1: 2, -1: 1, -2: bytes() as x, -3: bytes() as y} if len(x) == len(y) == 32:
                return EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), SECP256R1()).public_key()
            case {1: 2, -1: 1, -2: bytes() as x, -3: bool() as odd} if len(x) == 32:
                return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), bytes((2 + odd,)) + x)
    except ValueError:
        pass
    raise malformed(f"{_NAME}: no static key on P-256 of its sender")


def _headers(protected: bytes, unprotected: Mapping[Any, Any]) -> Mapping[Any, Any]:
    try:
        signed = read_map(protected, _MAX_HEADERS)
    except CborError as err:
        raise malformed(f"{_NAME}: {err}") from None
    if signed.keys() & unprotected.keys():
        raise malformed(f"{_NAME}: a header in both places")
    if _CRIT in signed or _CRIT in unprotected:
        raise unsupported(f"{_NAME}: header crit names what is not understood")
    return {**unprotected, **signed}


def _algorithm(headers: Mapping[Any, Any]) -> int:
    algorithm = headers.get(_ALG)
    if type(algorithm) is not int:
        raise malformed(f"{_NAME}: no algorithm")
    return algorithm
