"""The secrets that a configuration names by files: read once, checked, and never printed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keys.errors import KeyRingError
from keys.material import RootKey
from keys.ring import KeyRing
from relay.config import (
    Config,
    IssuerConfig,
    TokenKeyConfig,
    TransmitterConfig,
    read_secret,
    read_text,
)
from relay.errors import ConfigError
from relay.gate.dialects.keys import MIN_SECRET_BYTES, SYMMETRIC, TokenKey
from relay.gate.dialects.registry import DIALECTS, options_of
from relay.licensing.material import Material
from relay.licensing.secrets import read_material

MIN_API_KEY_CHARACTERS = 32
_PUT_THERE = "Put the shared secret there."


@dataclass(frozen=True, slots=True)
class TransmitterSecrets:
    """Of a Shared Signals transmitter: its keys, and the bearer tokens to push and to poll with; empty: none."""

    keys: tuple[TokenKey, ...]
    push_token: str = field(default="", repr=False)
    poll_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the configuration's files hold.

    ``issuers`` are the keys of each token issuer, ``options`` its dialect's options, secret ones among them.
    """

    ring: KeyRing
    issuers: Mapping[str, list[TokenKey]]
    api_key: bytes = field(repr=False)
    options: Mapping[str, object] = field(default_factory=dict)
    transmitters: Mapping[str, TransmitterSecrets] = field(default_factory=dict)
    log_password: str = field(default="", repr=False)
    licences: Material = field(default_factory=Material)


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
        licences=read_material(config.licences, base, ring),
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
