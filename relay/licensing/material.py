"""The material that licences are made with, as read from files: plain values, which other processes can be given."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

from keys.licences.bridges.fairplay import FairPlayModule
from keys.licences.bridges.widevine import CloudAccount
from keys.licences.fairplay import FairPlayCredentials, FairPlayServer
from keys.licences.playready import PlayReadyServer
from keys.licences.widevine import Model, StatusList, WidevineServer


@dataclass(frozen=True, slots=True)
class WidevineMaterial:
    """What :class:`WidevineServer` is made from. ``services`` are certificates with their keys."""

    roots: tuple[bytes, ...] = field(repr=False)
    state_keys: tuple[bytes, ...] = field(repr=False)
    services: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    models: tuple[tuple[int, Model], ...]
    others: Model | None
    revoked: frozenset[bytes]

    def server(self) -> WidevineServer:
        """Raises :class:`ValueError` for material that is unusable."""
        status = StatusList(dict(self.models), self.revoked, self.others)
        return WidevineServer.load(roots=self.roots, state_keys=self.state_keys, services=self.services, status=status)


@dataclass(frozen=True, slots=True)
class PlayReadyMaterial:
    """What :class:`PlayReadyServer` is made from."""

    roots: tuple[bytes, ...] = field(repr=False)
    server_keys: tuple[bytes, ...] = field(repr=False)
    response_key: bytes = field(repr=False)
    response_chain: bytes = field(repr=False)
    software_level: int
    revoked: frozenset[bytes]

    def server(self) -> PlayReadyServer:
        """Raises :class:`ValueError` for material that is unusable."""
        return PlayReadyServer.load(
            roots=self.roots,
            server_keys=self.server_keys,
            response_key=self.response_key,
            response_chain=self.response_chain,
            software_level=self.software_level,
            revoked=self.revoked,
        )


@dataclass(frozen=True, slots=True)
class FairPlayMaterial:
    """What :class:`FairPlayServer` is made from: certificate, key and ASk of each credential set, and the plug-in."""

    credentials: tuple[tuple[bytes, bytes, bytes], ...] = field(repr=False)
    derive_secret: str

    @property
    def certificate(self) -> bytes:
        """The certificate (DER) for players."""
        return self.credentials[0][0]

    def server(self) -> FairPlayServer:
        """Raises :class:`ValueError` for material that is unusable, or a plug-in that cannot be had."""
        credentials = [FairPlayCredentials.load(*one) for one in self.credentials]
        return FairPlayServer(credentials, _plug_in(self.derive_secret, "derive_secret"))


@dataclass(frozen=True, slots=True)
class ServerMaterial:
    """Where a licence server is, and how long and how often it is asked. The URL may hold a secret."""

    url: str = field(repr=False)
    timeout_s: float
    requests: int


@dataclass(frozen=True, slots=True)
class WidevineBridgeMaterial:
    """What Google's licence service is asked with; ``state_keys`` seal what comes back in renewals."""

    server: ServerMaterial
    account: CloudAccount
    state_keys: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlayReadyBridgeMaterial:
    """What a PlayReady server is asked with; it shares ``secret`` (32 bytes)."""

    server: ServerMaterial
    secret: bytes = field(repr=False)
    software_level: int


@dataclass(frozen=True, slots=True)
class FairPlayBridgeMaterial:
    """The module of Apple's SDK, as its name, and the certificate (DER) for players."""

    certificate: bytes = field(repr=False)
    process: str

    def module(self) -> FairPlayModule:
        """Raises :class:`ValueError` for a module that cannot be had."""
        return FairPlayModule(_plug_in(self.process, "process"))


@dataclass(frozen=True, slots=True)
class Material:
    """Of each DRM system what licences are made with, here or by a bridge; None: not so."""

    widevine: WidevineMaterial | None = None
    playready: PlayReadyMaterial | None = None
    fairplay: FairPlayMaterial | None = None
    widevine_bridge: WidevineBridgeMaterial | None = None
    playready_bridge: PlayReadyBridgeMaterial | None = None
    fairplay_bridge: FairPlayBridgeMaterial | None = None

    @property
    def fairplay_certificate(self) -> bytes | None:
        """The FairPlay certificate (DER) for players."""
        fairplay = self.fairplay or self.fairplay_bridge
        return fairplay.certificate if fairplay else None


def _plug_in(name: str, what: str) -> Callable[..., bytes]:
    module, _, function = name.partition(":")
    try:
        found: Callable[..., bytes] = getattr(import_module(module), function)
    except (ImportError, AttributeError) as err:
        raise ValueError(f"{what}: {err}") from None
    return found
