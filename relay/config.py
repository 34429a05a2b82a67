"""The configuration file: TOML, read once, frozen and strict.

Unknown names are refused with their path, durations and sizes carry a unit, and secrets are paths of
files, relative to the configuration file. ``deploy/relay.toml`` shows every setting with its default.
"""

import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct, field

from keys.licences.detect import MAX_BODY_BYTES
from keys.model import MAX_ROOT_GENERATION, Scheme, TrackType
from keys.periods import RotationPolicy
from relay.api_keys import MAX_KEYS, ApiKeyConfig, check_api_keys
from relay.errors import ConfigError, OriginForeignError
from relay.exchange.settings import KeyServerConfig, PackagerConfig, check_key_server, check_packagers
from relay.licensing.settings import LicenceConfig, LicencesConfig, check_licence, check_licences
from relay.manifest.dash.mpd import MAX_BYTES as MAX_MPD_BYTES
from relay.manifest.hls.playlist import MAX_BYTES as MAX_PLAYLIST_BYTES
from relay.media.init_segment import MAX_INIT_BYTES
from relay.model import IN_CLEAR, LimitCount, LimitMode, LimitScope, ManifestClass, Signalling, StreamLimit, System
from relay.purchases.settings import PurchasesConfig, check_purchases
from relay.sources import OriginScope
from relay.token_settings import TokensConfig, TransmitterConfig, check_tokens, check_transmitters
from relay.units import Address, Duration, Name, Size
from relay.watermark.settings import MarkConfig, WatermarkConfig, check_mark, check_marks, check_watermark
from relay.webhooks.settings import MAX_WEBHOOKS, WebhookConfig, check_webhooks

