"""A licence's terms in FairPlay's words: duration, HDCP, and the key that may be kept."""

import math
from dataclasses import dataclass

from keys.errors import LicenceRefusedError
from keys.licences.fairplay.spc import FairPlayChallenge, Screen
from keys.licences.terms import GrantedKey, Term
from keys.model import Hdcp

U32_MAX = 0xFFFF_FFFF
_RESERVED = 0x86D34A3A
_LEASE, _RENTAL, _LEASE_AND_RENTAL = 0x1A4BDE7E, 0x3DFE45A0, 0x27B59BDE
_KEPT_UNTIL_RENTAL_ENDS = 0x18F06048
_HDCP_VALUES = {Hdcp.NONE: 0xEF72894CA7895B78, Hdcp.V1: 0x40791AC78BD5C571, Hdcp.V2_2: 0x285A0863BBA8E1D3}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a key lasts, in seconds; 0: not limited so.

    ``lease`` ends playback, ``rental`` the time in which it may begin (of a kept key: its whole life), ``storage``
    and ``playback`` the life of a kept key before and after the first frame.
    """

    lease: int = 0
    rental: int = 0
    kept: bool = False
    storage: int = 0
    playback: int = 0

    def duration(self) -> bytes:
        """The value of the duration block, empty without a limit."""
        if self.kept:
            kind = _KEPT_UNTIL_RENTAL_ENDS
        elif self.lease and self.rental:
            kind = _LEASE_AND_RENTAL
        elif self.lease:
            kind = _LEASE
        elif self.rental:
            kind = _RENTAL
        else:
            return b""
        return b"".join(number.to_bytes(4) for number in (self.lease, self.rental, kind, _RESERVED))

    def offline_key(self, content_id: bytes) -> bytes:
        """The value of the offline key block, version 1."""
        return (1).to_bytes(4) + bytes(4) + content_id + self.storage.to_bytes(4) + self.playback.to_bytes(4)


def limits(term: Term, challenge: FairPlayChallenge, now: float) -> Limits:
    """What ``term`` says from ``now`` on.

    A device that does not keep keys gets a lease even of a persistent term. A lease runs ``play_for`` from its own
    start: in a renewal, what was played before must already be off ``until``. Raises
    :class:`LicenceRefusedError` after the term's end, and for a device that cannot limit a key's life;
    :class:`ValueError` for a persistent term without an end.
    """
    if term.persistent and not term.until:
        raise ValueError("a persistent licence needs an end")
    # Rounded down: a device must stop no later than the relay would.
    remaining = math.floor(term.until - now) if term.until else 0
    if term.until and remaining < 1:
        raise LicenceRefusedError("expired", "FairPlay: the term of the licence is over")
    if term.persistent and challenge.keeps_keys:
        storage, playback = least(remaining, term.start_within), least(remaining, term.play_for)
        result = Limits(rental=least(remaining), kept=True, storage=storage, playback=playback)
    else:
        rental = least(remaining, term.start_within) if term.start_within else 0
        result = Limits(lease=least(remaining, term.renew_every, term.play_for), rental=rental)
    if challenge.playback is None and result.duration():
        raise LicenceRefusedError("unlimited-device", "FairPlay: the device cannot limit how long a key lasts")
    return result


def least(*seconds: int) -> int:
    """The tightest of limits, of which 0 is none, as it fits a field."""
    return min((min(limit, U32_MAX) for limit in seconds if limit), default=0)


def obstacle(granted: GrantedKey, challenge: FairPlayChallenge) -> str:
    """Why this device must not get a key: a reason code, empty if it may.

    Every Apple device guards keys in hardware. None can be told to keep pictures off all wires.
    """
    outputs = granted.outputs
    if challenge.screen is Screen.AIRPLAY and not outputs.airplay:
        return "airplay"
    if challenge.screen is Screen.AV_ADAPTER and not outputs.av_adapter:
        return "av-adapter"
    if not outputs.digital:
        return "digital-output"
    if required_hdcp(granted) is Hdcp.V2_2 and not challenge.enforces_hdcp:
        return "hdcp"
    return ""


def hdcp(granted: GrantedKey, challenge: FairPlayChallenge) -> bytes:
    """The value of the HDCP block; empty for a device that knows none and applies type 0 to everything."""
    return _HDCP_VALUES[required_hdcp(granted)].to_bytes(8) if challenge.enforces_hdcp else b""


def required_hdcp(granted: GrantedKey) -> Hdcp:
    """What digital outputs must have."""
    # HDCP is the only rule here that an analogue output fails, for it has none.
    return granted.outputs.hdcp if granted.outputs.analogue else max(granted.outputs.hdcp, Hdcp.V1)
