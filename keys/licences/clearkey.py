"""Clear Key licences (W3C Encrypted Media Extensions §9.1): JSON in, a JSON Web Key Set out.

The same two formats serve every EME player; nothing in them is encrypted, so their transport must be.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated

import msgspec

from keys import base64url
from keys.errors import LicenceRequestError
from keys.licences.native import NativeKey
from keys.material import ContentKey

MAX_REQUEST_BYTES = 64 * 1024
MAX_KIDS = 256
_REMEMBERED_BYTES = 1024


class SessionType(StrEnum):
    """EME's MediaKeySessionType."""

    TEMPORARY = "temporary"
    PERSISTENT_LICENSE = "persistent-license"


@dataclass(frozen=True, slots=True)
class ClearKeyRequest:
    """The key IDs (16 bytes each, at least one, each once) that a player asks for, in its order."""

    kids: tuple[bytes, ...]
    type: SessionType


class _RequestJson(msgspec.Struct):
    kids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_KIDS)]
    type: str = SessionType.TEMPORARY


class JsonWebKey(msgspec.Struct, frozen=True):
    """One content key as RFC 7517 writes it. Its repr shows no key."""

    kty: str
    kid: str
    k: str

    def __repr__(self) -> str:
        return f"JsonWebKey(kid={self.kid!r})"


class _LicenceJson(msgspec.Struct):
    keys: list[JsonWebKey]
    type: SessionType


_decoder = msgspec.json.Decoder(_RequestJson)


def parse_request(body: bytes) -> ClearKeyRequest:
    """Read a licence request (EME §9.1.3); what else its JSON object holds is ignored.

    Raises :class:`LicenceRequestError` for a body over 64 KiB, for anything but a JSON object of that
    format, for none or more than 256 key IDs, and for one that is not 16 bytes in base64url.
    """
    if len(body) > MAX_REQUEST_BYTES:
        raise LicenceRequestError(f"Clear Key request: {len(body)} bytes, more than {MAX_REQUEST_BYTES}")
    return _remembered(body) if len(body) <= _REMEMBERED_BYTES else _parse(body)


def _parse(body: bytes) -> ClearKeyRequest:
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise LicenceRequestError(f"Clear Key request: {error}") from None
    except (ValueError, RecursionError):
        # Malformed, not UTF-8, or an unknown member nested too deep to skip.
        raise LicenceRequestError("Clear Key request: not JSON") from None
    kids = [_kid(text, at) for at, text in enumerate(request.kids)]
    return ClearKeyRequest(tuple(dict.fromkeys(kids)), _session_type(request.type))


# All players of a stream ask in the same words.
_remembered = lru_cache(256)(_parse)


def licence(keys: Iterable[ContentKey], session_type: SessionType) -> bytes:
    """The licence that gives ``keys`` (EME §9.1.4).

    Raises :class:`ValueError` without a key: ``MediaKeySession.update()`` throws a TypeError on an empty
    key set, which players treat as fatal. Refuse the request instead.
    """
    jwks = web_keys(keys)
    if not jwks:
        raise ValueError("a Clear Key licence needs at least one key")
    return msgspec.json.encode(_LicenceJson(jwks, session_type))


def web_keys(keys: Iterable[ContentKey | NativeKey]) -> list[JsonWebKey]:
    """Content keys as JSON Web Keys."""
    return [JsonWebKey("oct", base64url.encode(key.kid), base64url.encode(key.key)) for key in keys]


def _kid(text: str, at: int) -> bytes:
    try:
        # The format has no padding, but some players' own encoders write it.
        kid = base64url.decode(text.removesuffix("=="))
    except ValueError:
        raise LicenceRequestError(f"Clear Key request: kids[{at}] is not base64url") from None
    if len(kid) != 16:
        raise LicenceRequestError(f"Clear Key request: kids[{at}] has {len(kid)} bytes, expected 16")
    return kid


def _session_type(text: str) -> SessionType:
    try:
        return SessionType(text)
    except ValueError:
        raise LicenceRequestError(f"Clear Key request: type is none of {', '.join(SessionType)}") from None
