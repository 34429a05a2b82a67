"""The server playback context: what a FairPlay device sends to get a key."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from keys.errors import LicenceRequestError
from keys.licences.fairplay.credentials import WRAPPED_KEY_BYTES, DeriveSecret, FairPlayCredentials, decrypt_cbc
from keys.licences.fairplay.tllv import Block, Tag, read_blocks
from keys.licences.terms import Device, Platform
from keys.model import Security

MAX_SPC_BYTES = 16 * 1024
VERSION = 1

_PAYLOAD_AT = 176
_CAN_ENFORCE_HDCP = 1 << 0
_CAN_KEEP_KEYS = 1 << 1
_OURS = frozenset({Tag.ENCRYPTED_KEY, Tag.R1, Tag.DURATION, Tag.HDCP, Tag.OFFLINE_KEY})
_KID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


class SpcVersionError(LicenceRequestError):
    """The container has a version that is not described in public: a bridge to Apple's own module may read it."""


class Screen(Enum):
    """Where the device shows the pictures at present."""

    OWN = "own"
    AIRPLAY = "airplay"
    AV_ADAPTER = "av-adapter"


class PlaybackState(IntEnum):
    """What the player does while it asks. A renewed lease is asked for while playing."""

    READY = 0xF4DEE5A2
    PLAYING = 0xA5D6739E
    PLAYING_LEASE_ENDS = 0x4F834330
    HALTED = 0x5991BF20


@dataclass(frozen=True, slots=True)
class PlaybackContext:
    """When the SPC was made (seconds since the epoch), for which playback; ``state`` is None for one unknown here."""

    created: int
    state: PlaybackState | None
    playback_id: bytes

    @property
    def renews(self) -> bool:
        """Whether a lease is to be renewed, rather than playback to begin."""
        return self.state in (PlaybackState.PLAYING, PlaybackState.PLAYING_LEASE_ENDS)


@dataclass(frozen=True, slots=True)
class FairPlayChallenge:
    """An SPC that was made by a device and for this server.

    ``asset_id`` is what follows ``skd://`` in the playlist; ``kids`` the key ID it spells, if it does.
    ``transaction_id`` (8 bytes) is another one in each SPC: whoever has seen it before is looking at a replay.
    ``playback`` is None for a device that reports none and cannot limit a key's life either.
    """

    device: Device
    asset_id: bytes
    kids: tuple[bytes, ...]
    transaction_id: bytes
    screen: Screen
    playback: PlaybackContext | None
    enforces_hdcp: bool
    keeps_keys: bool
    session_key: bytes = field(repr=False)
    r1: bytes = field(repr=False)
    ar_seed: bytes = field(repr=False)
    returned: tuple[bytes, ...] = field(repr=False)


def read_spc(
    spc: bytes, credentials: Mapping[bytes, FairPlayCredentials], derive_secret: DeriveSecret
) -> FairPlayChallenge:
    """Open an SPC with the credential set that it names, and check its integrity.

    Raises :class:`SpcVersionError` for another container version, :class:`LicenceRequestError` for everything
    else that is wrong with it.
    """
    if len(spc) > MAX_SPC_BYTES:
        raise LicenceRequestError(f"SPC: {len(spc)} bytes, more than {MAX_SPC_BYTES}")
    if len(spc) < _PAYLOAD_AT:
        raise LicenceRequestError(f"SPC: {len(spc)} bytes, cut short")
    version = int.from_bytes(spc[:4])
    if version != VERSION:
        raise SpcVersionError(f"SPC: version {version}, expected {VERSION}")
    length = int.from_bytes(spc[172:_PAYLOAD_AT])
    if length % 16 or length != len(spc) - _PAYLOAD_AT:
        raise LicenceRequestError(f"SPC: a payload of {length} bytes, {len(spc) - _PAYLOAD_AT} are there")
    own = credentials.get(spc[152:172])
    if own is None:
        raise LicenceRequestError("SPC: made for a certificate that is not of this server")
    payload_key = own.unwrap(spc[24 : 24 + WRAPPED_KEY_BYTES])
    return _read_payload(decrypt_cbc(payload_key, spc[8:24], spc[_PAYLOAD_AT:]), own.secret, derive_secret)


