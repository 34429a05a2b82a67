"""Key tags: how HLS shows the public face of a key to each key system (RFC 8216bis §4.4.4.4, §4.4.6.5)."""

from base64 import b64encode
from collections.abc import Callable, Iterator

from keys.model import Scheme
from keys.signalling import fairplay, playready, systems, widevine
from relay.manifest.context import LICENCE_URL, RewriteContext
from relay.model import System
from relay.urls import KeyRef, SlotRef

END_OF_KEYS = "#EXT-X-KEY:METHOD=NONE"

KeyUrl = Callable[[KeyRef], str]
"""Writes the URL under which the 16 bytes of a key are served."""

_METHODS = {Scheme.CENC: "SAMPLE-AES-CTR", Scheme.CBCS: "SAMPLE-AES", Scheme.AES128: "AES-128"}
_DRM = frozenset({System.WIDEVINE, System.PLAYREADY, System.FAIRPLAY})


def key_tags(ctx: RewriteContext, slot: SlotRef, key_url: KeyUrl) -> Iterator[str]:
    """The EXT-X-KEY tags of one slot, one for each key system of the class."""
    if ctx.cls.scheme is Scheme.AES128:
        # No IV attribute: it is then the media sequence number, a different one for each segment.
        yield f'#EXT-X-KEY:METHOD=AES-128,URI="{key_url(KeyRef(slot))}"'
        return
    for system in _systems(ctx):
        yield f"#EXT-X-KEY:{_attributes(ctx, slot, system, key_url)}"


def session_key_tags(ctx: RewriteContext, slot: SlotRef, key_url: KeyUrl) -> Iterator[str]:
    """The EXT-X-SESSION-KEY tags of one slot, by which DRM players ask for a licence before they have
    read a media playlist. None for the key formats of browsers without DRM, which gain nothing by it.
    """
    if ctx.cls.scheme is not Scheme.AES128:
        for system in _systems(ctx):
            if system in _DRM:
                yield f"#EXT-X-SESSION-KEY:{_attributes(ctx, slot, system, key_url)}"


def _systems(ctx: RewriteContext) -> Iterator[System]:
    cbcs = ctx.cls.scheme is Scheme.CBCS
    for system in ctx.cls.systems:
        if system is System.FAIRPLAY and not cbcs:
            continue  # FairPlay Streaming knows no AES-CTR
        if system is System.IDENTITY and cbcs and System.CLEARKEY in ctx.cls.systems:
            # hls.js prefers identity, reads SAMPLE-AES as that of MPEG-TS, and cannot parse the fragment.
            continue
        yield system


def _attributes(ctx: RewriteContext, slot: SlotRef, system: System, key_url: KeyUrl) -> str:
    signal, scheme = ctx.signal(slot), ctx.cls.scheme
    key_id = f",KEYID=0x{signal.kid.hex()}"
    match system:
        case System.IDENTITY:
            # Safari's own decrypter, which reads no tenc, needs the constant IV from here.
            iv = f",IV=0x{signal.constant_iv.hex()}" if scheme is Scheme.CBCS and signal.constant_iv else ""
            return f'METHOD={_METHODS[scheme]},URI="{key_url(KeyRef(slot))}"{iv},KEYFORMAT="identity"'
        case System.CLEARKEY:
            # hls.js asks once for each URI, so a new period needs another one; players do not send the fragment.
            uri, key_format = LICENCE_URL if slot.period is None else f"{LICENCE_URL}#{slot.period}", "org.w3.clearkey"
        case System.WIDEVINE:
            uri, key_format = _data("", widevine.pssh([signal.kid], scheme)), f"urn:uuid:{systems.WIDEVINE}"
        case System.PLAYREADY:
            uri, key_format = _data("charset=UTF-16;", playready.pro([signal], scheme)), "com.microsoft.playready"
        case System.FAIRPLAY:
            # The URI is the whole identity of the key here; Apple defines no KEYID.
            uri, key_format, key_id = fairplay.skd_uri(signal.kid), "com.apple.streamingkeydelivery", ""
    return f'METHOD={_METHODS[scheme]},URI="{uri}"{key_id},KEYFORMAT="{key_format}",KEYFORMATVERSIONS="1"'


def _data(parameters: str, data: bytes) -> str:
    return f"data:text/plain;{parameters}base64,{b64encode(data).decode()}"
