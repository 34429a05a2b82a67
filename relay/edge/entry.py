"""The entry: the platform's token in, a session's own URL out."""

from urllib.parse import quote

from aiohttp import web

from keys.model import Scheme, TrackType
from relay.edge.visit import platform_token
from relay.errors import RequestError
from relay.model import ManifestClass, Signalling, System
from relay.node import NODE
from relay.problems import denied
from relay.streams import ENTRY_HLS, Stream
from relay.verdict import Deny

_WITHOUT_CDM = ("Lavf/", "VLC/", "libmpv")


async def enter(request: web.Request) -> web.StreamResponse:
    """Exchange a token for a pass and lead the player into its session by a 302."""
    node = request.app[NODE]
    stream = node.stream(request.match_info["stream"])
    index = request.match_info["index"]
    token = platform_token(request)
    visitor = token if isinstance(token, Deny) else node.gate.admit(token, stream.name, node.clock())
    if isinstance(visitor, Deny):
        return denied(request, visitor)
    stream.entry(index)
    cls = wanted_class(request, stream, visitor.session.ceiling)
    stream.check_class(cls)
    location = f"/p/{node.gate.pass_of(visitor)}/{quote(stream.name)}/{cls}/{index}"
    return web.Response(status=302, headers={"Location": location, "Cache-Control": "no-store"})


def wanted_class(request: web.Request, stream: Stream, ceiling: TrackType) -> ManifestClass:
    """The class that the query asks for, over the stream's default. Raises :class:`RequestError`."""
    default = stream.config.default_class()
    query = request.query
    try:
        scheme = Scheme(query.get("scheme", _usual_scheme(request, stream)))
        signalling = Signalling(query.get("signalling", default.signalling))
        asked = query["systems"].split(",") if "systems" in query else default.systems
        systems = tuple(sorted({System(name) for name in asked}))
        top = min(ceiling, TrackType(query.get("max_track", ceiling)), key=lambda track: track.rank)
    except ValueError as err:
        raise RequestError(f"scheme, signalling, systems or max_track: {err}") from None
    if scheme is Scheme.AES128:
        # Nothing but the scheme matters there; one spelling keeps one cache entry.
        return ManifestClass(scheme, Signalling.PERIOD, (), top)
    return ManifestClass(scheme, signalling, systems, top)


def _usual_scheme(request: web.Request, stream: Stream) -> Scheme:
    """What a player gets that asks for no scheme: the stream's, or AES-128 if it cannot play that.

    Players built on libavformat have no CDM and read key IDs from ``tenc`` alone.
    """
    plain = request.headers.get("User-Agent", "").startswith(_WITHOUT_CDM)
    if plain and request.match_info["index"] == ENTRY_HLS and Scheme.AES128 in stream.config.schemes:
        return Scheme.AES128
    return stream.config.scheme
