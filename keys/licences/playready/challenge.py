"""A PlayReady challenge (SOAP ``AcquireLicense``): read, decrypted and verified up to a trusted root."""

import hashlib
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from hmac import compare_digest

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from lxml.etree import _Element as Element

from keys.encoding import encode_fields
from keys.errors import LicenceRefusedError, LicenceRequestError
from keys.licences.playready.certificates import FEATURE_PLAYREADY_3, Certificate, Usage, read_chain
from keys.licences.playready.chain import verify_chain
from keys.licences.playready.curve import Point, Scalar
from keys.licences.playready.elgamal import decrypt
from keys.licences.playready.header import Header, read_header
from keys.licences.playready.markup import base64_of, literal, local, only, optional_text, parse, text_of
from keys.licences.playready.restrictions import SL3000
from keys.licences.playready.signatures import verify
from keys.licences.terms import Device, Platform
from keys.model import Security

SYSTEM = "playready"
NONCE_BYTES = 16

_LABEL_DEVICE = b"relay/1 playready device\0"
_WHAT = "PlayReady challenge"
_HIGHEST_VERSION = 5
_MAX_VERSION_CHARACTERS = 64


class ProtocolVersionError(LicenceRequestError):
    """The challenge is of a protocol version that we do not speak."""


@dataclass(frozen=True, slots=True)
class PlayReadyChallenge:
    """What a verified challenge says.

    ``nonce`` (16 bytes) is new in every request of a client; ``custom_data`` is what the player's application put
    in, a session token for one, so no repr shows it. ``receiver`` is the verified key that licences are encrypted to.
    """

    device: Device
    header: Header
    nonce: bytes
    custom_data: str = field(repr=False)
    client_version: str
    security_level: int
    real_time_expiration: bool
    receiver: Point

    @property
    def kids(self) -> tuple[bytes, ...]:
        """The key IDs asked for (16 bytes each), big-endian, in the client's order."""
        return self.header.kids


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """The part of a challenge that is not encrypted: ``nonce`` has 16 bytes."""

    header: Header
    nonce: bytes


def read_challenge(
    body: bytes, server_keys: Sequence[Scalar], roots: Set[bytes], revoked: Set[bytes], now: float
) -> PlayReadyChallenge:
    """Read and verify a challenge.

    ``roots`` are encoded points, ``revoked`` certificate IDs and SHA-256 digests of keys. Raises
    :class:`LicenceRequestError` for what cannot be read or verified, :class:`ProtocolVersionError` for a version
    other than 1 to 5, and :class:`LicenceRefusedError` for a revoked device.
    """
    text, root = parse(body, _WHAT)
    if local(root) != "Envelope":
        raise LicenceRequestError(f"{_WHAT}: not a SOAP envelope")
    challenge = only(root, "Body", "AcquireLicense", "challenge", "Challenge", what=_WHAT)
    # What is read below is parsed from the very bytes that the signature covers.
    signed = literal(text, "LA", _WHAT)
    request = parse(signed, f"{_WHAT}: LA")[1]
    _require_known_version(request)
    header = _header(request)
    signer = _verify_signature(text, signed, only(challenge, "Signature", what=_WHAT))
    chain = read_chain(_chain_bytes(_client_data(request, server_keys)))
    leaf = verify_chain(chain, roots, now)
    if leaf.key_for(Usage.SIGN) != signer:
        raise LicenceRequestError(f"{_WHAT}: not signed by the key of its certificate")
    _require_not_revoked(chain, revoked)
    return PlayReadyChallenge(
        device=_device(leaf, signer),
        header=header,
        nonce=_nonce(request),
        custom_data=optional_text(request, "CustomData", _WHAT),
        client_version=_client_version(request),
        security_level=leaf.security_level,
        real_time_expiration=FEATURE_PLAYREADY_3 in leaf.features,
        receiver=_point(leaf.key_for(Usage.ENCRYPT_KEY), "PlayReady certificate 0: encryption key"),
    )


def read_request(body: bytes) -> OpenRequest:
    """What a challenge shows to whoever cannot decrypt the rest: its header and nonce. Nothing of it is verified.

    Raises :class:`LicenceRequestError`, :class:`ProtocolVersionError` among it.
    """
    root = parse(body, _WHAT)[1]
    if local(root) != "Envelope":
        raise LicenceRequestError(f"{_WHAT}: not a SOAP envelope")
    request = only(root, "Body", "AcquireLicense", "challenge", "Challenge", "LA", what=_WHAT)
    _require_known_version(request)
    return OpenRequest(_header(request), _nonce(request))


def _require_known_version(request: Element) -> None:
    version = text_of(only(request, "Version", what=_WHAT))
    if version not in map(str, range(1, _HIGHEST_VERSION + 1)):
        raise ProtocolVersionError(f"{_WHAT}: version is none from 1 to {_HIGHEST_VERSION}")


