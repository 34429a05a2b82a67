"""Where challenges are opened and licences made: public-key work, for a process of its own.

What goes in and comes out are plain values. An opened challenge holds keys of the ``cryptography`` library, which do
not travel: it stays here until its licence is asked for with a ticket.
"""

import os
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from hashlib import sha256
from multiprocessing import parent_process
from typing import TypeVar

from keys.encoding import encode_fields
from keys.errors import KeysError, LicenceRefusedError, LicenceRequestError
from keys.licences.detect import DrmSystem
from keys.licences.fairplay import FairPlayChallenge
from keys.licences.playready import PlayReadyChallenge, ProtocolVersionError
from keys.licences.terms import Device, GrantedKey, Term
from keys.licences.widevine import CertificateRequest, ExistingLicenceRequest, NewLicenceRequest
from keys.model import Scheme
from relay.licensing.material import Material

MAX_OPEN = 1024
"""Challenges that wait for their licence; of those whose player has gone, the oldest are forgotten first."""

UNREADABLE, VERSION, FORGOTTEN = "unreadable", "protocol-version", "forgotten"
"""Reasons of refusals beside those of :class:`LicenceRefusedError`. What is forgotten may be asked for again."""


class Kind(Enum):
    """What a challenge asks for."""

    CERTIFICATE = "certificate"
    NEW = "new"
    RENEWAL = "renewal"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Opened:
    """What a verified challenge says.

    ``kids`` are the key IDs asked for, if any. ``device`` is who asks; only a certificate is given to just anybody.
    ``once`` tells this challenge from every other one; renewals have none. ``session`` is what was sealed into
    the licence to renew, ``playing_for`` the seconds it was used.
    """

    kind: Kind
    ticket: int
    device: Device | None = None
    kids: tuple[bytes, ...] = ()
    once: bytes = b""
    session: bytes = field(default=b"", repr=False)
    playing_for: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no licence: a reason code, and a message that may be shown to the player."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Order:
    """What goes into a new licence. ``session`` comes back when it is renewed; ``scheme`` is that of the keys."""

    keys: Sequence[GrantedKey]
    term: Term
    scheme: Scheme
    session: bytes = field(default=b"", repr=False)


class DeskError(Exception):
    """A licence could not be made, and not for anything in the challenge."""


_T = TypeVar("_T")
_Make = Callable[[Order | None, float], bytes]


class Desk:
    """Answers challenges of the systems that there is material for."""

    def __init__(self, material: Material) -> None:
        self._widevine = material.widevine and material.widevine.server()
        self._playready = material.playready and material.playready.server()
        self._fairplay = material.fairplay and material.fairplay.server()
        self._makers: OrderedDict[int, _Make] = OrderedDict()
        # Never those of a process that died: its tickets would be for challenges of other sessions here.
        self._tickets = int.from_bytes(os.urandom(8))

    def open(self, system: DrmSystem, challenge: bytes, now: float) -> Opened | Refusal:
        """Verify a challenge and keep it."""
        try:
            return self._open(system, challenge, now)
        except KeysError as err:
            return _refusal(err)

    def make(self, ticket: int, order: Order | None, now: float) -> bytes | Refusal:
        """The answer to a challenge opened before. ``order`` says what of; None ends a licence, or gives none."""
        maker = self._makers.pop(ticket, None)
        if maker is None:
            return Refusal(FORGOTTEN, "the challenge was forgotten; try again")
        try:
            return maker(order, now)
        except KeysError as err:
            return _refusal(err)

    def _open(self, system: DrmSystem, challenge: bytes, now: float) -> Opened:
        if system is DrmSystem.WIDEVINE and self._widevine:
            return self._opened_widevine(self._widevine.open(challenge, now))
        if system is DrmSystem.PLAYREADY and self._playready:
            read = self._playready.open(challenge, now)
            return self._opened(read.device, read.kids, read.nonce, partial(self._make_playready, read))
        if system is DrmSystem.FAIRPLAY and self._fairplay:
            spc = self._fairplay.open(challenge, now)
            return self._opened(spc.device, spc.kids, spc.transaction_id, partial(self._make_fairplay, spc))
        raise DeskError(f"no material for {system}")

    def _opened_widevine(self, challenge: CertificateRequest | NewLicenceRequest | ExistingLicenceRequest) -> Opened:
        match challenge:
            case CertificateRequest():
                return Opened(Kind.CERTIFICATE, self._keep(self._make_certificate))
            case NewLicenceRequest():
                # Some clients send neither nonce nor request ID; what was signed is never the same for long.
                once = sha256(challenge.body).digest()
                return self._opened(challenge.device, challenge.kids, once, partial(self._make_widevine, challenge))
            case ExistingLicenceRequest():
                return Opened(
                    Kind.RELEASE if challenge.release else Kind.RENEWAL,
                    self._keep(partial(self._renew_widevine, challenge)),
                    challenge.device,
                    session=challenge.session,
                    playing_for=challenge.playing_for,
                )

    def _opened(self, device: Device, kids: tuple[bytes, ...], nonce: bytes, maker: _Make) -> Opened:
        once = encode_fields(device.system.encode(), device.digest, nonce)
        return Opened(Kind.NEW, self._keep(maker), device, kids, once)

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


def _refusal(err: KeysError) -> Refusal:
    # By value: exceptions with arguments of their own do not survive the way to another process.
    match err:
        case LicenceRefusedError():
            return Refusal(err.reason, str(err))
        case ProtocolVersionError():
            return Refusal(VERSION, str(err))
        case LicenceRequestError():
            return Refusal(UNREADABLE, str(err))
    raise err


_desk: Desk | None = None


def start(material: Material) -> None:
    """Make a process one that answers challenges, by :func:`open_challenge` and :func:`make_licence`."""
    global _desk
    # A terminal's Ctrl-C reaches all processes; this one ends when the relay has let go of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_relay, daemon=True).start()
    _desk = Desk(material)


def open_challenge(system: DrmSystem, challenge: bytes, now: float) -> Opened | Refusal:
    """:meth:`Desk.open` of this process's desk. Raises :class:`DeskError`."""
    assert _desk
    return _guarded(partial(_desk.open, system, challenge, now))


def make_licence(ticket: int, order: Order | None, now: float) -> bytes | Refusal:
    """:meth:`Desk.make` of this process's desk. Raises :class:`DeskError`."""
    assert _desk
    return _guarded(partial(_desk.make, ticket, order, now))


def _guarded(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except Exception as err:
        # A plug-in may raise what cannot be pickled; its traceback travels as text.
        raise DeskError(type(err).__name__) from err


def _end_with_relay() -> None:
    relay = parent_process()
    if relay:
        relay.join()
        os._exit(0)
