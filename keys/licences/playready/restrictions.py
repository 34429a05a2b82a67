"""The neutral terms in PlayReady's words: output protection levels, security levels, dates, play enablers.

The numbers are those of Microsoft's public "Output Protection Levels" and "License properties" pages.
"""

from struct import pack
from uuid import UUID

from keys.licences.playready.xmr import ObjectType, container, item
from keys.licences.terms import GrantedKey, Term
from keys.model import Hdcp, Outputs, Security, TrackType

SL2000 = 2000
SL3000 = 3000

CLOCK_TOLERANCE_S = 3600
"""How far a device's clock may be behind ours before a new licence seems not yet valid."""

_MAX_U32 = 0xFFFFFFFF
_DO_NOT_PERSIST = 1

_HDCP_TYPE = UUID("abb2c6f1-e663-4625-a945-972d17b231e7")
_HDCP_TYPE_1 = pack(">I", 1)
_UNKNOWN_OUTPUT = UUID("786627d8-c2a6-44be-8f88-08ae255b01a7")
_AIRPLAY = UUID("5abf0f0d-dc29-4b82-9982-fd8e57525bfc")

# Levels of uncompressed digital video: 100 asks nothing, 300 HDCP, anything higher blocks the output.
_DIGITAL_OPEN, _DIGITAL_HDCP, _DIGITAL_BLOCKED = 100, 300, 301
_ANALOGUE_OPEN, _ANALOGUE_BLOCKED = 100, 201
# Compressed video leaves a device towards nothing that our players drive.
_COMPRESSED_BLOCKED = 500
# The terms are about pictures.
_AUDIO_OPEN = 100


def minimum_level(granted: GrantedKey, software_level: int) -> int:
    """The security level that a client must have for this key: hardware for pictures is level 3000.

    Sound is not kept in hardware by most devices, so there hardware asks for a certified client, level 2000.
    """
    if granted.security is Security.SOFTWARE:
        return software_level
    return SL2000 if granted.track is TrackType.AUDIO else SL3000


def global_policy(minimum_level: int, term: Term, now: float, *, real_time: bool) -> bytes:
    """The container of what holds for a whole licence; ``real_time`` ends playback the moment the licence ends."""
    end = end_date(term, now)
    items: list[bytes] = []
    if real_time and end:
        # First, since clients that do not know this object have been seen to skip the one after it as well.
        items.append(item(ObjectType.REAL_TIME_EXPIRATION))
    items.append(item(ObjectType.SECURITY_LEVEL, pack(">H", minimum_level)))
    items.append(item(ObjectType.RIGHTS, pack(">H", 0 if term.persistent else _DO_NOT_PERSIST)))
    items.append(item(ObjectType.ISSUED_AT, pack(">I", _seconds(now))))
    if end:
        # An end without a beginning would let a clock that was set back prolong the licence.
        begin = _seconds(now - CLOCK_TOLERANCE_S)
        items.append(item(ObjectType.VALID_BETWEEN, pack(">II", begin, end)))
    if term.play_for:
        items.append(item(ObjectType.PLAY_FOR, pack(">I", min(term.play_for, _MAX_U32))))
    return container(ObjectType.GLOBAL_POLICY, *items)


def end_date(term: Term, now: float) -> int:
    """When a licence ends, in seconds since the epoch; 0: never.

    PlayReady knows no window to start in, only the end date. A stored licence therefore ends with that window; one
    that is not stored lives no longer than its session, which ``until`` bounds, and would be cut off while playing.
    """
    ends = [term.until] if term.until else []
    if term.persistent and term.start_within:
        ends.append(now + term.start_within)
    return _seconds(min(ends)) if ends else 0


def playback_policy(outputs: Outputs) -> bytes:
    """The container of where decoded pictures may go."""
    items = [item(ObjectType.OUTPUT_LEVELS, pack(">5H", *output_levels(outputs)))]
    if needs_hdcp_type_1(outputs):
        protection = item(ObjectType.DIGITAL_VIDEO_PROTECTION, _HDCP_TYPE.bytes_le + _HDCP_TYPE_1)
        items.append(container(ObjectType.DIGITAL_VIDEO_PROTECTIONS, protection))
    if enablers := [item(ObjectType.PLAY_ENABLER, guid.bytes_le) for guid in play_enablers(outputs)]:
        items.append(container(ObjectType.PLAY_ENABLERS, *enablers))
    return container(ObjectType.PLAYBACK_POLICY, *items)


def output_levels(outputs: Outputs) -> tuple[int, int, int, int, int]:
    """The least that outputs must protect: compressed and uncompressed digital video, analogue video, compressed and
    uncompressed digital audio.
    """
    analogue = _ANALOGUE_OPEN if outputs.analogue else _ANALOGUE_BLOCKED
    return _COMPRESSED_BLOCKED, _digital_level(outputs), analogue, _AUDIO_OPEN, _AUDIO_OPEN


def needs_hdcp_type_1(outputs: Outputs) -> bool:
    """Whether digital video may go only where HDCP 2.2 goes all the way."""
    return outputs.digital and outputs.hdcp is Hdcp.V2_2


def _digital_level(outputs: Outputs) -> int:
    if not outputs.digital:
        return _DIGITAL_BLOCKED
    return _DIGITAL_OPEN if outputs.hdcp is Hdcp.NONE else _DIGITAL_HDCP


def play_enablers(outputs: Outputs) -> list[UUID]:
    """What a licence allows beyond the outputs that a client knows and can protect."""
    enablers: list[UUID] = []
    unprotected = outputs.hdcp is Hdcp.NONE and outputs.digital and outputs.analogue
    if unprotected and outputs.av_adapter:
        enablers.append(_UNKNOWN_OUTPUT)
    if outputs.airplay and outputs.digital:
        enablers.append(_AIRPLAY)
    return enablers


def _seconds(moment: float) -> int:
    return int(max(0, min(moment, _MAX_U32)))
