"""What is licensed and how, as configured: the DRM systems' material, and what a stream's licences allow."""

from math import ceil
from typing import Annotated, Literal

from msgspec import Meta, Struct, field, structs

from keys.model import Outputs, TrackType
from policies.model import FREE, Group, Terms
from policies.text import HdcpText, Level, hdcp_of, level_of
from relay.errors import ConfigError
from relay.exposure import is_exposed
from relay.licensing.devices import DevicesConfig, check_devices
from relay.units import Duration

File = Annotated[str, Meta(min_length=1, max_length=512)]
Files = Annotated[tuple[File, ...], Meta(min_length=1, max_length=8)]
Hex = Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{2}){1,64}\Z")]
Plugin = Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z", max_length=256)]
Trust = Literal["software", "hardware", "L1", "L3"]
"""What devices are trusted with."""


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the sections: frozen, and refusing names it does not know."""


class ServiceConfig(_Section, frozen=True):
    """A Widevine service certificate (binary) and its private key (PEM)."""

    certificate: File
    key: File


class DeviceModelConfig(_Section, frozen=True):
    """How far Widevine devices with one system ID are trusted; ``name`` is for operators."""

    system_id: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    security: Trust
    name: Annotated[str, Meta(max_length=64)] = ""


class WidevineConfig(_Section, frozen=True):
    """Licences for Widevine clients.

    The first of ``services`` is given out, all are accepted. ``others`` says how devices are trusted whose system ID is
    not among ``devices``; ``revoked`` are serial numbers of device and model certificates.
    """

    roots: Files
    services: Annotated[tuple[ServiceConfig, ...], Meta(max_length=8)] = ()
    devices: Annotated[tuple[DeviceModelConfig, ...], Meta(max_length=4096)] = ()
    others: Trust | Literal["refuse"] = "software"
    revoked: Annotated[tuple[Hex, ...], Meta(max_length=65_536)] = ()


class PlayReadyConfig(_Section, frozen=True):
    """Licences for PlayReady clients.

    ``server_keys`` are those that clients encrypt their data to, ``revoked`` certificate IDs and SHA-256 digests of
    keys. ``software_level`` is the security level that every client must have.
    """

    roots: Files
    server_keys: Files
    response_key: File
    response_chain: File
    software_level: Literal[150, 2000] = 2000
    revoked: Annotated[tuple[Hex, ...], Meta(max_length=65_536)] = ()


class CredentialsConfig(_Section, frozen=True):
    """What Apple gives for one deployment: certificate (DER), its key (PEM), application secret key (hex)."""

    certificate: File
    key: File
    ask: File


class FairPlayConfig(_Section, frozen=True):
    """Keys for FairPlay players.

    Players get the certificate of the first of ``credentials``. ``derive_secret`` is the D function of Apple's
    deployment package as an importable ``package.module:function`` of the ASk and R2.
    """

    credentials: Annotated[tuple[CredentialsConfig, ...], Meta(min_length=1, max_length=4)]
    derive_secret: Plugin


class _ServerConfig(_Section, frozen=True, kw_only=True):
    """A licence server elsewhere: whoever is on the way would see content keys, so by ``https``.

    At most ``requests`` are under way to it at a time, and none for longer than ``timeout``.
    """

    url: Annotated[str, Meta(pattern=r"^https?://[^\s?#@/]+(/[^\s#@]*)?\Z", max_length=1024)]
    timeout: Duration = Duration.parse("5s")
    requests: Annotated[int, Meta(ge=1, le=4096)] = 64


class WidevineBridgeConfig(_ServerConfig, frozen=True, kw_only=True):
    """Widevine licences from Google's service, signed as ``provider`` with its AES key and IV (hex).

    ``policy`` is the name of a policy registered there, if any.
    """

    provider: Annotated[str, Meta(min_length=1, max_length=64)]
    key: File
    iv: File
    policy: Annotated[str, Meta(max_length=64)] = ""


class PlayReadyBridgeConfig(_ServerConfig, frozen=True, kw_only=True):
    """PlayReady licences from a server built on Microsoft's SDK, which shares ``secret`` (32 bytes as hex) with us."""

    secret: File
    software_level: Literal[150, 2000] = 2000


class FairPlayBridgeConfig(_Section, frozen=True):
    """FairPlay licences by the module of Apple's server SDK 26.

    ``process`` is its ``fpsProcessOperations`` as an importable ``package.module:function`` of bytes;
    ``certificate`` is the one that players get.
    """

    process: Plugin
    certificate: File


