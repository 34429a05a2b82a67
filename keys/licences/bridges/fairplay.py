"""FairPlay through the module of Apple's server SDK 26: one function, JSON in and JSON out, that sees keys.

Operators wrap ``fpsProcessOperations`` in a Python function of bytes. It opens SPCs of every version
(``get-client-info`` tells the device and the asset) and writes CKCs (``create-ckc``, whose keys stand in
``asset-info`` in hexadecimal).
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from keys.errors import BridgeError, LicenceRefusedError, LicenceRequestError
from keys.licences.fairplay.limits import least, required_hdcp
from keys.licences.fairplay.spc import apple_device, kids_in
from keys.licences.terms import Device, GrantedKey, Term
from keys.model import Hdcp, Scheme, TrackType

ProcessOperations = Callable[[bytes], bytes]
"""``fpsProcessOperations``: a request in JSON to an answer in JSON. Apple's; never part of this code."""

MAX_SPC_BYTES = 16 * 1024

_CLIENTS_FAULT = (-42580, -42581, -42583, -42590, -42591)
"""SPC version, parsing, missing tag, version, duplicate tag."""
_HEX_OR_BASE64 = re.compile(r"[0-9A-Za-z+/=_-]{8,256}")


@dataclass(frozen=True, slots=True)
class ModuleChallenge:
    """An SPC that the module has opened."""

    spc: bytes = field(repr=False)
    device: Device
    asset_id: str

    @property
    def kids(self) -> tuple[bytes, ...]:
        """The key ID that the asset ID spells, if it does."""
        return kids_in(self.asset_id.encode())


class _Opened(msgspec.Struct, rename="kebab"):
    status: int = -1
    hu: str = ""
    asset_id: str = ""
    ckc: str = ""


class _Operations(msgspec.Struct, rename="kebab"):
    get_client_info: list[_Opened] = msgspec.field(default_factory=list)
    create_ckc: list[_Opened] = msgspec.field(default_factory=list)


class _Response(msgspec.Struct, rename="kebab"):
    fairplay_streaming_response: _Operations


_responses = msgspec.json.Decoder(_Response)


class FairPlayModule:
    """SPCs in, CKCs out, by way of ``process``. What that raises passes through."""

    def __init__(self, process: ProcessOperations) -> None:
        self._process = process

    def open(self, spc: bytes) -> ModuleChallenge:
        """Have an SPC opened and checked. Raises :class:`LicenceRequestError`, and :class:`BridgeError`."""
        if len(spc) > MAX_SPC_BYTES:
            raise LicenceRequestError(f"SPC: {len(spc)} bytes, more than {MAX_SPC_BYTES}")
        opened = _one(self._ask("get-client-info", {"id": 1, "spc": _b64(spc)}).get_client_info)
        if not _HEX_OR_BASE64.fullmatch(opened.hu):
            raise BridgeError("FairPlay module: tells no device")
        return ModuleChallenge(spc, apple_device(opened.hu.encode()), opened.asset_id)

    def issue(
        self, challenge: ModuleChallenge, keys: Sequence[GrantedKey], term: Term, now: float, scheme: Scheme
    ) -> bytes:
        """The CKC with the one key that the SPC asks for.

        Keys whose terms the module cannot be told are withheld. Raises :class:`LicenceRefusedError` where there is
        none, or the term is over, and :class:`BridgeError`.
        """
        asked = [granted for granted in keys if granted.key.kid in challenge.kids or not challenge.kids]
        if len(asked) != 1:
            raise LicenceRefusedError("no-key", f"FairPlay: {len(asked)} keys for one asset ID, expected one")
        granted, outputs = asked[0], asked[0].outputs
        if not (outputs.digital and outputs.airplay and outputs.av_adapter):
            raise LicenceRefusedError("output-protection", "FairPlay: the module cannot be told the terms of this key")
        info = {
            "content-key": granted.key.key.hex(),
            "content-iv": granted.key.constant_iv.hex(),
            "encryption-scheme": scheme.value,
            **_protection(granted),
            **_duration(granted, term, now),
        }
        request = {"id": 1, "spc": _b64(challenge.spc), "asset-id": challenge.asset_id, "asset-info": [info]}
        made = _one(self._ask("create-ckc", request).create_ckc)
        try:
            ckc = b64decode(made.ckc, validate=True)
        except ValueError:
            ckc = b""
        if not ckc:
            raise BridgeError("FairPlay module: no CKC")
        return ckc

    def _ask(self, operation: str, request: dict[str, object]) -> _Operations:
        answer = self._process(msgspec.json.encode({"fairplay-streaming-request": {operation: [request]}}))
        try:
            return _responses.decode(answer).fairplay_streaming_response
        except (ValueError, RecursionError):
            raise BridgeError("FairPlay module: answered with something else than its JSON") from None


def _one(answers: Sequence[_Opened]) -> _Opened:
    if len(answers) != 1:
        raise BridgeError(f"FairPlay module: {len(answers)} answers, expected one")
    if answers[0].status in _CLIENTS_FAULT:
        raise LicenceRequestError(f"SPC: the module refuses it, status {answers[0].status}")
    if answers[0].status:
        raise BridgeError(f"FairPlay module: status {answers[0].status}")
    return answers[0]


def _protection(granted: GrantedKey) -> dict[str, object]:
    if granted.track is TrackType.AUDIO:
        return {"content-type": "audio"}
    hdcp = required_hdcp(granted)
    # The module takes no ultra-high definition without HDCP type 1.
    content_type = "uhd" if granted.track is TrackType.UHD and hdcp is Hdcp.V2_2 else "hd"
    return {"content-type": content_type, **({"hdcp-type": hdcp - Hdcp.V1} if hdcp else {})}


def _duration(granted: GrantedKey, term: Term, now: float) -> dict[str, object]:
    """The lease, or what a stored licence may do. Rounded down: a device must stop no later than the relay would."""
    remaining = int(term.until - now) if term.until else 0
    if term.until and remaining < 1:
        raise LicenceRefusedError("expired", "FairPlay: the term of the licence is over")
    if not term.persistent:
        lease = least(remaining, term.renew_every, term.play_for)
        return {"lease-duration": lease} if lease else {}
    if not term.until:
        raise ValueError("a persistent licence needs an end")
    kept: dict[str, object] = {
        "stream-id": granted.key.kid.hex(),
        "title-id": granted.key.kid.hex(),
        "rental-duration": least(remaining, term.start_within),
    }
    if playback := least(remaining, term.play_for):
        kept["playback-duration"] = playback
    return {"offline-hls": kept}


def _b64(data: bytes) -> str:
    return b64encode(data).decode()
