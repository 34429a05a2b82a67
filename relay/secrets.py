"""The secrets that a configuration names by files: read once, checked, and never printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from keys.errors import ExchangeError, KeyRingError
from keys.exchange.encryption import public_key
from keys.exchange.packager import Signer
from keys.material import RootKey
from keys.ring import KeyRing
from keys.watermark import KEY_BYTES
from relay.config import Config, read_secret, read_text
from relay.errors import ConfigError
from relay.exchange.material import KeyServerMaterial
from relay.exchange.settings import KeyServerConfig, PackagerConfig
from relay.gate.dialects.keys import MIN_SECRET_BYTES, SYMMETRIC, TokenKey
from relay.gate.dialects.registry import DIALECTS, options_of
from relay.licensing.material import Material
from relay.licensing.secrets import read_material
from relay.purchases.signatures import read_secret_text
from relay.token_settings import IssuerConfig, TokenKeyConfig, TransmitterConfig
from relay.watermark.etsi.pattern_encryption import PatternKeys
from relay.watermark.etsi.vendors import Vendor, VendorKey
from relay.watermark.settings import VendorConfig, VendorKeyConfig

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

    ``issuers`` are the keys of each token issuer, ``options`` its dialect's options, secret ones among them;
    ``purchases`` are what each source of purchases signs with, ``detectors`` what each detector of watermarks does;
    ``watermark`` is what keys of watermarked assets are derived from, if that is a secret of its own; ``chip_key`` is
    that of assets which were marked with another than follows from it; ``code_keys`` are those of streams whose assets'
    keys are not derived here, ``vendors`` those whose tokens choose variants instead.
    """

    ring: KeyRing
    issuers: Mapping[str, list[TokenKey]]
    api_key: bytes = field(repr=False)
    options: Mapping[str, object] = field(default_factory=dict)
    transmitters: Mapping[str, TransmitterSecrets] = field(default_factory=dict)
    log_password: str = field(default="", repr=False)
    licences: Material = field(default_factory=Material)
    packagers: Mapping[str, Signer] = field(default_factory=dict)
    key_servers: Mapping[str, KeyServerMaterial] = field(default_factory=dict)
    webhooks: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict, repr=False)
    purchases: Mapping[str, Sequence[bytes]] = field(default_factory=dict, repr=False)
    watermark: bytes = field(default=b"", repr=False)
    chip_key: bytes = field(default=b"", repr=False)
    code_keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    vendors: tuple[Vendor, ...] = ()

    @property
    def watermark_secret(self) -> bytes:
        """What the keys of watermarked assets are derived from, where they do not come from elsewhere.

        That of its own or, without one, of the oldest root: what was served must be found when newer ones have come.
        """
        return self.watermark or self.ring.service_keys("watermark")[-1]

    detectors: Mapping[str, Sequence[bytes]] = field(default_factory=dict, repr=False)


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
        packagers={
            packager.signer: _signer(base, packager, f"packagers[{number}]")
            for number, packager in enumerate(config.packagers)
        },
        key_servers={
            name: _key_server(base, stream.key_server, f"streams.{name}.key_server")
            for name, stream in config.streams.items()
            if stream.key_server
        },
        webhooks={
            hook.name: _webhook_secrets(base, hook.secret_files, f"webhooks[{number}]")
            for number, hook in enumerate(config.webhooks)
        },
        purchases=_told_apart(
            base, "purchases.sources", [(source.name, source.secret_files) for source in config.purchases.sources]
        ),
        detectors=_told_apart(
            base, "watermark.detectors", [(one.name, one.secret_files) for one in config.watermark.detectors]
        ),
        watermark=_watermark_secret(base, config.watermark.secret_file),
        chip_key=_asset_key(base, config.watermark.analysis.chip_key_file, "watermark.analysis.chip_key_file"),
        code_keys={
            name: _asset_key(base, stream.watermark.code_key_file, f"streams.{name}.watermark.code_key_file")
            for name, stream in config.streams.items()
            if stream.watermark and stream.watermark.code_key_file
        },
        vendors=tuple(
            _vendor(base, vendor, f"watermark.vendors[{number}]")
            for number, vendor in enumerate(config.watermark.vendors)
        ),
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