OptionalName = Annotated[str, Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,63})?\Z")]
NonEmpty = Annotated[str, Meta(min_length=1, max_length=512)]
BaseUrl = Annotated[str, Meta(pattern=r"^https?://[^\s?#@/]+/([^\s?#@]*/)?\Z", max_length=1024)]
HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}\Z")]
OptionalHeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{0,64}\Z")]
Cidr = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]+/[0-9]{1,3}\Z")]
LogUrl = Annotated[str, Meta(pattern=r"^((rediss?|unix)://[^\s@]+)?\Z", max_length=512)]


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the sections: frozen, and refusing names it does not know."""


class EdgeConfig(_Section, frozen=True):
    """The player-facing listener. ``public_url`` is how players reach it when a proxy stands in front."""

    listen: Address = Address("0.0.0.0:8080")
    public_url: Annotated[str, Meta(pattern=r"^(https?://[^\s?#@/]+)?\Z")] = ""
    show_reason: bool = True
    tls_certificate: str = ""
    tls_key: str = ""
    head_timeout: Duration = Duration.parse("10s")
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    drain: Duration = Duration.parse("10s")
    trusted_proxies: Annotated[tuple[Cidr, ...], Meta(max_length=64)] = ()
    address_header: HeaderName = "X-Forwarded-For"
    asn_header: OptionalHeaderName = ""
    country_header: OptionalHeaderName = ""
    region_header: OptionalHeaderName = ""
    credentialed_origins: tuple[Annotated[str, Meta(pattern=r"^https?://[^\s?#@/]+$")], ...] = ()
    max_challenge: Size = Size(64 * 1024)


class ControlConfig(_Section, frozen=True):
    """The operator-facing listener; keep it off the internet."""

    api_key_file: NonEmpty
    listen: Address = Address("127.0.0.1:8081")
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    probe: Duration = Duration.parse("1m")
    keys: Annotated[tuple[ApiKeyConfig, ...], Meta(max_length=MAX_KEYS)] = ()


class RootKeyConfig(_Section, frozen=True):
    """One root secret: at least 32 random bytes as hex. ``active_from`` is stream time in ms."""

    generation: Annotated[int, Meta(ge=0, le=MAX_ROOT_GENERATION)]
    file: NonEmpty
    active_from: Annotated[int, Meta(ge=0)] = 0


class KeysConfig(_Section, frozen=True):
    """The root keys, oldest first."""

    roots: Annotated[tuple[RootKeyConfig, ...], Meta(min_length=1, max_length=8)]


class OriginConfig(_Section, frozen=True):
    """Limits of what is pulled from origins."""

    connect_timeout: Duration = Duration.parse("5s")
    read_timeout: Duration = Duration.parse("20s")
    total_timeout: Duration = Duration.parse("2m")
    max_manifest: Size = Size.parse("8MiB")
    max_segment: Size = Size.parse("128MiB")
    max_init: Size = Size.parse("1MiB")
    connections: Annotated[int, Meta(ge=1, le=10_000)] = 256


class CacheConfig(_Section, frozen=True):
    """Memory for what is served again."""

    segments: Size = Size.parse("256MiB")
    manifests: Size = Size.parse("16MiB")


class StateConfig(_Section, frozen=True):
    """Where this node keeps its journal, and the log it shares with other nodes.

    Without a directory, revocations do not survive a restart. ``log`` is the URL of a Valkey or Redis server;
    ``node`` is the name shown to operators. ``stale_after`` is the age of state past which a stream's ``stale``
    policy applies, ``grace`` how long existing sessions go on under the policy of that name.
    """

    directory: str = ""
    log: LogUrl = ""
    log_password_file: str = ""
    namespace: Name = "segmentgate"
    node: OptionalName = ""
    stale_after: Duration = Duration.parse("5s")
    grace: Duration = Duration.parse("60s")


class RotationConfig(_Section, frozen=True):
    """When content keys change. An ``interval`` of 0s keeps one key."""

    interval: Duration = Duration.parse("10m")
    pre_delivery: Duration = Duration.parse("30s")
    vod: bool = False
    salt: bool = False


class LimitConfig(_Section, frozen=True):
    """How many concurrent streams an account may have; 0: no limit.

    ``lease`` is how long a slot is held without a segment request, ``extra`` how many streams more a node admits
    on its own while the shared log is out of reach.
    """

    streams: Annotated[int, Meta(ge=0, le=1000)] = 0
    mode: LimitMode = LimitMode.DENY_NEW
    scope: LimitScope = LimitScope.ACCOUNT
    count: LimitCount = LimitCount.SESSIONS
    lease: Duration = Duration.parse("15s")
    extra: Annotated[int, Meta(ge=0, le=1000)] = 1

    def stream_limit(self) -> StreamLimit | None:
        """The limit as sessions carry it; None where there is none."""
        return StreamLimit(self.streams, self.mode, self.scope, self.count) if self.streams else None


class StreamConfig(_Section, frozen=True):
    """One stream: where it comes from and how it is protected.

    ``hls`` and ``dash`` are the entry manifests below ``origin``; ``also`` lists further bases that
    manifests may point to. ``entitlement`` says whether viewers need one beside their token.
    """

    origin: BaseUrl
    also: Annotated[tuple[BaseUrl, ...], Meta(max_length=8)] = ()
    hls: str = ""
    dash: str = ""
    scheme: Scheme = Scheme.CENC
    schemes: tuple[Scheme, ...] = (Scheme.CENC, Scheme.CBCS, Scheme.AES128)
    signalling: Signalling = Signalling.STABLE
    systems: tuple[System, ...] = (System.CLEARKEY, System.IDENTITY)
    default_track: TrackType = TrackType.HD
    window: Duration = Duration.parse("2h")
    rotation: RotationConfig = field(default_factory=RotationConfig)
    limit: LimitConfig = field(default_factory=LimitConfig)
    licence: LicenceConfig = field(default_factory=LicenceConfig)
    stale: Literal["closed", "grace", "open"] = "grace"
    key_server: KeyServerConfig | None = None
    entitlement: Literal["token", "required"] = "token"
    watermark: MarkConfig | None = None

    def rotation_policy(self) -> RotationPolicy:
        """The rotation as the key schedule reads it. Raises ValueError for contradictions."""
        rotation = self.rotation
        return RotationPolicy(
            interval_ms=int(rotation.interval),
            # Where keys do not rotate they still change at the edges of scenes.
            pre_delivery_ms=int(rotation.pre_delivery),
            vod=rotation.vod,
        )

    @property
    def in_clear(self) -> bool:
        """Whether any keys go to players that keep no terms, as those of Clear Key and AES-128.

        Not where the stream's own systems are all of the kind that does, or its licences ask which device it is.
        """
        return not IN_CLEAR.isdisjoint(self.systems) and not self.licence.devices.asks

    def default_class(self) -> ManifestClass:
        """The class of a viewer who asks for nothing else."""
        return ManifestClass(self.scheme, self.signalling, tuple(sorted(set(self.systems))))


class Config(_Section, frozen=True):
    """The whole file."""

    control: ControlConfig
    keys: KeysConfig
    tokens: TokensConfig
    streams: Annotated[dict[Name, StreamConfig], Meta(min_length=1)]
    edge: EdgeConfig = field(default_factory=EdgeConfig)
    origin: OriginConfig = field(default_factory=OriginConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    state: StateConfig = field(default_factory=StateConfig)
    licences: LicencesConfig = field(default_factory=LicencesConfig)
    transmitters: Annotated[tuple[TransmitterConfig, ...], Meta(max_length=16)] = ()
    packagers: Annotated[tuple[PackagerConfig, ...], Meta(max_length=32)] = ()
    webhooks: Annotated[tuple[WebhookConfig, ...], Meta(max_length=MAX_WEBHOOKS)] = ()
    purchases: PurchasesConfig = field(default_factory=PurchasesConfig)
    watermark: WatermarkConfig = field(default_factory=WatermarkConfig)


MAX_WINDOW_PERIODS = 256
_WRITTEN = {Duration: Duration.parse, Size: Size.parse, Address: Address.parse}


def load_config(path: Path) -> Config:
    """Read and check a configuration file. Raises :class:`ConfigError` with file, key path and remedy."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {err.strerror}. Give the path of an existing file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as err:
        raise ConfigError(f"{path}: not valid TOML: {err}. Correct the syntax there.") from None
    return parse_config(raw, str(path))


