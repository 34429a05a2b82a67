"""The key request of packagers ("Widevine common encryption"), as Shaka Packager and others send it.

A request is JSON inside JSON: an inner one in base64, and the signature of its signer. A refusal has a status of the
protocol, and the packager asks again where that is ``INTERNAL_ERROR``.
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from msgspec import Meta, Struct

from keys.errors import ExchangeError, SignallingError
from keys.material import ContentKey
from keys.model import Scheme, TrackType
from keys.rsa import verifies
from keys.service_signature import service_signature
from keys.signalling import systems, widevine

MAX_BYTES = 64 * 1024
MAX_PERIODS = 64
"""In one request; packagers ask for ten."""
MAX_TRACKS = 16

_TRACKS = {
    "AUDIO": TrackType.AUDIO,
    "SD": TrackType.SD,
    "HD": TrackType.HD,
    "UHD": TrackType.UHD,
    "UHD1": TrackType.UHD,
    "UHD2": TrackType.UHD,
}


class Status(StrEnum):
    """What an answer says; packagers take other words than the protocol's for success."""

    OK = "OK"
    SIGNATURE_FAILED = "SIGNATURE_FAILED"
    CONTENT_ID_MISSING = "CONTENT_ID_MISSING"
    TRACK_TYPE_MISSING = "TRACK_TYPE_MISSING"
    TRACK_TYPE_UNKNOWN = "TRACK_TYPE_UNKNOWN"
    MALFORMED_REQUEST = "MALFORMED_REQUEST"
    ACCESS_DENIED = "ACCESS_DENIED"
    NO_REQUESTED_CRYPTO_PERIODS = "NO_REQUESTED_CRYPTO_PERIODS"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    """The one that packagers take for temporary."""


class PackagerError(ExchangeError):
    """A request that is refused, with the status to say so."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Signer:
    """Who may ask: a 16 or 32-byte AES key and an IV, or the public key of an RSA signature.

    Raises ValueError for keys of other sizes.
    """

    name: str
    aes_key: bytes = field(default=b"", repr=False)
    aes_iv: bytes = field(default=b"", repr=False)
    rsa_key: RSAPublicKey | None = None

    def __post_init__(self) -> None:
        if self.rsa_key is None and (len(self.aes_key) not in (16, 32) or len(self.aes_iv) != 16):
            raise ValueError("an AES signing key has 16 or 32 bytes, its IV 16")
        if self.rsa_key is not None and self.rsa_key.key_size < 2048:
            raise ValueError("an RSA signing key has at least 2048 bits")

    def sign(self, message: bytes) -> bytes:
        """The signature by AES: the SHA-1 of a message, encrypted with AES-CBC and PKCS #7."""
        return service_signature(message, self.aes_key, self.aes_iv)

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether a signature is of this signer: by AES, or RSASSA-PSS with SHA-1 and a salt of 20 bytes."""
        if self.rsa_key is None:
            return hmac.compare_digest(self.sign(message), signature)
        return verifies(self.rsa_key, signature, message)


@dataclass(frozen=True, slots=True)
class Rotation:
    """Crypto periods that are asked for, by the index of the first, their number, and their length in seconds."""

    first: int
    count: int
    seconds: int


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A verified request. ``tracks`` are names as the packager wrote them; ``rotation`` None asks for fixed keys."""

    signer: str
    content_id: bytes
    tracks: tuple[tuple[str, TrackType], ...]
    scheme: Scheme
    rotation: Rotation | None


class _Envelope(Struct):
    request: Annotated[str, Meta(max_length=MAX_BYTES)]
    signature: Annotated[str, Meta(max_length=4096)]
    signer: Annotated[str, Meta(max_length=256)]


class _Track(Struct):
    type: Annotated[str, Meta(max_length=32)]


class _Inner(Struct):
    content_id: Annotated[str, Meta(max_length=4096)] = ""
    tracks: Annotated[tuple[_Track, ...], Meta(max_length=MAX_TRACKS)] = ()
    drm_types: Annotated[tuple[str, ...], Meta(max_length=16)] = ()
    first_crypto_period_index: Annotated[int, Meta(ge=0, le=2**32)] | None = None
    crypto_period_count: Annotated[int, Meta(ge=1, le=MAX_PERIODS)] = 1
    crypto_period_seconds: Annotated[int, Meta(ge=1, le=2**32)] | None = None
    protection_scheme: Annotated[str, Meta(max_length=16)] = ""
    enable_entitlement_license: bool = False


_envelopes = msgspec.json.Decoder(_Envelope)
_inners = msgspec.json.Decoder(_Inner)
_NOBODY = Signer("", bytes(32), bytes(16))
"""Checked in place of an unknown signer, so that both take the same time."""


