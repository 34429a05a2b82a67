"""The secrets that a configuration names by files: read once, checked, and never printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keys.errors import KeyRingError
from keys.licences.widevine import Model
from keys.material import RootKey
from keys.ring import KeyRing
from policies.text import level_of
from relay.config import (
    Config,
    IssuerConfig,
    TokenKeyConfig,
    TransmitterConfig,
    read_binary,
    read_secret,
    read_text,
)
from relay.errors import ConfigError
from relay.gate.dialects.keys import MIN_SECRET_BYTES, SYMMETRIC, TokenKey
from relay.gate.dialects.registry import DIALECTS, options_of
from relay.licensing.material import FairPlayMaterial, Material, PlayReadyMaterial, WidevineMaterial
from relay.licensing.settings import CredentialsConfig, FairPlayConfig, PlayReadyConfig, WidevineConfig
from relay.purchases.signatures import read_secret_text

MIN_API_KEY_CHARACTERS = 32
_PUT_THERE = "Put the shared secret there."
_FROM_OWNER = "Put there what the owner of the DRM system gave you."


@dataclass(frozen=True, slots=True)
class TransmitterSecrets:
    """Of a Shared Signals transmitter: its keys, and the bearer tokens to push and to poll with; empty: none."""

    keys: tuple[TokenKey, ...]
    push_token: str = field(default="", repr=False)
    poll_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the configuration's files hold.

    ``issuers`` are the keys of each token issuer, ``options`` its dialect's options, secret ones among them;
    ``purchases`` are what each source of purchases signs with.
    """

    ring: KeyRing
    issuers: Mapping[str, list[TokenKey]]
    api_key: bytes = field(repr=False)
    options: Mapping[str, object] = field(default_factory=dict)
    transmitters: Mapping[str, TransmitterSecrets] = field(default_factory=dict)
    log_password: str = field(default="", repr=False)
    licences: Material = field(default_factory=Material)
    purchases: Mapping[str, Sequence[bytes]] = field(default_factory=dict, repr=False)


def read_secrets(config: Config, base: Path) -> Secrets:
    """Read the files a configuration names, relative to ``base``. Raises :class:`ConfigError`."""
    try:
        ring = KeyRing(
            RootKey(root.generation, read_secret(base, root.file, f"keys.roots[{number}].file"), root.active_from)
            for number, root in enumerate(config.keys.roots)
        )
    except KeyRingError as err:
        raise ConfigError(f"keys.roots: {err}. Make one with 'segmentgate keys new'.") from None
    issuers, options = {}, {}
    for number, issuer in enumerate(config.tokens.issuers):
        where, least = f"tokens.issuers[{number}]", DIALECTS[issuer.dialect].min_secret_bytes
        issuers[issuer.iss] = [
            _token_key(base, key, f"{where}.keys[{at}].file", least) for at, key in enumerate(issuer.keys)
        ]
        options[issuer.iss] = read_options(base, issuer, f"{where}.options")
    return Secrets(
        ring=ring,
        issuers=issuers,
        api_key=_bearer(base, config.control.api_key_file, "control.api_key_file").encode(),
        options=options,
        transmitters={
            transmitter.iss: _transmitter(base, transmitter, f"transmitters[{number}]")
            for number, transmitter in enumerate(config.transmitters)
        },
        log_password=_text(base, config.state.log_password_file, "state.log_password_file"),
        licences=_material(base, config, ring),
        purchases={
            source.name: [
                _webhook_secret(base, file, f"purchases.sources[{number}].secret_files[{at}]")
                for at, file in enumerate(source.secret_files)
            ]
            for number, source in enumerate(config.purchases.sources)
        },
    )


def read_options(base: Path, issuer: IssuerConfig, where: str) -> object:
    """The options of an issuer's dialect, secret ones from their files. Raises :class:`ConfigError`."""
    given: dict[str, object] = dict(issuer.options)
    for name, is_text in DIALECTS[issuer.dialect].secrets.items():
        file = given.pop(f"{name}_file", "")
        if file:
            path = f"{where}.{name}_file"
            given[name] = _text(base, str(file), path) if is_text else read_secret(base, str(file), path)
    try:
        return options_of(issuer.dialect, given)
    except ValueError as err:
        raise ConfigError(f"{where}: {err}. Put another key there.") from None


def _token_key(base: Path, key: TokenKeyConfig, where: str, least: int = MIN_SECRET_BYTES) -> TokenKey:
    try:
        if key.alg == SYMMETRIC:
            secret = read_secret(base, key.file, where)
            if len(secret) < least:
                raise ValueError(f"a secret of this dialect needs at least {least} bytes")
            return TokenKey(key.kid, key.alg, secret, key.retire_at)
        remedy = f"Put the PEM public key of {key.kid!r} there."
        return TokenKey.public(key.kid, key.alg, read_text(base, key.file, where, remedy), key.retire_at)
    except ValueError as err:
        raise ConfigError(f"{base / key.file}: {where}: {err}. Put the key of {key.kid!r} there.") from None


def _transmitter(base: Path, transmitter: TransmitterConfig, where: str) -> TransmitterSecrets:
    return TransmitterSecrets(
        tuple(_token_key(base, key, f"{where}.keys[{at}].file") for at, key in enumerate(transmitter.keys)),
        transmitter.push_token_file and _bearer(base, transmitter.push_token_file, f"{where}.push_token_file"),
        _text(base, transmitter.poll_token_file, f"{where}.poll_token_file"),
    )


def _webhook_secret(base: Path, file: str, where: str) -> bytes:
    try:
        return read_secret_text(read_text(base, file, where))
    except ValueError as err:
        raise ConfigError(f"{base / file}: {where}: {err}. {_PUT_THERE}") from None


def _text(base: Path, file: str, where: str) -> str:
    return read_text(base, file, where, _PUT_THERE) if file else ""


def _bearer(base: Path, file: str, where: str) -> str:
    text = read_text(base, file, where)
    if len(text) < MIN_API_KEY_CHARACTERS:
        raise ConfigError(
            f"{base / file}: {where}: shorter than {MIN_API_KEY_CHARACTERS} characters. "
            "Make one with 'segmentgate keys new'."
        )
    return text


def _material(base: Path, config: Config, ring: KeyRing) -> Material:
    licences = config.licences
    material = Material(
        _widevine(base, licences.widevine, ring, "licences.widevine") if licences.widevine else None,
        _playready(base, licences.playready, "licences.playready") if licences.playready else None,
        _fairplay(base, licences.fairplay, "licences.fairplay") if licences.fairplay else None,
    )
    for name in ("widevine", "playready", "fairplay"):
        try:
            one = getattr(material, name)
            # Made here only to see that it can be: the processes that issue licences make their own.
            _ = one and one.server()
        except ValueError as err:
            raise ConfigError(f"licences.{name}: {err}. {_FROM_OWNER}") from None
    return material


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
