"""Where challenges are opened and licences made: public-key work and plug-ins, for a process of its own.

What goes in and comes out are plain values. An opened challenge holds keys of the ``cryptography`` library, which do
not travel: it stays here until its licence is asked for with a ticket.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from hashlib import sha256

from keys.encoding import encode_fields
from keys.errors import BridgeError, KeysError, LicenceRefusedError, LicenceRequestError
from keys.licences.bridges.fairplay import ModuleChallenge
from keys.licences.detect import DrmSystem
from keys.licences.fairplay import FairPlayChallenge
from keys.licences.playready import PlayReadyChallenge, ProtocolVersionError
from keys.licences.terms import Device, GrantedKey, Term
from keys.licences.widevine import CertificateRequest, ExistingLicenceRequest, NewLicenceRequest
from keys.model import Scheme
from relay.licensing.material import Material

MAX_OPEN = 1024
"""Challenges that wait for their licence; of those whose player has gone, the oldest are forgotten first."""

UNREADABLE, VERSION, FORGOTTEN, FAILED = "unreadable", "protocol-version", "forgotten", "failed"
"""Reasons of refusals beside those of :class:`LicenceRefusedError`. What is forgotten may be asked for again; what
failed was no fault of the player's, and its message is for the log."""


class Kind(Enum):
    """What a challenge asks for."""

    CERTIFICATE = "certificate"
    NEW = "new"
    RENEWAL = "renewal"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Opened:
    """What a challenge says: verified here, or to be verified by the server behind a bridge.

    ``kids`` are the key IDs asked for, if any. ``device`` is who asks, None where that is not told (yet).
    ``once`` tells this challenge from every other one; renewals have none. ``session`` is what was sealed into
    the licence to renew, ``playing_for`` the seconds it was used. ``proven`` is false behind a bridge.
    """

    system: DrmSystem
    kind: Kind
    ticket: int = 0
    device: Device | None = None
    kids: tuple[bytes, ...] = ()
    once: bytes = b""
    session: bytes = field(default=b"", repr=False)
    playing_for: int = 0
    proven: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no licence: a reason code, and a message that may be shown to the player."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Order:
    """What goes into a new licence. ``session`` comes back when it is renewed; ``scheme`` is that of the keys,
    ``content`` the stream's name.
    """

    keys: Sequence[GrantedKey]
    term: Term
    scheme: Scheme
    content: str
    session: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Made:
    """A licence, or another answer to a challenge. ``device`` is who it is for, where only now that is known."""

    answer: bytes = field(repr=False)
    device: Device | None = None


_Make = Callable[[Order | None, float], bytes]


