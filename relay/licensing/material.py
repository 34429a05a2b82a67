"""The material that licences are made with, as read from files: plain values, which other processes can be given."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

from keys.licences.fairplay import FairPlayCredentials, FairPlayServer
from keys.licences.playready import PlayReadyServer
from keys.licences.widevine import Model, StatusList, WidevineServer

DeriveSecret = Callable[[bytes, bytes], bytes]


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
        return FairPlayServer(credentials, _plug_in(self.derive_secret))


@dataclass(frozen=True, slots=True)
class Material:
    """Of each DRM system what licences are made with; None: none are."""

    widevine: WidevineMaterial | None = None
    playready: PlayReadyMaterial | None = None
    fairplay: FairPlayMaterial | None = None


def _plug_in(name: str) -> DeriveSecret:
    module, _, function = name.partition(":")
    try:
        found: DeriveSecret = getattr(import_module(module), function)
    except (ImportError, AttributeError) as err:
        raise ValueError(f"derive_secret: {err}") from None
    return found
