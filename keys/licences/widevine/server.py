"""A Widevine licence server without I/O: challenges in, signed licences out.

It trusts only the roots it is given. Certified devices answer to Google's, and their OEMCrypto (from API 16 on) wants a
core message in the licence, whose format only licensees get; they belong behind a bridge to Widevine's own service.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from keys.errors import LicenceRefusedError, LicenceRequestError
from keys.licences.protobuf import Value, encode
from keys.licences.terms import Device, GrantedKey, Platform, Term
from keys.licences.widevine.certificates import DeviceCertificate, Roots
from keys.licences.widevine.derivation import ExchangeKeys, MacKeys, derive
from keys.licences.widevine.devices import Candidate, ClientId, DeviceStatus, Model, StatusList, Unserved
from keys.licences.widevine.licence import (
    Entropy,
    Policy,
    key_container,
    licence_message,
    signing_container,
)
from keys.licences.widevine.privacy import ServiceIdentity, decrypt_client_id
from keys.licences.widevine.request import (
    Existing,
    LicenceType,
    MessageType,
    Request,
    RequestType,
    SignedMessage,
    Wanted,
)
from keys.licences.widevine.state import MAX_SESSION_BYTES, State
from keys.model import Security
from keys.rsa import OAEP, verifies
from keys.seal import Sealer

SYSTEM = "widevine"


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A client wants the service certificate before it says who it is. It proves nothing and names no keys."""


@dataclass(frozen=True, slots=True)
class NewLicenceRequest:
    """A verified request for a new licence.

    ``request_id`` and ``nonce`` tell a repeated request from a new one. ``time`` is the client's clock in seconds since
    the epoch, 0 if unsaid. ``body`` is the request as signed.
    """

    device: Device
    client: ClientId
    wanted: Wanted
    nonce: int
    time: int
    certificate: DeviceCertificate
    body: bytes = field(repr=False)

    @property
    def kids(self) -> tuple[bytes, ...]:
        """The key IDs asked for (16 bytes each); none when the request names its content by ID only."""
        return self.wanted.kids

    @property
    def request_id(self) -> bytes:
        """The client's name for its request, opaque."""
        return self.wanted.request_id

    @property
    def wants_storage(self) -> bool:
        """Whether the player asks for a licence that it may store."""
        return self.wanted.type is LicenceType.OFFLINE


@dataclass(frozen=True, slots=True)
class ExistingLicenceRequest:
    """A verified renewal, or a release, of a licence made here; what it says of it comes from its sealed state.

    ``device`` and ``session`` are those of the request that the licence was made for; the request itself proves only
    that its sender holds the licence's keys. ``until`` is the end of the licence's term (seconds since the epoch, 0:
    none), ``version`` how many renewals it has had: a node that remembers versions can refuse one before the last.
    """

    device: Device
    session: bytes = field(repr=False)
    until: float
    release: bool
    version: int
    playing_for: int
    time: int
    existing: Existing = field(repr=False)
    mac: MacKeys = field(repr=False)


WidevineChallenge = CertificateRequest | NewLicenceRequest | ExistingLicenceRequest


