"""COSE messages with one MAC or signature (RFC 9052 §4.2, §6.2) around a CBOR Web Token (RFC 8392)."""

import hmac
from base64 import urlsafe_b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass, field

import cbor2

from relay.gate.carriers import MAX_TOKEN
from relay.gate.dialects.cbor import CborError, read, read_map
from relay.gate.dialects.claims import BadTokenError, malformed, unsupported
from relay.gate.dialects.keys import SYMMETRIC, KeySet, Signer, TokenKey
from relay.verdict import Reason

CWT, MAC0, SIGN1 = 61, 17, 18
SHORT_MAC_BYTES = 8
_ALG, _CRIT, _KID = 1, 2, 4
_SHORT_MAC = 4
_LABELS = {"HS256": 5, "ES256": -7, "EdDSA": -8, "PS256": -37}
_CONTEXTS = {MAC0: "MAC0", SIGN1: "Signature1"}
_MAX_HEADERS = 16
_TO_STANDARD = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Cose:
    """A message taken apart, not yet proven. ``kid`` is text: what the key ID's bytes spell in UTF-8, or none."""

    tag: int
    algorithm: object
    kid: str
    crit: object
    payload: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def verify(self, keys: KeySet, short_mac: bool, now: float) -> TokenKey:
        """The key that signed it; with ``short_mac``, secrets make MACs of 8 bytes instead of whole ones.

        Raises :class:`BadTokenError`. The algorithm is the key's; what the message says must be the same.
        """
        key = keys.get(self.kid, now) if self.kid else None
        if key is None:
            raise BadTokenError(Reason.KEY_UNKNOWN, "no key for this kid" if self.kid else "no kid")
        symmetric = key.algorithm == SYMMETRIC
        if self.algorithm != (_SHORT_MAC if symmetric and short_mac else _LABELS[key.algorithm]):
            raise BadTokenError(Reason.TOKEN_SIGNATURE, "the algorithm is not the one of this key")
        if self.tag != (MAC0 if symmetric else SIGN1):
            raise BadTokenError(Reason.TOKEN_SIGNATURE, "the COSE tag does not fit the algorithm")
        if symmetric and short_mac:
            good = hmac.compare_digest(key.mac(self.signed)[:SHORT_MAC_BYTES], self.signature)
        else:
            good = key.verifies(self.signed, self.signature)
        if not good:
            raise BadTokenError(Reason.TOKEN_SIGNATURE, "the signature or MAC does not verify")
        self.check_crit()
        return key

    def check_crit(self) -> None:
        """Raises :class:`BadTokenError` where the message asks for headers that are not understood."""
        if self.crit is not None and not _is_understood(self.crit):
            raise unsupported("header crit names what is not understood")


def take_apart(token: str, untagged: bool) -> Cose:
    """The parts of a token in base64url or base64, padded or not. Raises :class:`BadTokenError`.

    The tag of a CBOR Web Token is required, unless ``untagged``; that of COSE always is.
    """
    try:
        return _parts(_decoded(token), untagged)
    except CborError as err:
        raise malformed(str(err)) from None


def seal(payload: bytes, signer: Signer, short_mac: bool = False) -> str:
    """A message over a payload, tagged as a CBOR Web Token, in base64url without padding."""
    symmetric = signer.algorithm == SYMMETRIC
    short_mac = short_mac and symmetric
    tag = MAC0 if symmetric else SIGN1
    protected = cbor2.dumps({_ALG: _SHORT_MAC if short_mac else _LABELS[signer.algorithm]})
    signature = signer.sign(_to_be_signed(tag, protected, payload))
    parts = [protected, {_KID: signer.kid.encode()}, payload, signature[:SHORT_MAC_BYTES] if short_mac else signature]
    message = cbor2.dumps(cbor2.CBORTag(CWT, cbor2.CBORTag(tag, parts)))
    return urlsafe_b64encode(message).rstrip(b"=").decode()


def _decoded(token: str) -> bytes:
    """The bytes of a token. However it is spelt it is the same token, for it is known by what the bytes say."""
    if not 0 < len(token) <= MAX_TOKEN or not token.isascii():
        raise malformed(f"not a token of 1 to {MAX_TOKEN} characters")
    text = token.translate(_TO_STANDARD)
    bare = text.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    try:
        data = a2b_base64(padded, strict_mode=True)
    except (Base64Error, ValueError):
        raise malformed("not base64url") from None
    canonical = urlsafe_b64encode(data).decode().translate(_TO_STANDARD)
    if canonical != padded or text not in (bare, padded):
        raise malformed("not base64url with its spare bits zero")
    return data


def _parts(data: bytes, untagged: bool) -> Cose:
    message = read(data, (CWT, MAC0, SIGN1))
    if isinstance(message, cbor2.CBORTag) and message.tag == CWT:
        message = message.value
    elif not untagged:
        raise malformed("not tagged as a CBOR Web Token")
    if not isinstance(message, cbor2.CBORTag) or message.tag not in _CONTEXTS:
        raise malformed("not a COSE message with one MAC or signature")
    match message.value:
        case [bytes() as protected, Mapping() as unprotected, bytes() as payload, bytes() as signature]:
            pass
        case _:
            raise malformed("a COSE message has four parts: headers, headers, payload, signature or MAC")
    headers = read_map(protected, _MAX_HEADERS)
    # Nothing vouches for these, so the key ID is all that is taken from them.
    if set(unprotected) - {_KID}:
        raise unsupported("an unprotected header other than kid")
    return Cose(
        tag=message.tag,
        algorithm=headers.get(_ALG),
        kid=_kid_of(headers, unprotected),
        crit=headers.get(_CRIT),
        payload=payload,
        signed=_to_be_signed(message.tag, protected, payload),
        signature=signature,
    )


def _kid_of(protected: Mapping[object, object], unprotected: Mapping[object, object]) -> str:
    """The key ID from either place; where both have one, they must agree. Empty where neither has."""
    given = [headers[_KID] for headers in (protected, unprotected) if _KID in headers]
    if not given:
        return ""
    if given[0] != given[-1]:
        raise malformed("two different key IDs")
    kid = given[0]
    if not isinstance(kid, bytes):
        raise malformed("kid: a byte string required")
    return kid.decode(errors="replace")


def _to_be_signed(tag: int, protected: bytes, payload: bytes) -> bytes:
    """MAC_structure (RFC 9052 §6.3) or Sig_structure (§4.4), without external data."""
    return cbor2.dumps([_CONTEXTS[tag], protected, b"", payload])


def _is_understood(crit: object) -> bool:
    return (
        isinstance(crit, list | tuple)
        and bool(crit)
        and all(type(label) is int and label in _UNDERSTOOD for label in crit)
    )


_UNDERSTOOD = (_ALG, _CRIT, _KID)