class Desk:
    """Answers challenges of the systems that there is material for."""

    def __init__(self, material: Material) -> None:
        self._widevine = material.widevine and material.widevine.server()
        self._playready = material.playready and material.playready.server()
        self._fairplay = material.fairplay and material.fairplay.server()
        self._module = material.fairplay_bridge and material.fairplay_bridge.module()
        self._makers: OrderedDict[int, _Make] = OrderedDict()
        # Never those of a process that died: its tickets would be for challenges of other sessions here.
        self._tickets = int.from_bytes(os.urandom(8))

    def open(self, system: DrmSystem, challenge: bytes, now: float) -> Opened | Refusal:
        """Verify a challenge and keep it."""
        try:
            return self._open(system, challenge, now)
        except KeysError as err:
            return refusal_of(err)

    def make(self, ticket: int, order: Order | None, now: float) -> Made | Refusal:
        """The answer to a challenge opened before. ``order`` says what of; None ends a licence, or gives none."""
        maker = self._makers.pop(ticket, None)
        if maker is None:
            return Refusal(FORGOTTEN, "the challenge was forgotten; try again")
        try:
            return Made(maker(order, now))
        except KeysError as err:
            return refusal_of(err)

    def drop(self, ticket: int) -> None:
        """Forget a challenge that gets no answer."""
        self._makers.pop(ticket, None)

    def __len__(self) -> int:
        """How many challenges wait for their licence."""
        return len(self._makers)

    def _open(self, system: DrmSystem, challenge: bytes, now: float) -> Opened:
        if system is DrmSystem.WIDEVINE and self._widevine:
            return self._opened_widevine(self._widevine.open(challenge, now))
        if system is DrmSystem.PLAYREADY and self._playready:
            read = self._playready.open(challenge, now)
            return self._opened(system, read.device, read.kids, read.nonce, partial(self._make_playready, read))
        if system is DrmSystem.FAIRPLAY and self._fairplay:
            spc = self._fairplay.open(challenge, now)
            maker = partial(self._make_fairplay, spc)
            return self._opened(system, spc.device, spc.kids, spc.transaction_id, maker)
        if system is DrmSystem.FAIRPLAY and self._module:
            bridged = self._module.open(challenge)
            once = sha256(challenge).digest()
            return self._opened(system, bridged.device, bridged.kids, once, partial(self._make_bridged, bridged))
        raise ValueError(f"no material for {system}")

    def _opened_widevine(self, challenge: CertificateRequest | NewLicenceRequest | ExistingLicenceRequest) -> Opened:
        match challenge:
            case CertificateRequest():
                return Opened(DrmSystem.WIDEVINE, Kind.CERTIFICATE, self._keep(self._make_certificate))
            case NewLicenceRequest():
                # Some clients send neither nonce nor request ID; what was signed is never the same for long.
                once = sha256(challenge.body).digest()
                maker = partial(self._make_widevine, challenge)
                return self._opened(DrmSystem.WIDEVINE, challenge.device, challenge.kids, once, maker)
            case ExistingLicenceRequest():
                return Opened(
                    DrmSystem.WIDEVINE,
                    Kind.RELEASE if challenge.release else Kind.RENEWAL,
                    self._keep(partial(self._renew_widevine, challenge)),
                    challenge.device,
                    session=challenge.session,
                    playing_for=challenge.playing_for,
                )

    def _opened(self, system: DrmSystem, device: Device, kids: tuple[bytes, ...], nonce: bytes, maker: _Make) -> Opened:
        once = encode_fields(system.encode(), device.digest, nonce)
        return Opened(system, Kind.NEW, self._keep(maker), device, kids, once)

    def _keep(self, maker: _Make) -> int:
        self._tickets += 1
        self._makers[self._tickets] = maker
        if len(self._makers) > MAX_OPEN:
            self._makers.popitem(last=False)
        return self._tickets

    def _make_certificate(self, _: Order | None, __: float) -> bytes:
        assert self._widevine
        return self._widevine.service_certificate()

    def _make_widevine(self, challenge: NewLicenceRequest, order: Order | None, now: float) -> bytes:
        assert self._widevine
        assert order
        return self._widevine.issue(
            challenge, order.keys, order.term, now=now, entropy=os.urandom, session=order.session
        )

    def _renew_widevine(self, challenge: ExistingLicenceRequest, order: Order | None, now: float) -> bytes:
        assert self._widevine
        if order is None:
            return self._widevine.end(challenge, now=now)
        return self._widevine.renew(challenge, order.term, now=now)

    def _make_playready(self, challenge: PlayReadyChallenge, order: Order | None, now: float) -> bytes:
        assert self._playready
        assert order
        return self._playready.issue(
            challenge, order.keys, order.term, now=now, entropy=os.urandom, scheme=order.scheme
        )

    def _make_fairplay(self, challenge: FairPlayChallenge, order: Order | None, now: float) -> bytes:
        assert self._fairplay
        assert order
        return self._fairplay.issue(challenge, order.keys, order.term, now, os.urandom)

    def _make_bridged(self, challenge: ModuleChallenge, order: Order | None, now: float) -> bytes:
        assert self._module
        assert order
        return self._module.issue(challenge, order.keys, order.term, now, order.scheme)


def refusal_of(err: KeysError) -> Refusal:
    """A failure as a value: exceptions with arguments of their own do not survive the way to another process."""
    match err:
        case LicenceRefusedError():
            return Refusal(err.reason, str(err))
        case ProtocolVersionError():
            return Refusal(VERSION, str(err))
        case LicenceRequestError():
            return Refusal(UNREADABLE, str(err))
        case BridgeError():
            return Refusal(FAILED, str(err))
    raise err