class LicencesConfig(_Section, frozen=True):
    """The DRM systems that licences are issued for besides Clear Key: each by the relay itself, or by a bridge.

    ``processes`` do the public-key work of each relay process, at most ``queue`` requests waiting for each; one that
    is at a licence for longer than ``time_limit`` is replaced.
    """

    widevine: WidevineConfig | None = None
    playready: PlayReadyConfig | None = None
    fairplay: FairPlayConfig | None = None
    widevine_bridge: WidevineBridgeConfig | None = None
    playready_bridge: PlayReadyBridgeConfig | None = None
    fairplay_bridge: FairPlayBridgeConfig | None = None
    time_limit: Duration = Duration.parse("10s")
    processes: Annotated[int, Meta(ge=1, le=16)] = 1
    queue: Annotated[int, Meta(ge=1, le=4096)] = 64


class TrackTermsConfig(_Section, frozen=True):
    """What a device must do to get the keys of a track type, and where it may show the pictures."""

    security: Level = "software"
    hdcp: HdcpText = "none"
    digital: bool = True
    analogue: bool = True
    airplay: bool = True
    av_adapter: bool = True

    def terms(self) -> Terms:
        """As values."""
        outputs = Outputs(hdcp_of(self.hdcp), self.digital, self.analogue, self.airplay, self.av_adapter)
        return Terms(level_of(self.security), outputs)


class LicenceConfig(_Section, frozen=True):
    """What the licences of a stream allow. A licence ends with its session at the latest, however long it could last.

    ``duration`` is how long one holds until it is renewed, ``start_within`` counts from issue to the first frame,
    ``play_for`` from there on; 0s: not limited so. ``renew_every`` of 0s: never. A ``persistent`` licence may be
    stored, and needs a ``duration``. ``tracks`` are the terms by track type; keys of types not ``allowed`` go to
    nobody. ``devices`` says which devices get licences at all.
    """

    duration: Duration = Duration.parse("0s")
    start_within: Duration = Duration.parse("0s")
    play_for: Duration = Duration.parse("0s")
    renew_every: Duration = Duration.parse("0s")
    persistent: bool = False
    tracks: dict[TrackType, TrackTermsConfig] = field(default_factory=dict)
    allowed: Annotated[tuple[TrackType, ...], Meta(min_length=1)] = tuple(TrackType)
    devices: DevicesConfig = field(default_factory=DevicesConfig)

    def terms(self) -> dict[TrackType, Terms | None]:
        """The terms of every track type; None: its keys go to nobody."""
        given = {track: self.tracks[track].terms() if track in self.tracks else FREE for track in TrackType}
        return {track: terms if track in self.allowed else None for track, terms in given.items()}

    def under(self, group: Group | None) -> "LicenceConfig":
        """The same for a stream in a group, which decides whether licences are stored, and how long if it says so."""
        if group is None:
            return self
        duration = self.duration if group.duration_ms is None else Duration(group.duration_ms)
        renew_every = self.renew_every if group.renew_ms is None else Duration(group.renew_ms)
        if duration:
            # One of the two may be the stream's own.
            renew_every = min(renew_every, duration)
        return structs.replace(self, persistent=group.persistent, duration=duration, renew_every=renew_every)


def whole_seconds(duration: Duration) -> int:
    """A duration as licences hold it. Rounded up, for in them 0 is no limit."""
    return ceil(duration.seconds)


def check_licence(where: str, licence: LicenceConfig) -> None:
    """Raises :class:`ConfigError` for a licence that could be stored for ever, or that ends before it is renewed."""
    if licence.persistent and not licence.duration:
        raise ConfigError(f"{where}.persistent: a stored licence needs an end. Set 'duration'.")
    if licence.duration and licence.renew_every > licence.duration:
        raise ConfigError(f"{where}.renew_every: longer than 'duration'. Give a shorter one.")
    check_devices(f"{where}.devices", licence.devices)


def check_licences(where: str, licences: LicencesConfig) -> None:
    """Raises :class:`ConfigError` for a device list that says two things of one system ID, for a system that is to be
    licensed here and elsewhere, and for keys that would travel in clear.
    """
    for name in ("widevine", "playready", "fairplay"):
        if getattr(licences, name) and getattr(licences, f"{name}_bridge"):
            raise ConfigError(f"{where}.{name}_bridge: {where}.{name} is there, too. Keep one of them.")
    for server in ("widevine_bridge", "playready_bridge"):
        bridge = getattr(licences, server)
        if bridge and is_exposed(bridge.url):
            raise ConfigError(f"{where}.{server}.url: keys would travel in clear. Write it with https.")
    if licences.time_limit < _MIN_TIME_LIMIT:
        raise ConfigError(f"{where}.time_limit: less than a second. Give a longer one.")
    devices = licences.widevine.devices if licences.widevine else ()
    if len({device.system_id for device in devices}) != len(devices):
        raise ConfigError(f"{where}.widevine.devices: two have the same 'system_id'. Make them one.")


_MIN_TIME_LIMIT = Duration.parse("1s")
