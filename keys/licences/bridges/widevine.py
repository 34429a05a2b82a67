"""Widevine through Google's licence service ("Widevine Cloud"): signed JSON requests around a client's challenge.

The service verifies the challenge and makes the licence, with our keys, as ``content_key_specs`` say. Of the client we
learn what its request shows in clear, which in privacy mode is nothing, and what the answer tells of its make.

A renewal names no client at all. What tells whose it is goes into the licence as ``purchase_id`` of ``session_init``,
sealed: clients return it in their renewals, under a MAC with keys that only their DRM module and the service know.
"""

import hashlib
import re
import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from keys.errors import BridgeError, LicenceRefusedError, LicenceRequestError, SealError
from keys.licences.devices import pack_device, unpack_device
from keys.licences.terms import Device, GrantedKey, Platform, Term
from keys.licences.widevine.certificates import Certificate, device_digest
from keys.licences.widevine.devices import ClientId
from keys.licences.widevine.licence import Policy, hdcp_of, level_of
from keys.licences.widevine.request import LicenceType, MessageType, Request, RequestType, SignedMessage, Wanted
from keys.model import Security, TrackType
from keys.seal import Sealer
from keys.service_signature import service_signature

SYSTEM = "widevine"
MAX_SESSION_BYTES = 1024

_CONTEXT = b"segmentgate/1 widevine bridge"
_TRACK_TYPES = {TrackType.AUDIO: "AUDIO", TrackType.SD: "SD", TrackType.HD: "HD", TrackType.UHD: "UHD1"}
_PLATFORMS = {
    "PLATFORM_HARDWARE_VERIFIED": Platform.VERIFIED,
    "PLATFORM_SOFTWARE_VERIFIED": Platform.VERIFIED,
    "PLATFORM_SECURE_STORAGE_SOFTWARE_VERIFIED": Platform.VERIFIED,
}
_CLIENTS_FAULT = ("INVALID_LICENSE_CHALLENGE", "INVALID_LICENSE_REQUEST")
_REVOKED = ("DEVICE_REVOKED", "DRM_DEVICE_CERTIFICATE_REVOKED")
_STATUS = re.compile(r"[A-Z_]{1,64}")
_MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class CloudAccount:
    """Who signs requests: the provider's name, and its AES key (16 or 32 bytes) and IV (16 bytes)."""

    provider: str
    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    policy: str = ""

    def __post_init__(self) -> None:
        """Raises :class:`ValueError` for a key or IV of another length."""
        if len(self.key) not in (16, 32) or len(self.iv) != 16:
            raise ValueError("Widevine bridge: a signing key has 16 or 32 bytes, its IV 16")

    def sign(self, message: bytes) -> bytes:
        """The envelope around a message: base64 of it, and of its encrypted SHA-1, as the service wants it."""
        signature = _b64(service_signature(message, self.key, self.iv))
        return msgspec.json.encode({"request": _b64(message), "signature": signature, "signer": self.provider})


@dataclass(frozen=True, slots=True)
class CloudChallenge:
    """What a challenge shows. Nothing of it is proven but what was sealed into the licence that it renews.

    ``type`` is None for one that asks for the service certificate. ``session`` and ``device`` of a renewal or release
    are what was sealed; empty and None for a licence that was issued without.
    """

    challenge: bytes = field(repr=False)
    type: RequestType | None
    kids: tuple[bytes, ...] = ()
    content_id: bytes = b""
    device: Device | None = None
    wants: LicenceType | None = None
    session: bytes = field(default=b"", repr=False)
    playing_for: int = 0

    @property
    def once(self) -> bytes:
        """What tells this challenge from every other one."""
        return hashlib.sha256(self.challenge).digest()


class _Answer(msgspec.Struct):
    """The members of interest. ``session_state`` among the others holds a key, and is never read."""

    status: str = ""
    license: str = ""
    make: str = ""
    model: str = ""
    security_level: int = 0
    system_id: int = 0
    platform_verification_status: str = ""


_answers = msgspec.json.Decoder(_Answer)


def read_challenge(challenge: bytes, sealer: Sealer) -> CloudChallenge:
    """Read what a challenge shows. Raises :class:`LicenceRequestError`."""
    message = SignedMessage.decode(challenge)
    if message.type == MessageType.SERVICE_CERTIFICATE_REQUEST:
        return CloudChallenge(challenge, None)
    if message.type != MessageType.LICENCE_REQUEST:
        raise LicenceRequestError(f"Widevine message: of type {message.type}, which no client sends here")
    request = Request.decode(message.body)
    content = request.content
    if isinstance(content, Wanted):
        device = _shown_device(request.client_id)
        return CloudChallenge(challenge, request.type, content.kids, content.content_id, device, content.type)
    purchase = content.identification.purchase_id
    device, session = _open_purchase(purchase, sealer) if purchase else (None, b"")
    return CloudChallenge(challenge, request.type, device=device, session=session, playing_for=content.playing_for)


