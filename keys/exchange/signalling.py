"""What a packager is to write for each DRM system: boxes, XML for the MPD, lines for HLS playlists."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from keys.errors import ExchangeError, SignallingError
from keys.exchange.markup import to_base64
from keys.exchange.model import Playlist
from keys.material import ContentKey
from keys.model import Scheme
from keys.signalling import clearkey, fairplay, playready, systems, widevine

_T = TypeVar("_T")
_METHODS = {Scheme.CENC: "SAMPLE-AES-CTR", Scheme.CBCS: "SAMPLE-AES"}
_TAGS = {Playlist.MEDIA: "#EXT-X-KEY", Playlist.MULTIVARIANT: "#EXT-X-SESSION-KEY"}


def pssh(system: UUID, key: ContentKey, scheme: Scheme) -> bytes:
    """The whole ``pssh`` box of a key. Raises :class:`ExchangeError` for a system without one."""
    make: dict[UUID, Callable[[], bytes]] = {
        systems.WIDEVINE: lambda: widevine.pssh([key.kid], scheme),
        systems.PLAYREADY: lambda: playready.pssh([key.signal()], scheme),
        systems.COMMON: lambda: clearkey.common_pssh([key.kid]),
        # DASH-IF's name for Clear Key in an MPD; in media its box is the common one.
        systems.CLEARKEY: lambda: clearkey.common_pssh([key.kid]),
    }
    return _made(make, system, "PSSH")


def content_protection(system: UUID, key: ContentKey, scheme: Scheme) -> bytes:
    """The XML inside ``ContentProtection`` in an MPD. Raises :class:`ExchangeError` for a system without any."""
    box = f'<cenc:pssh xmlns:cenc="urn:mpeg:cenc:2013">{to_base64(pssh(system, key, scheme))}</cenc:pssh>'
    if system == systems.PLAYREADY:
        box += f'<mspr:pro xmlns:mspr="urn:microsoft:playready">{to_base64(smooth(system, key, scheme))}</mspr:pro>'
    return box.encode()


def smooth(system: UUID, key: ContentKey, scheme: Scheme) -> bytes:
    """The protection header of Smooth Streaming, a PlayReady Object; raises as the others do."""
    make: dict[UUID, Callable[[], bytes]] = {systems.PLAYREADY: lambda: playready.pro([key.signal()], scheme)}
    return _made(make, system, "SmoothStreamingProtectionHeaderData")


def hls(system: UUID, key: ContentKey, scheme: Scheme, playlist: Playlist) -> bytes:
    """The whole line of a key for a playlist. Raises :class:`ExchangeError` for a system that HLS does not know."""
    if system == systems.FAIRPLAY and scheme is not Scheme.CBCS:
        raise ExchangeError("HLSSignalingData: FairPlay knows cbcs only")
    kid = f",KEYID=0x{key.kid.hex()}"
    make: dict[UUID, Callable[[], tuple[str, str, str]]] = {
        systems.WIDEVINE: lambda: (
            _data_url("", widevine.pssh([key.kid], scheme)), kid, f"urn:uuid:{systems.WIDEVINE}",
        ),
        systems.PLAYREADY: lambda: (
            _data_url("charset=UTF-16;", playready.pro([key.signal()], scheme)), kid, "com.microsoft.playready",
        ),
        # The URI is the whole identity of the key; Apple defines no KEYID.
        systems.FAIRPLAY: lambda: (fairplay.skd_uri(key.kid), "", "com.apple.streamingkeydelivery"),
    }  # fmt: skip
    uri, kid, key_format = _made(make, system, "HLSSignalingData")
    line = f'METHOD={_METHODS[scheme]},URI="{uri}"{kid},KEYFORMAT="{key_format}",KEYFORMATVERSIONS="1"'
    return f"{_TAGS[playlist]}:{line}".encode()


def _made(make: dict[UUID, Callable[[], _T]], system: UUID, what: str) -> _T:
    if system not in make:
        raise ExchangeError(f"DRMSystem@systemId: no {what} for {system}")
    try:
        return make[system]()
    except SignallingError as err:
        raise ExchangeError(f"{what}: {err}") from None


def _data_url(parameters: str, data: bytes) -> str:
    return f"data:text/plain;{parameters}base64,{to_base64(data)}"
