"""What the relay would make of a manifest, without fetching or serving anything."""

import os
from dataclasses import dataclass
from pathlib import Path

from keys.material import RootKey
from keys.model import Scheme, TrackType
from keys.ring import KeyRing
from keys.seal import Sealer
from relay.config import Config
from relay.errors import ConfigError, OriginForeignError, UnsupportedMediaError
from relay.links import LICENCE_PATH
from relay.manifest.context import LICENCE_URL
from relay.manifest.dash.rewrite import index_requests, rewrite_mpd
from relay.manifest.hls.rewrite import rewrite_playlist
from relay.model import ManifestClass, Signalling
from relay.secrets import read_secrets
from relay.sources import Source
from relay.state.database import MEMORY
from relay.state.journal import Journal
from relay.state.replica import Replica, new_incarnation
from relay.state.salts import Salts
from relay.state.state import State
from relay.streams import ENTRY_DASH, ENTRY_HLS, Stream
from relay.urls import PlaylistRef


@dataclass(frozen=True, slots=True)
class PreviewOptions:
    """What the command line chooses; None is the stream's default. ``track`` is for media playlists."""

    scheme: Scheme | None = None
    signalling: Signalling | None = None
    track: TrackType | None = None


def preview(data: bytes, url: str, config: Config, base: Path | None, options: PreviewOptions, now: float) -> bytes:
    """The manifest fetched from ``url`` as viewers of the chosen class get it.

    ``base`` is the folder of the configuration's secrets; None uses a key made up for this call. A session
    stands in the licence URL as ``PASS``. Raises :class:`relay.errors.RelayError`.
    """
    ring = read_secrets(config, base).ring if base else KeyRing([RootKey(1, os.urandom(32))])
    salts = Salts(Replica(State(), Journal(MEMORY), lambda: now, "preview", new_incarnation()), os.urandom)
    mac_keys, sealer = ring.service_keys("url"), Sealer(ring.service_keys("origin query"))
    for name, stream_config in config.streams.items():
        stream = Stream(name, stream_config, ring, salts, mac_keys, sealer)
        try:
            source = stream.scope.resolve(url)
        except OriginForeignError:
            continue
        default = stream.config.default_class()
        cls = ManifestClass(
            options.scheme or default.scheme, options.signalling or default.signalling, default.systems, default.ceiling
        )
        licence = f"{config.edge.public_url or 'http://localhost'}{LICENCE_PATH}?session=PASS/{name}/{cls}"
        return _rewrite(data, stream, cls, source, options.track, now).replace(LICENCE_URL.encode(), licence.encode())
    raise ConfigError(f"{url}: below the origin of no configured stream. Add the stream or correct --url.")


def _rewrite(
    data: bytes, stream: Stream, cls: ManifestClass, source: Source, track: TrackType | None, now: float
) -> bytes:
    context = stream.context(cls)
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"#EXTM3U"):
        if index_requests(data, context, source):
            raise UnsupportedMediaError("the MPD needs index bytes from its origin: see it through a running relay")
        return rewrite_mpd(data, context, source, ENTRY_DASH, int(now * 1000)).body
    track = track or context.default_track
    rewritten = rewrite_playlist(data, context, source, ENTRY_HLS, track)
    if rewritten.observed is None:
        return rewritten.body
    # A media playlist stands deeper, so its relative URLs begin with as many steps up.
    return rewrite_playlist(data, context, source, context.urls.write(PlaylistRef(source, track)), track).body