def parse(data: bytes, signer_of: Callable[[str], Signer | None]) -> KeyRequest:
    """Verify and read a request. Raises :class:`PackagerError`; nothing is read of what is not signed."""
    try:
        envelope = _envelopes.decode(data)
        request, signature = b64decode(envelope.request, validate=True), b64decode(envelope.signature, validate=True)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise PackagerError(Status.MALFORMED_REQUEST, "request, signature and signer are expected") from None
    signer = signer_of(envelope.signer)
    if not (signer or _NOBODY).signed(request, signature) or signer is None:
        raise PackagerError(Status.SIGNATURE_FAILED, "unknown signer, or not signed with his key")
    try:
        inner = _inners.decode(request)
        content_id = b64decode(inner.content_id, validate=True)
    except (msgspec.MsgspecError, ValueError, RecursionError) as err:
        raise PackagerError(Status.MALFORMED_REQUEST, f"request: {err}") from None
    return _read(signer.name, inner, content_id)


def answer(request: KeyRequest, key_of: Callable[[TrackType, int | None], ContentKey]) -> bytes:
    """The keys of a request: ``key_of`` gives that of a track type and crypto period index, None for a fixed one.

    Raises what that raises, and :class:`PackagerError`.
    """
    rotation = request.rotation
    indices: Sequence[int | None] = [None]
    if rotation is not None:
        indices = range(rotation.first, rotation.first + rotation.count)
    tracks = [
        _track(name, key_of(track, index), request.scheme, index) for index in indices for name, track in request.tracks
    ]
    body = {
        "status": Status.OK,
        "drm": [{"type": "WIDEVINE", "system_id": systems.WIDEVINE.hex}],
        "tracks": tracks,
        "already_used": False,
    }
    return _enveloped(body)


def refusal(status: Status) -> bytes:
    """The answer to a request that is refused."""
    return _enveloped({"status": status, "drm": [], "tracks": []})


def _read(signer: str, inner: _Inner, content_id: bytes) -> KeyRequest:
    if not content_id:
        raise PackagerError(Status.CONTENT_ID_MISSING, "content_id is missing")
    unknown = [track.type for track in inner.tracks if track.type not in _TRACKS]
    if not inner.tracks:
        raise PackagerError(Status.TRACK_TYPE_MISSING, "tracks are missing")
    if unknown:
        raise PackagerError(Status.TRACK_TYPE_UNKNOWN, "tracks: AUDIO, SD, HD, UHD1 and UHD2 are known")
    if inner.drm_types and "WIDEVINE" not in inner.drm_types:
        raise PackagerError(Status.MALFORMED_REQUEST, "drm_types: only WIDEVINE is answered here")
    if inner.enable_entitlement_license:
        raise PackagerError(Status.MALFORMED_REQUEST, "entitlement keys are not given out; ask for content keys")
    scheme = inner.protection_scheme.lower() or Scheme.CENC
    if scheme not in (Scheme.CENC, Scheme.CBCS):
        raise PackagerError(Status.MALFORMED_REQUEST, "protection_scheme: CENC or CBCS")
    rotation = None
    if inner.first_crypto_period_index is not None:
        if inner.crypto_period_seconds is None:
            raise PackagerError(Status.NO_REQUESTED_CRYPTO_PERIODS, "crypto_period_seconds is missing")
        rotation = Rotation(inner.first_crypto_period_index, inner.crypto_period_count, inner.crypto_period_seconds)
    tracks = tuple((track.type, _TRACKS[track.type]) for track in inner.tracks)
    return KeyRequest(signer, content_id, tracks, Scheme(scheme), rotation)


def _track(name: str, key: ContentKey, scheme: Scheme, index: int | None) -> dict[str, object]:
    try:
        data = widevine.data([key.kid], scheme)
    except SignallingError as err:
        raise PackagerError(Status.MALFORMED_REQUEST, str(err)) from None
    track: dict[str, object] = {
        "type": name,
        "key_id": _base64(key.kid),
        "key": _base64(key.key),
        "pssh": [{"drm_type": "WIDEVINE", "data": _base64(data)}],
    }
    if scheme is Scheme.CBCS:
        # FairPlay players take the IV from the licence. For cenc the packager makes its own, of 8 bytes.
        track["iv"] = _base64(key.constant_iv)
    if index is not None:
        track["crypto_period_index"] = index
    return track


def _enveloped(body: dict[str, object]) -> bytes:
    return msgspec.json.encode({"response": _base64(msgspec.json.encode(body))})


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