def cloud_request(
    account: CloudAccount,
    challenge: CloudChallenge,
    content_id: bytes,
    keys: Sequence[GrantedKey] = (),
    term: Term | None = None,
    *,
    now: float,
    sealer: Sealer,
    session: bytes = b"",
) -> bytes:
    """What to post. ``content_id`` is for challenges that name none; ``term`` is None where nothing is granted.

    The device is the service's to judge, so keys go with what they ask of it; those whose terms the format cannot say
    stay here. Raises :class:`LicenceRefusedError` as :meth:`WidevineServer.issue` does, for reasons known before.
    """
    body: dict[str, object] = {
        "payload": _b64(challenge.challenge),
        "content_id": _b64(challenge.content_id or content_id),
        "provider": account.provider,
    }
    if account.policy:
        body["policy_name"] = account.policy
    if term is not None:
        stored = term.persistent
        if challenge.type is RequestType.NEW:
            stored = stored and challenge.wants is not LicenceType.STREAMING
            if challenge.wants is LicenceType.OFFLINE and not stored:
                raise LicenceRefusedError(
                    "persistence", "Widevine: the licence asked for is to be stored, and may not be"
                )
            body["content_key_specs"] = _key_specs(keys)
            body["session_init"] = {"purchase_id": _b64(_seal_purchase(challenge.device, session, sealer))}
        body["policy_overrides"] = _overrides(Policy.of(term, now, stored=stored))
    return account.sign(msgspec.json.encode(body))


def read_answer(body: bytes, challenge: CloudChallenge) -> tuple[bytes, Device | None]:
    """The licence, for the player unchanged, and the device as the service sees it; None where it says nothing of it.

    Raises :class:`LicenceRequestError` and :class:`LicenceRefusedError` for what is the client's fault, and
    :class:`BridgeError` for everything else.
    """
    try:
        answer = _answers.decode(body)
        licence = b64decode(answer.license, validate=True)
    except (ValueError, RecursionError):
        raise BridgeError("Widevine service: answered with something else than a licence") from None
    status = answer.status if _STATUS.fullmatch(answer.status) else "?"
    if status in _CLIENTS_FAULT:
        raise LicenceRequestError("Widevine request: the licence service could not verify it")
    if status in _REVOKED:
        raise LicenceRefusedError("device-revoked", "Widevine: the device is revoked")
    if status != "OK":
        raise BridgeError(f"Widevine service: status {status}")
    if not licence:
        raise BridgeError("Widevine service: OK without a licence")
    # What was sealed into the licence to renew is not what the service says now.
    return licence, _told_device(answer, challenge.device if challenge.type is RequestType.NEW else None)


def _shown_device(client_id: bytes) -> Device | None:
    """The device that a request in clear names. The service gives no licence for a chain or signature that is wrong."""
    if not client_id:
        return None
    try:
        client = ClientId.decode(client_id)
        leaf = Certificate.decode(client.token, "Widevine device certificate")
    except LicenceRequestError:
        # Of a kind that we do not read, a keybox for one.
        return None
    if not leaf.serial:
        return None
    platform = Platform.CLAIMED if client.verification else Platform.UNVERIFIED
    digest = device_digest(leaf.system_id, leaf.serial)
    name = f"system ID {leaf.system_id}"
    return Device(SYSTEM, digest, Security.SOFTWARE, name, system_id=leaf.system_id, platform=platform)


def _told_device(answer: _Answer, shown: Device | None) -> Device | None:
    if not (answer.make or answer.model or answer.security_level or answer.platform_verification_status):
        return shown
    device = shown or Device(SYSTEM, b"", Security.SOFTWARE)
    return replace(
        device,
        security=Security.HARDWARE if answer.security_level == 1 else Security.SOFTWARE,
        make=_name(answer.make),
        model=_name(answer.model) or device.model,
        system_id=device.system_id or max(0, answer.system_id),
        platform=_PLATFORMS.get(answer.platform_verification_status, Platform.UNVERIFIED),
    )


def _key_specs(keys: Sequence[GrantedKey]) -> list[dict[str, object]]:
    if not keys:
        raise LicenceRefusedError("no-key", "Widevine: no key is granted")
    # Nothing documented there keeps pictures off analogue outputs.
    usable = [granted for granted in keys if granted.outputs.analogue]
    if not usable:
        raise LicenceRefusedError("output-protection", "Widevine: the service cannot be told the terms of any key")
    return [
        {
            "track_type": _TRACK_TYPES[granted.track],
            "key_id": _b64(granted.key.kid),
            "key": _b64(granted.key.key),
            "security_level": int(level_of(granted)),
            "required_output_protection": {"hdcp": f"HDCP_{hdcp_of(granted.outputs).name}"},
        }
        for granted in usable
    ]


def _overrides(policy: Policy) -> dict[str, object]:
    return {
        "can_play": policy.can_play,
        "can_persist": policy.can_persist,
        "can_renew": policy.can_renew,
        "rental_duration_seconds": policy.rental_duration,
        "playback_duration_seconds": policy.playback_duration,
        "license_duration_seconds": policy.licence_duration,
        "renewal_recovery_duration_seconds": policy.renewal_recovery_duration,
        "renewal_delay_seconds": policy.renewal_delay,
        "renewal_retry_interval_seconds": policy.renewal_retry_interval,
    }


def _seal_purchase(device: Device | None, session: bytes, sealer: Sealer) -> bytes:
    if len(session) > MAX_SESSION_BYTES:
        raise ValueError(f"a session of {len(session)} bytes, more than {MAX_SESSION_BYTES}")
    packed = pack_device(device) if device else b""
    return sealer.seal(len(packed).to_bytes(2) + packed + session, _CONTEXT).encode()


def _open_purchase(purchase: bytes, sealer: Sealer) -> tuple[Device | None, bytes]:
    try:
        opened = sealer.open(purchase.decode("ascii"), _CONTEXT)
        session_at = 2 + int.from_bytes(opened[:2])
        device = unpack_device(SYSTEM, opened[2:session_at]) if session_at > 2 else None
    except (SealError, struct.error, ValueError):
        raise LicenceRequestError("Widevine licence ID: not of a licence issued here") from None
    return device, opened[session_at:]


def _name(text: str) -> str:
    return "".join(c for c in text[:_MAX_NAME] if c.isprintable())


def _b64(data: bytes) -> str:
    return b64encode(data).decode()