def _header(request: Element) -> Header:
    return read_header(only(request, "ContentHeader", "WRMHEADER", what=_WHAT))


def _verify_signature(text: str, signed: bytes, signature: Element) -> bytes:
    """The key, not yet trusted, that signed the request."""
    signed_info = literal(text, "SignedInfo", _WHAT)
    reference = only(parse(signed_info, f"{_WHAT}: SignedInfo")[1], "Reference", what=_WHAT)
    digest = base64_of(text_of(only(reference, "DigestValue", what=_WHAT)), f"{_WHAT}: DigestValue")
    if not compare_digest(digest, hashlib.sha256(signed).digest()):
        raise LicenceRequestError(f"{_WHAT}: wrong digest")
    value = base64_of(text_of(only(signature, "SignatureValue", what=_WHAT)), f"{_WHAT}: SignatureValue")
    key_info = only(signature, "KeyInfo", "KeyValue", "ECCKeyValue", "PublicKey", what=_WHAT)
    key = base64_of(text_of(key_info), f"{_WHAT}: PublicKey")
    if not verify(key, value, signed_info):
        raise LicenceRequestError(f"{_WHAT}: wrong signature")
    return key


def _client_data(request: Element, server_keys: Sequence[Scalar]) -> bytes:
    """What the client encrypted to us, under whichever of our keys it has."""
    data = only(request, "EncryptedData", what=_WHAT)
    wrapped = _cipher_value(only(data, "KeyInfo", "EncryptedKey", what=_WHAT), "encrypted key")
    encrypted = _cipher_value(data, "encrypted data")
    if len(encrypted) < 32 or len(encrypted) % 16:
        raise LicenceRequestError(f"{_WHAT}: encrypted data of {len(encrypted)} bytes, expected blocks of 16")
    for secret in server_keys:
        try:
            point = decrypt(wrapped, secret)
        except ValueError:
            raise LicenceRequestError(f"{_WHAT}: encrypted key is not two points of the curve") from None
        # The first half of x repeats the initialisation vector that precedes the data.
        plain = _decrypt_data(encrypted, point.x.to_bytes(32, "big")[16:])
        if plain.startswith(b"<Data"):
            return plain
    raise LicenceRequestError(f"{_WHAT}: encrypted for another server's key")


def _cipher_value(parent: Element, part: str) -> bytes:
    return base64_of(text_of(only(parent, "CipherData", "CipherValue", what=_WHAT)), f"{_WHAT}: {part}")


def _decrypt_data(encrypted: bytes, key: bytes) -> bytes:
    """Empty where the padding shows that the key is wrong."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(encrypted[:16])).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    try:
        return unpadder.update(decryptor.update(encrypted[16:])) + unpadder.finalize()
    except ValueError:
        return b""


def _chain_bytes(client_data: bytes) -> bytes:
    what = "PlayReady client data"
    data = parse(client_data, what)[1]
    return base64_of(text_of(only(data, "CertificateChains", "CertificateChain", what=what)), f"{what}: chain")


def _require_not_revoked(chain: Sequence[Certificate], revoked: Set[bytes]) -> None:
    for certificate in chain:
        names = {certificate.id, certificate.digest, *(hashlib.sha256(key).digest() for key, _ in certificate.keys)}
        if names & revoked:
            raise LicenceRefusedError("device-revoked", "PlayReady: the device's certificate is revoked")


def _device(leaf: Certificate, signer: bytes) -> Device:
    named = encode_fields(_LABEL_DEVICE, leaf.client_id, hashlib.sha256(signer).digest())
    security = Security.HARDWARE if leaf.security_level >= SL3000 else Security.SOFTWARE
    return Device(
        SYSTEM,
        hashlib.sha256(named).digest()[:16],
        security,
        " ".join(name for name in leaf.names if name),
        leaf.names[0] if leaf.names else "",
        # The certificate is the whole client's, not only its DRM module's.
        platform=Platform.VERIFIED,
    )


def _nonce(request: Element) -> bytes:
    nonce = base64_of(text_of(only(request, "LicenseNonce", what=_WHAT)), f"{_WHAT}: LicenseNonce")
    if len(nonce) != NONCE_BYTES:
        raise LicenceRequestError(f"{_WHAT}: LicenseNonce has {len(nonce)} bytes, expected {NONCE_BYTES}")
    return nonce


def _client_version(request: Element) -> str:
    """For people to read; empty where the client does not say."""
    info = request.find("{*}CLIENTINFO")
    version = "" if info is None else optional_text(info, "CLIENTVERSION", _WHAT)
    return "".join(c for c in version[:_MAX_VERSION_CHARACTERS] if c.isprintable())


def _point(data: bytes, what: str) -> Point:
    try:
        return Point.decode(data)
    except ValueError:
        raise LicenceRequestError(f"{what} is not a point of the curve") from None
