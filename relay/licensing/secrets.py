"""The files that the DRM systems' settings name, read and checked: the material that licences are made with."""

from collections.abc import Callable, Sequence
from pathlib import Path

from keys.licences.bridges.widevine import CloudAccount
from keys.licences.widevine import Model
from keys.ring import KeyRing
from policies.text import level_of
from relay.config import read_binary, read_secret, read_text
from relay.errors import ConfigError
from relay.licensing.material import (
    FairPlayBridgeMaterial,
    FairPlayMaterial,
    Material,
    PlayReadyBridgeMaterial,
    PlayReadyMaterial,
    ServerMaterial,
    WidevineBridgeMaterial,
    WidevineMaterial,
)
from relay.licensing.settings import (
    CredentialsConfig,
    FairPlayBridgeConfig,
    FairPlayConfig,
    LicencesConfig,
    PlayReadyBridgeConfig,
    PlayReadyConfig,
    WidevineBridgeConfig,
    WidevineConfig,
)

_FROM_OWNER = "Put there what the owner of the DRM system gave you."
_SECRET_BYTES = 32


def read_material(licences: LicencesConfig, base: Path, ring: KeyRing) -> Material:
    """What licences are made with, from files relative to ``base``. Raises :class:`ConfigError`."""
    own_widevine, own_playready, own_fairplay = licences.widevine, licences.playready, licences.fairplay
    widevine, playready, fairplay = licences.widevine_bridge, licences.playready_bridge, licences.fairplay_bridge
    material = Material(
        _widevine(base, own_widevine, ring, "licences.widevine") if own_widevine else None,
        _playready(base, own_playready, "licences.playready") if own_playready else None,
        _fairplay(base, own_fairplay, "licences.fairplay") if own_fairplay else None,
        _widevine_bridge(base, widevine, ring, "licences.widevine_bridge") if widevine else None,
        _playready_bridge(base, playready, "licences.playready_bridge") if playready else None,
        _fairplay_bridge(base, fairplay, "licences.fairplay_bridge") if fairplay else None,
    )
    # Made here only to see that they can be: the processes that issue licences make their own.
    if material.widevine:
        _check("widevine", material.widevine.server)
    if material.playready:
        _check("playready", material.playready.server)
    if material.fairplay:
        _check("fairplay", material.fairplay.server)
    if material.fairplay_bridge:
        _check("fairplay_bridge", material.fairplay_bridge.module)
    return material


def _check(name: str, make: Callable[[], object]) -> None:
    try:
        make()
    except ValueError as err:
        raise ConfigError(f"licences.{name}: {err}. {_FROM_OWNER}") from None


def _widevine_bridge(base: Path, bridge: WidevineBridgeConfig, ring: KeyRing, where: str) -> WidevineBridgeMaterial:
    key, iv = (read_secret(base, file, f"{where}.{name}") for name, file in (("key", bridge.key), ("iv", bridge.iv)))
    try:
        account = CloudAccount(bridge.provider, key, iv, bridge.policy)
    except ValueError as err:
        raise ConfigError(f"{where}: {err}. {_FROM_OWNER}") from None
    server = ServerMaterial(bridge.url, bridge.timeout.seconds, bridge.requests)
    return WidevineBridgeMaterial(server, account, ring.service_keys("widevine bridge"))


def _playready_bridge(base: Path, bridge: PlayReadyBridgeConfig, where: str) -> PlayReadyBridgeMaterial:
    secret = read_secret(base, bridge.secret, f"{where}.secret")
    if len(secret) != _SECRET_BYTES:
        raise ConfigError(
            f"{where}.secret: {len(secret)} bytes, expected {_SECRET_BYTES}. Make one with 'segmentgate keys new'."
        )
    server = ServerMaterial(bridge.url, bridge.timeout.seconds, bridge.requests)
    return PlayReadyBridgeMaterial(server, secret, bridge.software_level)


def _fairplay_bridge(base: Path, bridge: FairPlayBridgeConfig, where: str) -> FairPlayBridgeMaterial:
    certificate = read_binary(base, bridge.certificate, f"{where}.certificate", _FROM_OWNER)
    return FairPlayBridgeMaterial(certificate, bridge.process)


def _widevine(base: Path, widevine: WidevineConfig, ring: KeyRing, where: str) -> WidevineMaterial:
    services = [
        (
            read_binary(base, service.certificate, f"{where}.services[{at}].certificate", _FROM_OWNER),
            read_binary(base, service.key, f"{where}.services[{at}].key", _FROM_OWNER),
        )
        for at, service in enumerate(widevine.services)
    ]
    return WidevineMaterial(
        roots=_binaries(base, widevine.roots, f"{where}.roots"),
        state_keys=ring.service_keys("widevine state"),
        services=tuple(services),
        models=tuple((one.system_id, Model(level_of(one.security), one.name)) for one in widevine.devices),
        others=None if widevine.others == "refuse" else Model(level_of(widevine.others)),
        revoked=frozenset(map(bytes.fromhex, widevine.revoked)),
    )


def _playready(base: Path, playready: PlayReadyConfig, where: str) -> PlayReadyMaterial:
    return PlayReadyMaterial(
        roots=_binaries(base, playready.roots, f"{where}.roots"),
        server_keys=_binaries(base, playready.server_keys, f"{where}.server_keys"),
        response_key=read_binary(base, playready.response_key, f"{where}.response_key", _FROM_OWNER),
        response_chain=read_binary(base, playready.response_chain, f"{where}.response_chain", _FROM_OWNER),
        software_level=playready.software_level,
        revoked=frozenset(map(bytes.fromhex, playready.revoked)),
    )


def _fairplay(base: Path, fairplay: FairPlayConfig, where: str) -> FairPlayMaterial:
    sets = (_credentials(base, one, f"{where}.credentials[{at}]") for at, one in enumerate(fairplay.credentials))
    return FairPlayMaterial(tuple(sets), fairplay.derive_secret)


def _credentials(base: Path, one: CredentialsConfig, where: str) -> tuple[bytes, bytes, bytes]:
    try:
        secret = bytes.fromhex(read_text(base, one.ask, f"{where}.ask", _FROM_OWNER))
    except ValueError:
        raise ConfigError(f"{base / one.ask}: {where}.ask: not hexadecimal. {_FROM_OWNER}") from None
    return (
        read_binary(base, one.certificate, f"{where}.certificate", _FROM_OWNER),
        read_binary(base, one.key, f"{where}.key", _FROM_OWNER),
        secret,
    )


def _binaries(base: Path, files: Sequence[str], where: str) -> tuple[bytes, ...]:
    return tuple(read_binary(base, file, f"{where}[{at}]", _FROM_OWNER) for at, file in enumerate(files))