@dataclass(frozen=True, slots=True)
class WidevineServer:
    """The material of a licence server. Its repr shows no key.

    ``sealer`` seals renewal state, ``services`` are the service certificates that clients may encrypt their identity
    to, the one given out first. ``status`` says which devices are served, and how far they are trusted.
    """

    roots: Roots = field(repr=False)
    sealer: Sealer = field(repr=False)
    services: tuple[ServiceIdentity, ...] = ()
    status: DeviceStatus = field(default_factory=StatusList)

    @classmethod
    def load(
        cls,
        *,
        roots: Iterable[bytes],
        state_keys: Iterable[bytes],
        services: Iterable[tuple[bytes, bytes]] = (),
        status: DeviceStatus | None = None,
    ) -> Self:
        """Build from raw material: ``roots`` as :class:`Roots` takes them, ``state_keys`` of 32 bytes, the one in use
        first, and ``services`` of a ``SignedDrmCertificate`` with its key in PEM each.

        Raises :class:`ValueError` for anything unusable, and without a root or a state key.
        """
        trusted, sealing = tuple(roots), tuple(state_keys)
        if not trusted or not sealing:
            raise ValueError("Widevine: needs a root and a state key")
        if any(len(key) != 32 for key in sealing):
            raise ValueError("Widevine: a state key has 32 bytes")
        identities = tuple(ServiceIdentity.load(certificate, key) for certificate, key in services)
        return cls(Roots(trusted), Sealer(sealing), identities, status or StatusList())

    def open(self, challenge: bytes, now: float) -> WidevineChallenge:
        """Read and verify a challenge at ``now`` (seconds since the epoch).

        Raises :class:`LicenceRequestError` for what cannot be read or verified, and :class:`LicenceRefusedError` for a
        device that is not served and for the renewal of a licence whose term is over.
        """
        message = SignedMessage.decode(challenge)
        if message.type == MessageType.SERVICE_CERTIFICATE_REQUEST:
            return CertificateRequest()
        if message.type != MessageType.LICENCE_REQUEST:
            raise LicenceRequestError(f"Widevine message: of type {message.type}, which no client sends here")
        request = Request.decode(message.body)
        if isinstance(request.content, Wanted):
            return self._open_new(message, request, request.content, now)
        return self._open_existing(message, request, request.content, now)

    def service_certificate(self) -> bytes:
        """The answer to a :class:`CertificateRequest`. Raises :class:`LicenceRefusedError` when there is none."""
        if not self.services:
            raise LicenceRefusedError("no-service-certificate", "Widevine: no service certificate is configured")
        return encode((1, MessageType.SERVICE_CERTIFICATE), (2, self.services[0].certificate))

    def issue(
        self,
        challenge: NewLicenceRequest,
        keys: Sequence[GrantedKey],
        term: Term,
        *,
        now: float,
        entropy: Entropy,
        session: bytes = b"",
    ) -> bytes:
        """The licence with every key that the device may have, whether asked for or not.

        Keys have 16 bytes, entitlement keys 32. ``session`` (at most 1024 bytes) comes back in the challenges of the
        licence's renewals. Besides ``entropy``, wrapping the session key draws on the cryptography library's own.

        Raises :class:`LicenceRefusedError` where no key is left, the term is over, or the player wants to store what
        may not be stored, and :class:`ValueError` for a persistent term without an end.
        """
        if len(session) > MAX_SESSION_BYTES:
            raise ValueError(f"a session of {len(session)} bytes, more than {MAX_SESSION_BYTES}")
        if challenge.wants_storage and not term.persistent:
            raise LicenceRefusedError("persistence", "Widevine: the licence asked for is to be stored, and may not be")
        stored = term.persistent and challenge.wanted.type is not LicenceType.STREAMING
        policy = Policy.of(term, now, stored=stored)
        usable = _usable(challenge, keys)
        session_key = entropy(16)
        exchange = derive(session_key, challenge.body)
        # Renewals get keys of their own: those of this exchange answer this request and no other.
        state = State(MacKeys.split(entropy(64)), challenge.device, term.until, session)
        wanted = challenge.wanted
        body = licence_message(
            state.seal(self.sealer, wanted.request_id, entropy(16), wanted.type, 0),
            policy,
            _containers(exchange, state.mac, usable, entropy),
            challenge.time or int(now),
        )
        wrapped = challenge.certificate.encryption_key.encrypt(session_key, OAEP)
        return _signed(body, exchange.mac, (4, wrapped))

    def renew(self, challenge: ExistingLicenceRequest, term: Term, *, now: float) -> bytes:
        """The answer that replaces the policy of a running licence by ``term``.

        Raises :class:`LicenceRefusedError` when the term is over or the challenge is a release: :meth:`end` answers
        one. Raises :class:`ValueError` for a persistent term without an end.
        """
        if challenge.release:
            raise LicenceRefusedError("released", "Widevine: a licence given back cannot be renewed")
        stored = term.persistent and challenge.existing.identification.type != LicenceType.STREAMING
        return self._answer(challenge, Policy.of(term, now, stored=stored), term.until, now)

    def end(self, challenge: ExistingLicenceRequest, *, now: float) -> bytes:
        """The answer after which nothing plays any more: to a release, or to a renewal that is refused."""
        return self._answer(challenge, Policy(can_play=False), challenge.until, now)

    def _open_new(self, message: SignedMessage, request: Request, wanted: Wanted, now: float) -> NewLicenceRequest:
        if bool(request.client_id) == bool(request.encrypted_client_id):
            raise LicenceRequestError("Widevine request: needs a client ID, either clear or encrypted")
        if request.client_id:
            client = ClientId.decode(request.client_id)
        else:
            client = decrypt_client_id(request.encrypted_client_id, self.services)
        certificate = self.roots.verify(client.token, now)
        if not verifies(certificate.signing_key, message.signature, message.body):
            raise LicenceRequestError("Widevine request: the signature is not the device's")
        model = self.status(Candidate(certificate, client))
        if isinstance(model, Unserved):
            raise LicenceRefusedError(model.value, f"Widevine: system ID {certificate.system_id} is not served")
        device = _device(certificate, client, model)
        return NewLicenceRequest(device, client, wanted, request.nonce, request.time, certificate, message.body)

    def _open_existing(
        self, message: SignedMessage, request: Request, existing: Existing, now: float
    ) -> ExistingLicenceRequest:
        state = State.open(self.sealer, existing.identification, SYSTEM)
        if not state.mac.verify(message.body, message.signature):
            raise LicenceRequestError("Widevine request: the signature is not the licence holder's")
        release = request.type is RequestType.RELEASE
        if state.until and state.until <= now and not release:
            raise LicenceRefusedError("expired", "Widevine licence: its term is over")
        return ExistingLicenceRequest(
            state.device,
            state.session,
            state.until,
            release,
            existing.identification.version,
            existing.playing_for,
            request.time,
            existing,
            state.mac,
        )

    def _answer(self, challenge: ExistingLicenceRequest, policy: Policy, until: float, now: float) -> bytes:
        found = challenge.existing.identification
        state = State(challenge.mac, challenge.device, until, challenge.session)
        renewed = state.seal(self.sealer, found.request_id, found.session_id, found.type, found.version + 1)
        return _signed(licence_message(renewed, policy, (), challenge.time or int(now)), challenge.mac)


