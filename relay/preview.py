"""What the relay would make of a manifest, without fetching or serving anything."""

import os
from pathlib import Path

from keys.material import RootKey
from keys.model import Scheme
from keys.ring import KeyRing
from keys.seal import Sealer
from relay.app import read_secrets
from relay.config import Config
from relay.errors import ConfigError, OriginForeignError, UnsupportedMediaError
from relay.manifest.dash.rewrite import index_requests, rewrite_mpd
from relay.manifest.hls.rewrite import rewrite_playlist
from relay.model import ManifestClass, Signalling
from relay.sources import Source
from relay.state.replica import Replica
from relay.state.salts import Salts
from relay.state.state import State
from relay.streams import ENTRY_DASH, ENTRY_HLS, Stream


def preview(
    data: bytes, url: str, config: Config, base: Path | None, scheme: str | None, signalling: str | None, now: float
) -> bytes:
    """The manifest fetched from ``url`` as the default class of its stream gets it.

    ``base`` is the folder of the configuration's secrets; None uses a key made up for this call.
    Raises :class:`relay.errors.RelayError`.
    """
    ring = read_secrets(config, base).ring if base else KeyRing([RootKey(1, os.urandom(32))])
    salts = Salts(Replica(State(), lambda: now), os.urandom)
    mac_keys, sealer = ring.service_keys("url"), Sealer(ring.service_keys("origin query"))
    for name, stream_config in config.streams.items():
        stream = Stream(name, stream_config, ring, salts, mac_keys, sealer)
        try:
            source = stream.scope.resolve(url)
        except OriginForeignError:
            continue
        return _rewrite(data, stream, source, scheme, signalling, now)
    raise ConfigError(f"{url}: below the origin of no configured stream. Add the stream or correct --url.")


def _rewrite(
    data: bytes, stream: Stream, source: Source, scheme: str | None, signalling: str | None, now: float
) -> bytes:
    default = stream.config.default_class()
    cls = ManifestClass(
        Scheme(scheme) if scheme else default.scheme,
        Signalling(signalling) if signalling else default.signalling,
        default.systems,
        default.ceiling,
    )
    context = stream.context(cls)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"#EXTM3U"):
        return rewrite_playlist(data, context, source, ENTRY_HLS, context.default_track).body
    if index_requests(data, context, source):
        raise UnsupportedMediaError("the MPD needs index bytes from its origin: see it through a running relay")
    return rewrite_mpd(data, context, source, ENTRY_DASH, int(now * 1000)).body