def parse_config(raw: dict[str, Any], name: str) -> Config:
    """Check configuration values; ``name`` stands for the file in errors. Raises :class:`ConfigError`."""
    try:
        config = msgspec.convert(raw, Config, dec_hook=_decode_written)
    except msgspec.ValidationError as err:
        located = _located_in_stream(raw) or _located(str(err))
        raise ConfigError(f"{name}: {located}. See deploy/relay.toml for every setting.") from None
    check_tokens(f"{name}: tokens", config.tokens, frozenset(config.streams))
    check_transmitters(f"{name}: transmitters", config.transmitters)
    check_api_keys(f"{name}: control.keys", config.control.keys)
    check_webhooks(f"{name}: webhooks", config.webhooks, config.streams)
    _check_edge(f"{name}: edge", config.edge)
    _check_origin(f"{name}: origin", config.origin)
    _check_state(f"{name}: state", config.state)
    check_licences(f"{name}: licences", config.licences)
    check_packagers(f"{name}: packagers", config.packagers, config.streams)
    check_purchases(
        f"{name}: purchases", config.purchases, config.streams, [issuer.iss for issuer in config.tokens.issuers]
    )
    check_watermark(f"{name}: watermark", config.watermark)
    for stream_name, stream in config.streams.items():
        _check_stream(f"{name}: streams.{stream_name}", stream)
        if stream.watermark:
            check_mark(f"{name}: streams.{stream_name}.watermark", stream.watermark, config.watermark)
        if stream.rotation.salt and not config.state.directory:
            raise ConfigError(
                f"{name}: streams.{stream_name}.rotation.salt: salts would be lost at a restart. Set state.directory."
            )
    check_marks(
        f"{name}: streams", {name: stream.watermark for name, stream in config.streams.items() if stream.watermark}
    )
    if config.edge.max_challenge > MAX_BODY_BYTES:
        raise ConfigError(f"{name}: edge.max_challenge: the parsers take at most {MAX_BODY_BYTES >> 10}KiB.")
    return config


def read_secret(base: Path, file: str, what: str) -> bytes:
    """The bytes of a secret kept as hex in a file named under the key path ``what``. Raises :class:`ConfigError`."""
    return _hex_of(read_text(base, file, what), f"{base / file}: {what}")


