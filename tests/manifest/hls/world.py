"""A stream to rewrite playlists for, and a reader of everything that the rewriting minted."""

import re
from urllib.parse import urljoin

from keys.material import RootKey
from keys.model import KeySignal, KeySlot, Scheme, TrackType
from keys.periods import Clock, RotationPolicy, Schedule
from keys.ring import KeyRing
from keys.seal import Sealer
from relay.manifest.context import LICENCE_URL, RewriteContext
from relay.model import ManifestClass, Signalling, System
from relay.sources import OriginScope, Source
from relay.urls import Ref, SessionUrls, SlotRef

HOST = "origin.example.net"
SCOPE = OriginScope((f"https://{HOST}/live/", f"https://backup.{HOST}/"))
RING = KeyRing([RootKey(1, bytes(32))])

CENC = ManifestClass(systems=(System.CLEARKEY, System.IDENTITY))
CENC_PERIOD = ManifestClass(signalling=Signalling.PERIOD, systems=(System.CLEARKEY,))
CENC_DRM = ManifestClass(systems=(System.PLAYREADY, System.WIDEVINE))
CBCS = ManifestClass(Scheme.CBCS, systems=(System.CLEARKEY, System.FAIRPLAY, System.IDENTITY))
CBCS_PERIOD = ManifestClass(Scheme.CBCS, Signalling.PERIOD, (System.FAIRPLAY, System.IDENTITY))
AES = ManifestClass(Scheme.AES128)


def context(
    cls: ManifestClass = CENC,
    *,
    interval_ms: int = 10_000,
    vod: bool = False,
    boundaries: tuple[int, ...] = (),
    scope: OriginScope = SCOPE,
    marked: bool = False,
) -> RewriteContext:
    def signal(slot: SlotRef) -> KeySignal:
        return RING.signal(KeySlot("stream", slot.track, cls.scheme, slot.generation, slot.period))

    policy = RotationPolicy(interval_ms=interval_ms, pre_delivery_ms=interval_ms // 4, vod=vod)
    return RewriteContext(
        urls=SessionUrls("stream", cls, [bytes(32)], Sealer([bytes(32)])),
        cls=cls,
        scope=scope,
        schedule_of=lambda clock: Schedule(policy.for_vod() if clock is Clock.MEDIA else policy, boundaries),
        signal=signal,
        generation_at=RING.generation_at,
        stream="stream",
        marked=marked,
    )


def served_at(source: Source, track: TrackType | None = TrackType.HD) -> str:
    """The path under which a media playlist is served."""
    return f"m/{track or 'text'}/{source.path}"


def minted(body: bytes, at: str, ctx: RewriteContext) -> list[tuple[str, Ref]]:
    """Every URI of a rewritten playlist but those of key systems: where it stands (the tag's name, empty
    for a URI line) and what it reads back as, below the class folder."""
    found = []
    for line in re.split(r"\r*\n", body.decode()):
        if not line.startswith("#EXT"):
            found += [("", line)] if line.strip() and not line.startswith("#") else []
        elif line.startswith("#EXT-X-PREFETCH:"):
            found.append(("EXT-X-PREFETCH", line.partition(":")[2]))
        else:
            found += [(line[1:].partition(":")[0], uri) for uri in re.findall(r'URI="([^"]+)"', line)]
    return [
        (place, read(uri, at, ctx))
        for place, uri in found
        if not uri.startswith((LICENCE_URL, "data:text/plain;", "skd://"))
    ]


def read(uri: str, at: str, ctx: RewriteContext) -> Ref:
    """What a minted URL reads back as."""
    folder = "https://relay.example/p/pass/stream/class/"
    absolute = urljoin(folder + at, uri)
    assert absolute.startswith(folder), f"{uri} leaves the class folder"
    path, _, query = absolute.removeprefix(folder).partition("?")
    ref, value = ctx.urls.read(path, query)
    assert value is None
    return ref