def _told_apart(base: Path, section: str, signers: Sequence[tuple[str, Sequence[str]]]) -> dict[str, tuple[bytes, ...]]:
    """The secrets of those who sign webhooks, by name."""
    found: dict[str, tuple[bytes, ...]] = {}
    for number, (name, files) in enumerate(signers):
        where = f"{section}[{number}]"
        secrets = _webhook_secrets(base, files, where)
        for other, others in found.items():
            if set(secrets) & set(others):
                # A signature is all that tells one from another.
                raise ConfigError(f"{where}.secret_files: has a secret of {other!r}. Give each its own.")
        found[name] = secrets
    return found


def _webhook_secrets(base: Path, files: Sequence[str], where: str) -> tuple[bytes, ...]:
    return tuple(_webhook_secret(base, file, f"{where}.secret_files[{at}]") for at, file in enumerate(files))


def _webhook_secret(base: Path, file: str, where: str) -> bytes:
    """As hex, or in the spelling of Standard Webhooks: ``whsec_`` and base64."""
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


def _signer(base: Path, packager: PackagerConfig, where: str) -> Signer:
    try:
        if not packager.rsa_key:
            key = read_secret(base, packager.key_file, f"{where}.key_file")
            return Signer(packager.signer, key, read_secret(base, packager.iv_file, f"{where}.iv_file"))
        rsa = load_pem_public_key(read_text(base, packager.rsa_key, f"{where}.rsa_key", _PUT_THERE).encode())
        if not isinstance(rsa, RSAPublicKey):
            raise ValueError("not an RSA key")
        return Signer(packager.signer, rsa_key=rsa)
    except ValueError as err:
        raise ConfigError(f"{where}: {err}. Put the signing key of {packager.signer!r} there.") from None


def _watermark_secret(base: Path, file: str) -> bytes:
    secret = read_secret(base, file, "watermark.secret_file") if file else b""
    if file and len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"{base / file}: watermark.secret_file: {len(secret)} bytes, needs at least {MIN_SECRET_BYTES}. "
            "Make one with 'segmentgate keys new'."
        )
    return secret


def _asset_key(base: Path, file: str, where: str) -> bytes:
    key = read_secret(base, file, where) if file else b""
    if file and len(key) != KEY_BYTES:
        raise ConfigError(f"{base / file}: {where}: {len(key)} bytes, this key has {KEY_BYTES}. Put it there as hex.")
    return key


def _vendor(base: Path, vendor: VendorConfig, where: str) -> Vendor:
    def key(one: VendorKeyConfig, place: str) -> VendorKey:
        if one.alg.startswith("HS"):
            return VendorKey.load(one.alg, read_secret(base, one.file, place))
        return VendorKey.load(one.alg, read_text(base, one.file, place, "Put a PEM public key there.").encode())

    shared, private = vendor.pattern_key_file, vendor.pattern_private_key
    try:
        return Vendor(
            vendor.number,
            tuple(key(one, f"{where}.keys[{at}].file") for at, one in enumerate(vendor.keys)),
            PatternKeys.load(
                read_secret(base, shared, f"{where}.pattern_key_file") if shared else b"",
                _text(base, private, f"{where}.pattern_private_key").encode(),
            ),
            vendor.derives,
            vendor.issuer,
        )
    except (ValueError, TypeError) as err:
        raise ConfigError(f"{where}: {err}. Put the keys of vendor {vendor.number} there.") from None


def _key_server(base: Path, server: KeyServerConfig, where: str) -> KeyServerMaterial:
    authorization = _text(base, server.authorization_file, f"{where}.authorization_file")
    if not authorization.isprintable():
        raise ConfigError(f"{where}.authorization_file: more than one line. Put the value of the header there.")
    if not server.certificate:
        return KeyServerMaterial(server, authorization)
    remedy = "Put an RSA key of 2048 bits or more and its certificate there, as PEM."
    try:
        pem = read_text(base, server.certificate, f"{where}.certificate", remedy).encode()
        certificate = load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
        key = load_pem_private_key(read_text(base, server.key, f"{where}.key", remedy).encode(), None)
        if not isinstance(key, RSAPrivateKey) or public_key(certificate) != key.public_key():
            raise ValueError("the key is not that of the certificate")
    except (ValueError, TypeError, ExchangeError) as err:
        raise ConfigError(f"{where}.certificate, {where}.key: {err}. {remedy}") from None
    return KeyServerMaterial(server, authorization, (certificate, key))
