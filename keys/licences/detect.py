"""One endpoint for every DRM system: which of them a request body is for, and how players wrap it.

The systems' own formats do not overlap, so the bytes decide. Players send them as they are, in base64, in a form
field or in JSON, and expect the licence wrapped alike.
"""

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from keys.errors import LicenceRequestError

MAX_BODY_BYTES = 384 * 1024
"""Room for the largest challenge, PlayReady's 128 KiB, in base64 and UTF-16."""

FORM_TYPE = "application/x-www-form-urlencoded"
JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=utf-8"


class DrmSystem(StrEnum):
    """The DRM systems that a challenge can be told to belong to; ``relay`` is our own, for players that we ship."""

    CLEARKEY = "clearkey"
    WIDEVINE = "widevine"
    PLAYREADY = "playready"
    FAIRPLAY = "fairplay"
    RELAY = "relay"


class Shape(Enum):
    """How a challenge lies in a body."""

    RAW = "raw"
    BASE64 = "base64"
    FORM = "form"
    JSON = "json"
    STREAMING_KEYS = "streaming-keys"
    """The JSON of Apple's sample player: a list of requests, of which one is taken."""


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How to wrap the answer. ``member`` is the JSON member for it, ``request_id`` what its request was called."""

    system: DrmSystem
    shape: Shape = Shape.RAW
    member: str = ""
    request_id: int | str = 1


class Detected(NamedTuple):
    """The DRM system of a request, its challenge as the CDM made it, and how the answer is to be wrapped.

    Its repr shows no challenge.
    """

    system: DrmSystem
    challenge: bytes
    wrapping: Wrapping

    def __repr__(self) -> str:
        return f"Detected({self.system.value}, {len(self.challenge)} bytes, {self.wrapping!r})"


_ANSWER_TYPES = {
    DrmSystem.CLEARKEY: JSON_TYPE,
    DrmSystem.WIDEVINE: "application/octet-stream",
    DrmSystem.PLAYREADY: "text/xml; charset=utf-8",
    DrmSystem.FAIRPLAY: "application/octet-stream",
    DrmSystem.RELAY: JSON_TYPE,
}
_MEMBERS = {"spc": "ckc", "challenge": "license", "payload": "license"}
"""Form fields and JSON members that hold a challenge, and the JSON member of the answer to each."""

_SPC_MIN_BYTES = 177
_REMEMBERED_BYTES = 1024
_BOM = b"\xef\xbb\xbf"
_FIELD = re.compile(rb"(?:spc|challenge|payload)(?:=|%3[Dd])")
_KEY_MESSAGE = re.compile(r"<Challenge(?:\s[^<>]*)?>([A-Za-z0-9+/=\s]+)</Challenge>")
_TO_STANDARD = bytes.maketrans(b"-_ ", b"+/+")


class _StreamingKey(msgspec.Struct):
    spc: str
    id: int | str = 1


class _StreamingKeys(msgspec.Struct, rename="kebab"):
    streaming_keys: list[_StreamingKey]


class _Body(msgspec.Struct):
    """The members of interest; all others are ignored."""

    kids: msgspec.Raw = msgspec.Raw()
    relay: msgspec.Raw = msgspec.Raw()
    spc: str | None = None
    challenge: str | None = None
    payload: str | None = None
    fairplay: _StreamingKeys | None = msgspec.field(default=None, name="fairplay-streaming-request")


_decoder = msgspec.json.Decoder(_Body)


def detect(body: bytes, content_type: str = "", expected: DrmSystem | None = None) -> Detected:
    """Tell whose challenge a body holds, and take it out of its wrapping, of which there may be one.

    The bytes decide wherever they can, for many players and tools send some default content type: it only tells a
    form whose first field is another one. Of ``expected`` is what the bytes do not tell; what they tell otherwise is a
    contradiction. Raises :class:`LicenceRequestError` for one, and for a body over 384 KiB, without a challenge, or
    with several.
    """
    found = _detect(body, content_type, expected)
    if expected not in (None, found.system):
        raise LicenceRequestError(f"licence request: a challenge of {found.system}, where {expected} was named")
    return found


def _detect(body: bytes, content_type: str, expected: DrmSystem | None) -> Detected:
    if len(body) > MAX_BODY_BYTES:
        raise LicenceRequestError(f"licence request: {len(body)} bytes, more than {MAX_BODY_BYTES}")
    body = body.removeprefix(_BOM)
    if found := _in_own_format(body):
        return Detected(*found, Wrapping(found[0]))
    text = body.strip()
    if text.startswith(b"{"):
        return (_remembered_json if len(text) <= _REMEMBERED_BYTES else _in_json)(text, expected)
    is_form = content_type.partition(";")[0].strip().lower() == FORM_TYPE
    if (is_form or _FIELD.match(text)) and (field := _form_field(text)):
        return _unwrapped(field, Shape.FORM, "form field", expected)
    try:
        return _unwrapped(text, Shape.BASE64, "body", expected)
    except LicenceRequestError:
        if expected is None:
            raise
        # Of a kind that we have not met: its own reader says what is wrong with it.
        return Detected(expected, body, Wrapping(expected))


def wrap(wrapping: Wrapping, licence: bytes) -> tuple[bytes, str]:
    """A licence as the player that asked for it expects it: the body, and its content type."""
    match wrapping.shape:
        case Shape.RAW:
            return licence, _ANSWER_TYPES[wrapping.system]
        case Shape.BASE64 | Shape.FORM:
            return b64encode(licence), TEXT_TYPE
        case Shape.JSON:
            return msgspec.json.encode({wrapping.member: b64encode(licence).decode()}), JSON_TYPE
        case Shape.STREAMING_KEYS:
            key = {"id": wrapping.request_id, "status": 0, "ckc": b64encode(licence).decode()}
            answer = {"fairplay-streaming-response": {"version": 1, "streaming-keys": [key]}}
            return msgspec.json.encode(answer), JSON_TYPE


def _in_own_format(data: bytes) -> tuple[DrmSystem, bytes] | None:
    """A challenge without a wrapping, JSON aside: its system, and its bytes as the system's own reader takes them."""
    if data.startswith((b"\x08\x04", b"\x08\x01\x12")):
        return DrmSystem.WIDEVINE, data
    if data[:3] == bytes(3) and data[3:4] in (b"\x01", b"\x02", b"\x03") and len(data) >= _SPC_MIN_BYTES:
        return DrmSystem.FAIRPLAY, data
    if data.startswith((b"\xff\xfe", b"<\x00")):
        data = _key_message(data)
    if data.lstrip().startswith(b"<") and b"AcquireLicense" in data:
        return DrmSystem.PLAYREADY, data
    return None