def _device(certificate: DeviceCertificate, client: ClientId, model: Model) -> Device:
    if model.security is Security.HARDWARE:
        # Such a device vouches for its whole platform, and sends no list of program files.
        platform = Platform.VERIFIED
    else:
        platform = Platform.CLAIMED if client.verification else Platform.UNVERIFIED
    name, system_id = model.name or f"system ID {certificate.system_id}", certificate.system_id
    return Device(SYSTEM, certificate.digest, model.security, name, system_id=system_id, platform=platform)


def _usable(challenge: NewLicenceRequest, keys: Sequence[GrantedKey]) -> list[GrantedKey]:
    """The keys whose terms the device can meet; :class:`LicenceRefusedError` if there is none."""
    if not keys:
        raise LicenceRefusedError("no-key", "Widevine: no key is granted")
    trusted = challenge.device.security is Security.HARDWARE
    secure = [granted for granted in keys if trusted or granted.security is Security.SOFTWARE]
    if not secure:
        raise LicenceRefusedError("security-level", "Widevine: the device's security level is too low for every key")
    usable = [granted for granted in secure if challenge.client.capabilities.meet(granted)]
    if not usable:
        raise LicenceRefusedError("output-protection", "Widevine: the device's outputs are too open for every key")
    return usable


def _containers(exchange: ExchangeKeys, mac: MacKeys, keys: Sequence[GrantedKey], entropy: Entropy) -> list[bytes]:
    signing = signing_container(mac, exchange.encryption, entropy(16))
    return [signing, *(key_container(granted, exchange.encryption, entropy(16)) for granted in keys)]


def _signed(body: bytes, mac: MacKeys, *more: tuple[int, Value]) -> bytes:
    return encode((1, MessageType.LICENCE), (2, body), (3, mac.sign(body)), *more)