def read_text(base: Path, file: str, what: str, remedy: str = "Make one with 'segmentgate keys new'.") -> str:
    """A short text file named by the configuration under the key path ``what``. Raises :class:`ConfigError`."""
    try:
        return (base / file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "not text"
        raise ConfigError(f"{base / file}: {what}: cannot be read: {reason}. {remedy}") from None


def read_binary(base: Path, file: str, what: str, remedy: str) -> bytes:
    """A short binary file named by the configuration under the key path ``what``. Raises :class:`ConfigError`."""
    try:
        return (base / file).read_bytes()
    except OSError as err:
        raise ConfigError(f"{base / file}: {what}: cannot be read: {err.strerror}. {remedy}") from None


def _hex_of(text: str, where: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ConfigError(f"{where}: not hexadecimal. Make one with 'segmentgate keys new'.") from None


def _decode_written(kind: type, value: Any) -> Any:
    parse = _WRITTEN.get(kind)
    if parse is None or not isinstance(value, str):
        raise ValueError(f"expected text with a unit, got {value!r}")
    return parse(value)


def _located(message: str, inside: str = "") -> str:
    what, _, where = message.partition(" - at `$")
    path = (inside + where.rstrip("`")).lstrip(".")
    return f"{path}: {what}" if path else what


def _located_in_stream(raw: dict[str, Any]) -> str | None:
    # msgspec does not say which member of a table failed, so ask each stream alone.
    streams = raw.get("streams")
    for name, stream in streams.items() if isinstance(streams, dict) else ():
        try:
            msgspec.convert(stream, StreamConfig, dec_hook=_decode_written)
        except msgspec.ValidationError as err:
            return _located(str(err), f"streams.{name}")
    return None


def _check_origin(where: str, origin: OriginConfig) -> None:
    for key in ("connect_timeout", "read_timeout", "total_timeout"):
        # To the HTTP client 0 means no limit.
        if not getattr(origin, key):
            raise ConfigError(f"{where}.{key}: 0 would wait for ever. Give a duration above it.")
    most = {"max_manifest": min(MAX_PLAYLIST_BYTES, MAX_MPD_BYTES), "max_init": MAX_INIT_BYTES}
    for key, limit in most.items():
        if getattr(origin, key) > limit:
            raise ConfigError(f"{where}.{key}: the parsers take at most {limit >> 20}MiB. Give that or less.")


def _check_edge(where: str, edge: EdgeConfig) -> None:
    if not edge.head_timeout:
        raise ConfigError(f"{where}.head_timeout: 0 would close every connection. Give a duration above it.")
    for number, proxy in enumerate(edge.trusted_proxies):
        try:
            ip_network(proxy, strict=False)
        except ValueError:
            raise ConfigError(f"{where}.trusted_proxies[{number}]: {proxy!r} is no network. Write CIDR.") from None


def _check_state(where: str, state: StateConfig) -> None:
    if not state.stale_after:
        raise ConfigError(f"{where}.stale_after: 0 would take every state for stale. Give a duration above it.")
    if state.grace < state.stale_after:
        raise ConfigError(f"{where}.grace: shorter than stale_after. Give that or more.")


def _check_stream(where: str, stream: StreamConfig) -> None:
    if not stream.hls and not stream.dash:
        raise ConfigError(f"{where}: has no manifest. Set 'hls', 'dash' or both.")
    for key, base in (("origin", stream.origin), *((f"also[{at}]", base) for at, base in enumerate(stream.also))):
        if not _is_folder(base):
            raise ConfigError(
                f"{where}.{key}: {base!r} is not the URL of a folder. Write it as http://host:port/path/."
            )
    for key, manifest in (("hls", stream.hls), ("dash", stream.dash)):
        try:
            OriginScope((stream.origin, *stream.also)).resolve(manifest)
        except OriginForeignError as err:
            raise ConfigError(f"{where}.{key}: {err}. Give a path below 'origin'.") from None
    if stream.scheme not in stream.schemes:
        raise ConfigError(f"{where}.scheme: {stream.scheme} is not among 'schemes'. Add it there.")
    try:
        stream.rotation_policy()
    except ValueError as err:
        raise ConfigError(f"{where}.rotation: {err}. Choose other durations.") from None
    check_licence(f"{where}.licence", stream.licence)
    if stream.key_server:
        check_key_server(f"{where}.key_server", stream.key_server, stream.schemes, stream.rotation.salt)
    if stream.rotation.interval and stream.window / stream.rotation.interval > MAX_WINDOW_PERIODS:
        raise ConfigError(
            f"{where}.window: spans more than {MAX_WINDOW_PERIODS} crypto periods, more keys than a player can hold. "
            "Shorten it or lengthen rotation.interval."
        )


def _is_folder(base: str) -> bool:
    try:
        OriginScope((base,)).resolve("")
        return bool(urlsplit(base).hostname) and urlsplit(base).port != 0
    except (ValueError, OriginForeignError):
        return False
