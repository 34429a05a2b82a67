"""Widevine requests as messages: read, not yet believed."""

from dataclasses import dataclass, field
from enum import IntEnum

from keys.errors import LicenceRequestError, SignallingError
from keys.licences.protobuf import Message
from keys.licences.widevine.licence import Identification
from keys.signalling.pssh import Pssh
from keys.signalling.systems import WIDEVINE

MAX_REQUEST_BYTES = 64 * 1024
_CENC = 1


class MessageType(IntEnum):
    """``SignedMessage.MessageType``, those this server receives or sends."""

    LICENCE_REQUEST = 1
    LICENCE = 2
    SERVICE_CERTIFICATE_REQUEST = 4
    SERVICE_CERTIFICATE = 5


class RequestType(IntEnum):
    """``LicenseRequest.RequestType``."""

    NEW = 1
    RENEWAL = 2
    RELEASE = 3


class LicenceType(IntEnum):
    """``LicenseType``: whether the player wants to store the licence, or leaves that to the server."""

    STREAMING = 1
    OFFLINE = 2
    AUTOMATIC = 3


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """The outermost message: ``body`` is what the signature covers, byte for byte."""

    type: int
    body: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @classmethod
    def decode(cls, encoded: bytes) -> "SignedMessage":
        """Raises :class:`LicenceRequestError`, for over 64 KiB too."""
        if len(encoded) > MAX_REQUEST_BYTES:
            raise LicenceRequestError(f"Widevine message: {len(encoded)} bytes, more than {MAX_REQUEST_BYTES}")
        message = Message.decode(encoded, "Widevine message")
        return cls(message.number(1), message.blob(2), message.blob(3))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request for a new licence asks for.

    ``kids`` (16 bytes each, each once) may be empty: ``content_id`` then names the content. With both, both.
    """

    kids: tuple[bytes, ...]
    content_id: bytes
    type: LicenceType
    request_id: bytes


@dataclass(frozen=True, slots=True)
class Existing:
    """The licence that a renewal or release is about, as its client has it; ``playing_for`` in seconds."""

    identification: Identification
    playing_for: int


@dataclass(frozen=True, slots=True)
class Request:
    """A ``LicenseRequest``. ``time`` is the client's clock in seconds since the epoch, 0 if it does not say."""

    type: RequestType
    time: int
    nonce: int
    content: Wanted | Existing
    client_id: bytes = field(repr=False)
    encrypted_client_id: bytes = field(repr=False)

    @classmethod
    def decode(cls, body: bytes) -> "Request":
        """Raises :class:`LicenceRequestError` for a type unknown and for content that does not go with the type."""
        message = Message.decode(body, "Widevine request")
        type_ = _request_type(message.number(3))
        content = _content(message.message(2, "Widevine content ID"))
        if isinstance(content, Wanted) != (type_ is RequestType.NEW):
            raise LicenceRequestError(f"Widevine request: names its content in a way not meant for {type_.name}")
        return cls(type_, message.number(4), message.number(7), content, message.blob(1), message.blob(8))


def _request_type(number: int) -> RequestType:
    try:
        return RequestType(number)
    except ValueError:
        raise LicenceRequestError(f"Widevine request: unknown type {number}") from None


def _content(message: Message) -> Wanted | Existing:
    present = [field for field in (1, 2, 3, 4) if field in message]
    if len(present) != 1:
        raise LicenceRequestError(f"Widevine content ID: {len(present)} ways to name the content, expected one")
    content = message.message(present[0], f"Widevine content ID, field {present[0]}")
    match present[0]:
        case 1:
            return _wanted(content, content.blobs(1), 2)
        case 2:
            return Wanted((_kid(content.blob(1)),), b"", _licence_type(content, 2), content.blob(3))
        case 3:
            return Existing(Identification.decode(content.blob(1)), content.number(2))
        case _:
            return _from_init_data(content)


def _from_init_data(content: Message) -> Wanted:
    init_data = content.blob(2)
    if content.number(1, default=_CENC) == _CENC:
        return _wanted(content, _pssh_data(init_data), 3)
    return Wanted((_kid(init_data),), b"", _licence_type(content, 3), content.blob(4))


def _pssh_data(boxes: bytes) -> tuple[bytes, ...]:
    """The data of every Widevine box among ``boxes``, which EME calls ``cenc`` init data."""
    found = []
    while boxes:
        # A size below that of an empty box, 0 included, is for the box's own reader to refuse.
        size = int.from_bytes(boxes[:4], "big") or len(boxes)
        try:
            pssh = Pssh.decode(boxes[:size])
        except SignallingError as error:
            raise LicenceRequestError(f"Widevine init data: {error}") from None
        if pssh.system == WIDEVINE:
            found.append(pssh.data)
        boxes = boxes[size:]
    return tuple(found)


def _wanted(content: Message, pssh_data: tuple[bytes, ...], type_field: int) -> Wanted:
    kids: list[bytes] = []
    content_id = b""
    for data in pssh_data:
        message = Message.decode(data, "Widevine PSSH data")
        entitled = (Message.decode(key, "Widevine entitled key") for key in message.blobs(14))
        kids += map(_kid, [*message.blobs(2), *(key.blob(1) for key in entitled)])
        content_id = message.blob(4, default=content_id)
    type_ = _licence_type(content, type_field)
    return Wanted(tuple(dict.fromkeys(kids)), content_id, type_, content.blob(type_field + 1))


def _kid(kid: bytes) -> bytes:
    if len(kid) != 16:
        raise LicenceRequestError(f"Widevine content ID: a key ID of {len(kid)} bytes, expected 16")
    return kid


def _licence_type(content: Message, field_number: int) -> LicenceType:
    number = content.number(field_number, default=LicenceType.STREAMING)
    try:
        return LicenceType(number)
    except ValueError:
        raise LicenceRequestError(f"Widevine content ID: unknown licence type {number}") from None
