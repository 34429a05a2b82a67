"""Widevine licences as messages: identification, policy, key containers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from math import ceil

from keys.errors import LicenceRefusedError
from keys.licences.protobuf import Message, Value, encode
from keys.licences.terms import GrantedKey, Term
from keys.licences.widevine.derivation import MacKeys, encrypt
from keys.licences.widevine.devices import HDCP_LEVELS, HdcpLevel
from keys.model import Outputs, Security, TrackType

Entropy = Callable[[int], bytes]
"""So many bytes that nobody can predict."""

ENTITLEMENT_KEY_BYTES = 32


class KeyType(IntEnum):
    """``KeyContainer.KeyType``."""

    SIGNING = 1
    CONTENT = 2
    ENTITLEMENT = 5


class SecurityLevel(IntEnum):
    """``KeyContainer.SecurityLevel``, those our terms speak of."""

    SW_SECURE_CRYPTO = 1
    HW_SECURE_DECODE = 4


@dataclass(frozen=True, slots=True)
class Identification:
    """``LicenseIdentification``: clients return it whole in renewals.

    ``state`` is sealed, the server's own; ``purchase_id`` is what a service's customer may put in.
    """

    request_id: bytes
    session_id: bytes
    type: int
    version: int
    state: bytes = field(repr=False)
    purchase_id: bytes = field(default=b"", repr=False)

    @classmethod
    def decode(cls, encoded: bytes) -> "Identification":
        """Read it as a client returns it."""
        message = Message.decode(encoded, "Widevine licence ID")
        return cls(
            message.blob(1), message.blob(2), message.number(4), message.number(5), message.blob(6), message.blob(3)
        )

    def encode(self) -> bytes:
        """The message."""
        return encode(
            (1, self.request_id),
            (2, self.session_id),
            *([(3, self.purchase_id)] if self.purchase_id else []),
            (4, self.type),
            (5, self.version),
            (6, self.state),
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """``License.Policy``. All lengths in seconds, 0: no limit."""

    can_play: bool = True
    can_persist: bool = False
    can_renew: bool = False
    rental_duration: int = 0
    playback_duration: int = 0
    licence_duration: int = 0
    renewal_recovery_duration: int = 0
    renewal_delay: int = 0
    renewal_retry_interval: int = 0

    @classmethod
    def of(cls, term: Term, now: float, *, stored: bool) -> "Policy":
        """The policy that says ``term`` to a client that gets it at ``now``, and may store it if ``stored``.

        Without storing, a licence to renew holds a third longer than its renewal interval, so that a client whose
        renewals are refused stops soon, and one whose renewals get lost has time to ask again. A stored one holds
        to its end: its device may have no network.

        Raises :class:`LicenceRefusedError` when the term is over, :class:`ValueError` for a persistent one
        without an end.
        """
        if term.persistent and not term.until:
            raise ValueError("a persistent licence must have an end")
        if term.until and term.until <= now:
            raise LicenceRefusedError("expired", "Widevine licence: its term is over")
        duration = ceil(term.until - now) if term.until else 0
        recovery = 0
        if term.renew_every and not stored:
            recovery = ceil(term.renew_every / 3)
            lease = term.renew_every + recovery
            duration = min(duration, lease) if duration else lease
        return cls(
            can_persist=stored,
            can_renew=term.renew_every > 0,
            rental_duration=term.start_within,
            playback_duration=term.play_for,
            licence_duration=duration,
            renewal_recovery_duration=recovery,
            renewal_delay=term.renew_every,
            renewal_retry_interval=ceil(term.renew_every / 9),
        )

    def encode(self) -> bytes:
        """The message; ``can_play`` always in it, so that a refusal does not rest on a default."""
        values = {
            2: self.can_persist,
            3: self.can_renew,
            4: self.rental_duration,
            5: self.playback_duration,
            6: self.licence_duration,
            7: self.renewal_recovery_duration,
            9: self.renewal_delay,
            10: self.renewal_retry_interval,
        }
        return encode((1, int(self.can_play)), *((number, int(value)) for number, value in values.items() if value))


def licence_message(
    identification: Identification, policy: Policy, containers: Sequence[bytes], start_time: int
) -> bytes:
    """``License``. ``start_time`` is the request's own, on the client's clock: what all lengths count from."""
    return encode(
        (1, identification.encode()),
        (2, policy.encode()),
        *((3, container) for container in containers),
        (4, start_time),
    )


def signing_container(mac: MacKeys, encryption_key: bytes, iv: bytes) -> bytes:
    """The ``KeyContainer`` with the keys that renewals and the release are signed with."""
    return encode((2, iv), (3, encrypt(encryption_key, iv, mac.joined())), (4, KeyType.SIGNING))


def key_container(granted: GrantedKey, encryption_key: bytes, iv: bytes) -> bytes:
    """The ``KeyContainer`` of a content key (16 bytes) or an entitlement key (32 bytes), with its own demands."""
    key = granted.key
    key_type = KeyType.ENTITLEMENT if len(key.key) == ENTITLEMENT_KEY_BYTES else KeyType.CONTENT
    protection = _output_protection(granted.outputs)
    return encode(
        (1, key.kid),
        (2, iv),
        (3, encrypt(encryption_key, iv, key.key)),
        (4, key_type),
        (5, level_of(granted)),
        *([(6, protection)] if protection else []),
        (12, granted.track.upper().encode()),
    )


def level_of(granted: GrantedKey) -> SecurityLevel:
    """The level that a device must have for a key."""
    # Hardware devices decode audio outside their protected video path.
    hardware = granted.security is Security.HARDWARE and granted.track is not TrackType.AUDIO
    return SecurityLevel.HW_SECURE_DECODE if hardware else SecurityLevel.SW_SECURE_CRYPTO


def hdcp_of(outputs: Outputs) -> HdcpLevel:
    """What a digital output must have."""
    return HDCP_LEVELS[outputs.hdcp] if outputs.digital else HdcpLevel.NO_DIGITAL_OUTPUT


def _output_protection(outputs: Outputs) -> bytes:
    """``OutputProtection``, empty when nothing is demanded."""
    fields: list[tuple[int, Value]] = []
    hdcp = hdcp_of(outputs)
    if hdcp:
        fields.append((1, hdcp))
    if not outputs.analogue:
        fields.append((4, 1))
    if not outputs.digital:
        fields.append((5, 1))
    return encode(*fields)