def _read_payload(payload: bytes, secret: bytes, derive_secret: DeriveSecret) -> FairPlayChallenge:
    blocks = read_blocks(payload)
    shared = derive_secret(secret, _value(blocks, Tag.R2, 21))
    if len(shared) != 16:
        raise ValueError(f"FairPlay D function: gave {len(shared)} bytes, expected 16")
    sealed = _value(blocks, Tag.SESSION_KEY_R1, 112)
    opened = decrypt_cbc(shared, sealed[:16], sealed[16:])
    session_key, hu, r1, integrity = opened[:16], opened[16:36], opened[36:80], opened[80:]
    if not hmac.compare_digest(integrity, _value(blocks, Tag.INTEGRITY, 16)):
        raise LicenceRequestError("SPC payload: integrity does not hold")
    asset_id = _asset_id(blocks)
    capabilities = _number(blocks, Tag.CAPABILITIES, 16)
    return FairPlayChallenge(
        device=apple_device(hu),
        asset_id=asset_id,
        kids=kids_in(asset_id),
        transaction_id=_value(blocks, Tag.TRANSACTION_ID, 8),
        screen=_screen(_number(blocks, Tag.STREAMING_INDICATOR, 8)),
        playback=_playback(blocks),
        enforces_hdcp=bool(capabilities & _CAN_ENFORCE_HDCP),
        keeps_keys=bool(capabilities & _CAN_KEEP_KEYS),
        session_key=session_key,
        r1=r1,
        ar_seed=_value(blocks, Tag.AR_SEED, 16),
        returned=_returned(blocks),
    )


def apple_device(hu: bytes) -> Device:
    """The device with an anonymous identity ``hu``: all that there are guard keys in hardware."""
    digest = hashlib.sha256(hu).digest()[:16]
    return Device("fairplay", digest, Security.HARDWARE, "Apple", "Apple", platform=Platform.VERIFIED)


def _value(blocks: Mapping[int, Block], tag: Tag, size: int | None = None) -> bytes:
    block = blocks.get(tag)
    if block is None:
        raise LicenceRequestError(f"SPC payload: no {tag.name}")
    if size is not None and len(block.value) != size:
        raise LicenceRequestError(f"SPC payload: {tag.name} has {len(block.value)} bytes, expected {size}")
    return block.value


def _number(blocks: Mapping[int, Block], tag: Tag, size: int) -> int:
    """The value of a block that older devices leave out: 0 then."""
    return int.from_bytes(_value(blocks, tag, size)) if tag in blocks else 0


def _asset_id(blocks: Mapping[int, Block]) -> bytes:
    asset_id = _value(blocks, Tag.ASSET_ID)
    if not 2 <= len(asset_id) <= 200:
        raise LicenceRequestError(f"SPC payload: ASSET_ID has {len(asset_id)} bytes, expected 2 to 200")
    return asset_id


def kids_in(asset_id: bytes) -> tuple[bytes, ...]:
    """The key ID that an asset ID spells, if it does."""
    # Some applications pass the whole URI on.
    text = asset_id.decode("ascii", errors="replace").removeprefix("skd://")
    return (bytes.fromhex(text.replace("-", "")),) if _KID.fullmatch(text) else ()


def _screen(indicator: int) -> Screen:
    # The tag of the block doubles as the mark of AirPlay.
    known = {Tag.STREAMING_INDICATOR.value: Screen.AIRPLAY, 0x5F9C8132B59F2FDE: Screen.AV_ADAPTER}
    return known.get(indicator, Screen.OWN)


def _playback(blocks: Mapping[int, Block]) -> PlaybackContext | None:
    if Tag.PLAYBACK_STATE not in blocks:
        return None
    value = _value(blocks, Tag.PLAYBACK_STATE, 16)
    state = int.from_bytes(value[4:8])
    known = PlaybackState(state) if state in PlaybackState.__members__.values() else None
    return PlaybackContext(int.from_bytes(value[:4]), known, value[8:])


def _returned(blocks: Mapping[int, Block]) -> tuple[bytes, ...]:
    """The whole blocks that the device wants back, each once."""
    request = _value(blocks, Tag.RETURN_REQUEST)
    if len(request) % 8:
        raise LicenceRequestError(f"SPC payload: RETURN_REQUEST has {len(request)} bytes, expected a multiple of 8")
    tags = dict.fromkeys(int.from_bytes(request[at : at + 8]) for at in range(0, len(request), 8))
    if not tags.keys() <= blocks.keys():
        raise LicenceRequestError("SPC payload: RETURN_REQUEST wants a block that is not there")
    if not tags.keys().isdisjoint(_OURS):
        # Two blocks of one tag in a CKC: which of them holds would be up to the device.
        raise LicenceRequestError("SPC payload: RETURN_REQUEST wants a block that only a server writes")
    return tuple(blocks[tag].whole for tag in tags)