def _key_message(data: bytes) -> bytes:
    """The challenge inside the message that PlayReady's CDM hands to scripts, for players that pass it on unread."""
    try:
        challenges = _KEY_MESSAGE.findall(data.decode("utf-16" if data.startswith(b"\xff\xfe") else "utf-16-le"))
    except UnicodeDecodeError:
        raise LicenceRequestError("PlayReady key message: not UTF-16") from None
    if len(challenges) != 1:
        raise LicenceRequestError(f"PlayReady key message: {len(challenges)} challenges, expected one")
    return _base64("".join(challenges[0].split()).encode(), "PlayReady key message")


def _in_json(text: bytes, expected: DrmSystem | None) -> Detected:
    try:
        members = _decoder.decode(text)
    except msgspec.ValidationError as error:
        raise LicenceRequestError(f"licence request: {error}") from None
    except (ValueError, RecursionError):
        # Malformed, not UTF-8, or an unknown member nested too deep to skip.
        raise LicenceRequestError("licence request: not JSON") from None
    wrapped = {name: value for name in _MEMBERS if (value := getattr(members, name)) is not None}
    is_clearkey, is_ours = bytes(members.kids) != b"", bytes(members.relay) != b""
    if is_clearkey + is_ours + len(wrapped) + (members.fairplay is not None) != 1:
        raise LicenceRequestError("licence request: a JSON object must have one challenge")
    if is_clearkey or is_ours:
        system = DrmSystem.CLEARKEY if is_clearkey else DrmSystem.RELAY
        return Detected(system, text, Wrapping(system))
    if members.fairplay is not None:
        keys = members.fairplay.streaming_keys
        if len(keys) != 1:
            raise LicenceRequestError(f"licence request: {len(keys)} streaming keys, expected one")
        return _unwrapped(keys[0].spc.encode(), Shape.STREAMING_KEYS, "spc", expected, request_id=keys[0].id)
    ((name, value),) = wrapped.items()
    return _unwrapped(value.encode(), Shape.JSON, name, expected, member=_MEMBERS[name])


# All players of a stream ask for Clear Key in the same words.
_remembered_json = lru_cache(256)(_in_json)


def _form_field(text: bytes) -> bytes | None:
    """The one form field that holds a challenge; None without one."""
    if b"=" not in text.partition(b"&")[0].rstrip(b"="):
        # Some players escape the whole form, its own signs included.
        text = unquote_to_bytes(text)
    fields = [value for name, _, value in (field.partition(b"=") for field in text.split(b"&")) if _is_member(name)]
    if len(fields) > 1:
        raise LicenceRequestError(f"licence request: {len(fields)} challenges in a form, expected one")
    return unquote_to_bytes(fields[0]) if fields else None


def _is_member(name: bytes) -> bool:
    return name.decode("ascii", errors="replace") in _MEMBERS


def _unwrapped(
    text: bytes,
    shape: Shape,
    what: str,
    expected: DrmSystem | None,
    *,
    member: str = "",
    request_id: int | str = 1,
) -> Detected:
    challenge = _base64(text, what).removeprefix(_BOM)
    found = _in_own_format(challenge)
    if found is None and challenge.lstrip().startswith(b"{"):
        found = DrmSystem.CLEARKEY, challenge
    if found is None and expected is not None:
        found = expected, challenge
    if found is None:
        raise LicenceRequestError(f"licence request: {what} holds no challenge of a known DRM system")
    return Detected(*found, Wrapping(found[0], shape, member, request_id))


def _base64(text: bytes, what: str) -> bytes:
    """Decode either alphabet, padded or not.

    A space is a plus that somebody sent in a form without escaping it; line breaks are nothing.
    """
    packed = text.strip().translate(_TO_STANDARD, b"\r\n\t").rstrip(b"=")
    try:
        return b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except ValueError:
        raise LicenceRequestError(f"licence request: {what} is neither a challenge nor base64") from None
